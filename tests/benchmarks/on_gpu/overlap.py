"""Texts and results in the host's memory: whether copies and kernels run at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cupy
import cupyx
import numpy as np
from measure import Table, in_turn

from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.graph import default_graph
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load
from paninifs.storage.text import PackedText

from .machine import Amount, on_device
from .timing import by_events

SIZES = ((100, 4_000_000, 65_536), (5000, 100_000, 16_384))
"""Mean bytes per text, number of texts, texts per micro-batch."""

IN_FLIGHT = (3, 6, 12)
CALLS = (8192, 131_072)
"""Texts per call of `Blocks.run`: as many as a shard of a small and of a large corpus."""

RESULT_WIDTHS = (32, 36, 40, 16)
"""Bytes of results per text: digest, dhātu, prime base, the four parts of ambiguity."""


def host_to_host(amount: Amount) -> Iterator[Table]:
    """Measure `Blocks.run` with 3, 6 and 12 micro-batches in flight, and by calls of few texts."""
    for mean, count, rows in SIZES:
        yield _host_to_host(amount.texts(count, mean), mean, rows, amount)


def _host_to_host(text: PackedText, mean: int, rows: int, amount: Amount) -> Table:
    kernels, rounds = load("cuda"), min(3, amount.rounds)
    there = on_device(text)

    def compute() -> Any:
        return kernels.default_graph(there, dhatus=DHATUS, primes=PRIMES)

    kernel = by_events({"kernel": compute}, rounds)["kernel"]
    copies = in_turn(
        {
            "copies one after the other": _copies(text, at_once=False),
            "copies both ways at once": _copies(text, at_once=True),
        },
        rounds,
    )
    slower = max(kernel.median, copies["copies both ways at once"].median)
    usual, size = kernels.IN_FLIGHT, MicroBatch(amount.of(rows), 1 << 30)
    table = Table(
        f"GPU: texts of ~{mean} bytes, host to host",
        f"{len(text):,} texts, micro-batches of {size.rows:,}; {usual} in flight by default. "
        "Shares are of the slower of the kernel and the copies both ways, each of everything at "
        "once.",
    )
    for name, spread in {"kernel": kernel, **copies}.items():
        table.rows.append({"what": name, **spread.rate(len(text))})
    for flight in IN_FLIGHT:
        kernels.IN_FLIGHT = flight
        try:
            seen = in_turn({"all": _run(text, len(text), size)}, rounds)["all"]
        finally:
            kernels.IN_FLIGHT = usual
        share = slower / seen.median
        table.rows.append(
            {"what": f"{flight} in flight", **seen.rate(len(text)), "of the slower": share}
        )
    for call in map(amount.of, CALLS):
        seen = in_turn({"calls": _run(text, call, None)}, rounds)["calls"]
        row = {"what": f"calls of {call:,}", **seen.rate(len(text))}
        table.rows.append({**row, "of the slower": slower / seen.median})
    return table


def _run(text: PackedText, call: int, size: MicroBatch | None) -> Callable[[], None]:
    """Return the default graph over texts, so many per call, as a task computes it."""
    blocks = Blocks(default_graph(), "cuda", size)

    def run() -> None:
        for start in range(0, len(text), call):
            part = Inputs.of_text(text[start : start + call])
            for _ in blocks.run(part, lambda first, last: f"{first}-{last}"):
                pass

    return run


def _copies(text: PackedText, *, at_once: bool) -> Callable[[], None]:
    """Return copies of texts and results, in pinned memory, on one stream or on two."""
    sources = [cupyx.empty_pinned(one.shape, one.dtype) for one in (text.data, text.offsets)]
    sources[0][...], sources[1][...] = text.data, text.offsets
    targets = [cupyx.empty_pinned((len(text), width), np.uint8) for width in RESULT_WIDTHS]
    into = [cupy.empty(one.shape, one.dtype) for one in sources]
    out_of = [cupy.empty(one.shape, one.dtype) for one in targets]
    there = cupy.cuda.Stream(non_blocking=True)
    back = cupy.cuda.Stream(non_blocking=True) if at_once else there

    def copy() -> None:
        for on_device_, source in zip(into, sources, strict=True):
            on_device_.set(source, stream=there)
        for on_device_, target in zip(out_of, targets, strict=True):
            on_device_.get(stream=back, out=target, blocking=False)
        there.synchronize()
        back.synchronize()

    return copy
