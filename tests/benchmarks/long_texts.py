"""Whole runs over texts of 5 kB, by the codec of the file, beside the kernel alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import corpora
from kernels import weigh
from measure import Table
from runs import Workplace, run_once

import paninifs as pf
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.cpu import sha_paths
from paninifs.storage.text import PackedText

NINE_HASHES = "kernel alone, nine hashes"


def _by_codec(place: Workplace, quick: bool) -> Table:
    few, many = (5000, 20_000) if quick else (100_000, 500_000)
    corpus = {}
    for codec in ("snappy", "zstd", "none"):
        for count in (few, many):
            source = corpus[codec, count] = place.folder / f"long-{count}-{codec}.parquet"
            corpora.parquet(source, count, 5000, codec)
    times: dict[tuple[str, int], list[float]] = {}
    rates: dict[str, list[float]] = {}
    # ext4 looks long for a file's place where others were deleted seconds ago: the stores are kept.
    with pf.connect(workers=2, quiet=True) as client, ExitStack() as kept:
        for _ in range(2 if quick else 6):
            for (codec, count), source in corpus.items():
                seconds = run_once(client, source, kept.enter_context(place.store()))
                times.setdefault((codec, count), []).append(seconds)
                for what, rate in _bare_kernels(quick).items():
                    rates.setdefault(what, []).append(rate)
    median = {what: statistics.median(values[1:]) for what, values in times.items()}
    bare = {what: statistics.median(values[len(corpus) :]) for what, values in rates.items()}
    alone = bare[NINE_HASHES]
    table = Table(
        "Whole run, texts of ~5 kB",
        f"Parquet, from file to store, on a warm cluster of 2 workers: {many:,} texts, and the "
        f"rate of those after the first {few:,} (marginal). In brackets: the share of the kernel's "
        "nine hashes on two threads, measured between the runs. A run also computes a tenth hash "
        "and the statistics, so the second row is its upper limit.",
    )
    for what, rate in bare.items():
        table.rows.append({"what": what, "texts per second": _of(rate, alone)})
    for codec in ("snappy", "zstd", "none"):
        small, large = median[codec, few], median[codec, many]
        table.rows.append(
            {
                "what": f"file to store, {codec}",
                "texts per second": _of(many / large, alone),
                "marginal": _of((many - few) / (large - small), alone),
            }
        )
    return table


def _bare_kernels(quick: bool) -> dict[str, float]:
    """Return texts per second on two threads, of the bare hashes and of all that a run computes."""
    halves = [corpora.texts(4000, 5000, seed) for seed in (1, 2)] * (1 if quick else 10)
    path = sha_paths.selected().name
    cpu = load("cpu")
    kernels: dict[str, Callable[[PackedText], Any]] = {
        NINE_HASHES: lambda text: weigh(text, path),
        "kernel alone, ten hashes and statistics": lambda text: cpu.default_graph(
            text, dhatus=DHATUS, primes=PRIMES
        ),
    }
    rates = {}
    with ThreadPoolExecutor(2) as pool:
        for what, kernel in kernels.items():
            began = time.perf_counter()
            list(pool.map(kernel, halves))
            rates[what] = sum(map(len, halves)) / (time.perf_counter() - began)
    return rates


def _of(rate: float, whole: float) -> str:
    return f"{rate:,.0f} ({rate / whole:.0%})"


def run(quick: bool, folder: Path | None) -> Iterator[Table]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        yield _by_codec(Workplace(Path(name)), quick)
