"""Sizes of micro-batches, fixed ones and the adaptive one: ``make bench-micro-batches``.

    python micro_batches.py [--quick] [--backend cpu] [--out DIR]

Three corpora as a task meets them, batch after batch, through the engine's `Blocks` and the default
graph; every size has its turn in every round. Writes DIR/micro-batches.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import numpy as np
from measure import Spread, Table, as_json, machine

import paninifs as pf
from paninifs.engine.cluster.local import WORKER_ENVIRONMENT
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.kernels import load
from paninifs.storage.rows import BATCH_BYTES, BATCH_ROWS
from paninifs.storage.text import PackedText

FIXED = (1, 16, 256, 1024, 4096, 16_384, 65_536, 262_144)  # texts; as many bytes as they have
# Where the host computes the last ones are all the same: no more than that is read at once.
ADAPTIVE = "adaptive"
UNBOUNDED = 1 << 60


def mixed(nbytes: int, seed: int = 0) -> PackedText:
    """Texts of 20 bytes to 200 kB, most of them short, most of the bytes in long ones."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(6, 1.8, nbytes // 400), 20, 200_000).astype(np.int64)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), nbytes))]
    stream = corpora.texts(1, 4 << 20).data
    first = rng.integers(0, len(stream) - 200_000, len(lengths))
    parts = [stream[at : at + length] for at, length in zip(first, lengths, strict=True)]
    # Cut anywhere, also within a character: to a hash that is one.
    return PackedText(np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]))


def as_read(text: PackedText, enough: MicroBatch | None) -> list[PackedText]:
    """Cut a corpus into what a task computes at once: batches as they are read, or joined."""
    size = enough or MicroBatch(BATCH_ROWS, BATCH_BYTES)
    pieces, start = [], 0
    while start < len(text):
        stop = size.stop(text, start)
        pieces.append(text[start:stop])
        start = stop
    return pieces


def pass_over(text: PackedText, backend: str, size: MicroBatch | None) -> float:
    """Compute a corpus once; return the seconds."""
    blocks = Blocks(pf.default_graph(), backend, size)
    pieces = as_read(text, blocks.joined_batch)  # as a task would have it with that setting
    began = time.perf_counter()
    for piece in pieces:
        for _ in blocks.run(Inputs.of_text(piece), lambda start, stop: f"{start}-{stop}"):
            pass
    return time.perf_counter() - began


def sweep(name: str, text: PackedText, backend: str, rounds: int) -> Table:
    """Time every size in turn; a tiny one over so much of the corpus as it does in its time."""
    contenders: dict[str, Callable[[], float]] = {}
    for rows in FIXED:
        share = text[: min(len(text), max(512, 2048 * rows))]
        times = text.nbytes / share.nbytes
        contenders[f"{rows:,}"] = lambda share=share, times=times, rows=rows: (
            times * pass_over(share, backend, MicroBatch(rows, UNBOUNDED))
        )
    contenders[ADAPTIVE] = lambda: pass_over(text, backend, None)
    seen: dict[str, list[float]] = {which: [] for which in contenders}
    for turn in range(rounds + 1):
        # In another order every time: none is always behind the same one.
        for which in random.Random(turn).sample([*contenders], len(contenders)):
            seconds = contenders[which]()
            if turn:  # the first is to warm up, and to learn by
                seen[which].append(seconds)
    medians = {which: Spread(tuple(seconds)).median for which, seconds in seen.items()}
    fixed = [medians[which] for which in medians if which != ADAPTIVE]
    table = Table(
        f"Micro-batches, {name}",
        f"{len(text):,} texts, {text.nbytes / 1e6:.0f} MB, backend {backend!r}, one thread, median "
        f"of {rounds} rounds. Adaptive: {medians[ADAPTIVE] / min(fixed):.3f} times the best fixed "
        f"one's time; the worst one's is {max(fixed) / min(fixed):.2f} times it.",
    )
    for which, seconds in seen.items():
        table.rows.append(
            {
                "texts at once": which,
                **Spread(tuple(seconds)).rate(len(text)),
                "time, of the best fixed one's": round(medians[which] / min(fixed), 3),
                "of the worst fixed one's": round(medians[which] / max(fixed), 4),
            }
        )
    return table


def run(quick: bool, backend: str) -> list[Table]:
    """Sweep the three corpora."""
    load(backend).prepare()
    rounds, size = (7, 1) if quick else (21, 2)
    kinds: dict[str, PackedText] = {
        "texts of ~60 bytes": corpora.texts(size * 262_144, 60),
        "texts of ~5 kB": corpora.texts(size * 8192, 5000),
        "texts of 20 bytes to 200 kB": mixed(size * (40 << 20)),
    }
    return [sweep(name, text, backend, rounds) for name, text in kinds.items()]


def as_a_worker() -> None:
    """Begin anew with the environment of a worker's process, where this one has not got it."""
    wanted = {name: str(value) for name, value in WORKER_ENVIRONMENT.items()}
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def main() -> None:
    as_a_worker()
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="under two minutes, rough figures")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    facts: dict[str, Any] = machine()
    tables = run(options.quick, options.backend)
    for table in tables:
        print(table.markdown(), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    results = json.dumps(as_json(facts, tables), indent=1)
    (options.out / "micro-batches.json").write_text(results + "\n")


if __name__ == "__main__":
    main()
