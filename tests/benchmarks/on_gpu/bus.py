"""Copies between host and device, and copies on the host into pinned memory before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cupy
import cupyx
import numpy as np
from measure import Spread, Table, in_turn

from .machine import Amount

BYTES = 1 << 30
STAGING_THREADS = (1, 3, 6, 12)


def copies(amount: Amount) -> Iterator[Table]:
    """Measure the bus: one way, both ways at once on two streams, and from pageable memory.

    By the host's clock: it has both streams in view, and a copy takes 20 ms.
    """
    count = amount.of(BYTES, least=1 << 20)
    source, target = (cupyx.empty_pinned((count,), np.uint8) for _ in range(2))
    source[...], target[...] = 7, 1  # touched, so that all pages are there
    pageable = np.ones(count, np.uint8)
    into, out_of = cupy.empty(count, np.uint8), cupy.empty(count, np.uint8)
    there, back = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))

    def call(*ways: Callable[[], Any]) -> Callable[[], None]:
        def done() -> None:
            for way in ways:
                way()
            there.synchronize()
            back.synchronize()

        return done

    def send() -> None:
        into.set(source, stream=there)

    def fetch() -> None:
        out_of.get(stream=back, out=target, blocking=False)

    seen = in_turn(
        {
            "to the device": call(send),
            "to the host": call(fetch),
            "both ways at once, each": call(send, fetch),
            "to the device, pageable": call(lambda: into.set(pageable, stream=there)),
        },
        min(amount.rounds, 5),
    )
    yield Table(
        "GPU: bus",
        f"Copies of {count / 2**20:,.0f} MiB in pinned memory, unless noted.",
        [{"what": name, **_gigabytes(spread, count)} for name, spread in seen.items()],
    )
    yield _staging(source, pageable, amount)


def _staging(pinned: np.ndarray, pageable: np.ndarray, amount: Amount) -> Table:
    count, rounds = len(pinned), min(amount.rounds, 5)

    def copy(pool: ThreadPoolExecutor, threads: int) -> None:
        ends = np.linspace(0, count, threads + 1, dtype=np.int64)

        def part(number: int) -> None:
            here = slice(ends[number], ends[number + 1])
            pinned[here] = pageable[here]

        list(pool.map(part, range(threads)))

    table = Table(
        "GPU: staging",
        "Copies on the host into pinned memory that is there already, by threads; and the "
        "allocation of pinned memory.",
    )
    for threads in STAGING_THREADS:
        with ThreadPoolExecutor(threads) as pool:
            work = {"copy": lambda pool=pool, threads=threads: copy(pool, threads)}
            spread = in_turn(work, rounds)["copy"]
        table.rows.append({"what": f"{threads} threads", **_gigabytes(spread, count)})
    held: list[Any] = []
    spread = in_turn({"pin": lambda: held.append(cupy.cuda.alloc_pinned_memory(count))}, 1)["pin"]
    table.rows.append({"what": "pinning", **_gigabytes(spread, count)})
    return table


def _gigabytes(spread: Spread, count: int) -> dict[str, Any]:
    found = spread.rate(count / 1e9)
    return {"GB/s": found["per second"], "range": found["range"]}
