"""Runs from Parquet to a finished store, on the GPU and on the CPU, and how busy the GPU was."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import corpora
from measure import Table

import paninifs as pf

from .machine import Amount
from .timing import sampled

TITLE = "GPU: whole runs in one process"
SIZES = ((100, 4_000_000), (5000, 100_000))
MEMORY_DISK = Path("/dev/shm")
ENOUGH = 8 << 30


def without_rapids(amount: Amount) -> Iterator[Table]:
    """Measure runs in one process, with one thread, half of them and all, on both backends.

    A table per number of threads, so that an interrupted measurement keeps the others.
    """
    cores = os.cpu_count() or 1
    with _folder() as folder:
        for mean, count in SIZES:
            path = corpora.parquet(folder / f"{mean}.parquet", amount.of(count, 2000), mean)
            for threads in sorted({1, max(1, cores // 2), cores}):
                yield _both_backends(path, threads, f"~{mean} bytes")


def _both_backends(path: Path, threads: int, texts: str) -> Table:
    table = Table(
        f"{TITLE}, texts of {texts}, threads: {threads}",
        "From Parquet to a store, both on a disk in memory if there is one; the second of two "
        "runs. Cores and GPU: how busy they were; GPU by NVML, median and most, in %.",
    )
    stores = {backend: path.with_name(f"{backend}.zarr") for backend in ("cuda", "cpu")}
    with pf.connect("threads", threads=threads, quiet=True) as client:
        for backend, store in stores.items():
            row = {"texts": texts, "threads": threads, "backend": backend}
            table.rows.append(row | _timed(client, path, store, backend))
    table.rows[-1]["objects that differ"] = objects_apart(*stores.values())
    for store in stores.values():
        shutil.rmtree(store)
    return table


def _timed(client: Any, path: Path, store: Path, backend: str) -> dict[str, Any]:
    corpus = pf.open_corpus(path)

    def run() -> None:
        options = {"client": client, "backend": backend, "progress": False}
        pf.submit(pf.default_graph(), corpus, store, fresh=store.exists(), **options).result()

    run()  # compiles and warms
    began, cpu = time.perf_counter(), _cpu_seconds()
    with sampled() as seen:
        run()
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    busy = seen["busy"]
    return {
        "per second": corpus.index.rows / seconds,
        "cores": cpu / seconds,
        "GPU, median": statistics.median(busy) if busy else "",
        "GPU, most": max(busy, default=""),
    }


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def objects_apart(one: Path, other: Path) -> int:
    """Count the objects with values that are not the same in two stores, or only in one."""
    found = [
        {
            str(path.relative_to(store)): path.read_bytes()
            for path in store.rglob("*")
            if path.is_file() and "/c/" in str(path.relative_to(store))
        }
        for store in (one, other)
    ]
    assert found[0], f"{one} has no objects with values"
    return sum(found[0].get(key) != found[1].get(key) for key in found[0].keys() | found[1].keys())


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder that is deleted afterwards, on a disk in memory if there is enough."""
    in_memory = MEMORY_DISK.exists() and shutil.disk_usage(MEMORY_DISK).free > ENOUGH
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if in_memory else None) as folder:
        yield Path(folder)


def with_rapids(amount: Amount) -> Iterator[Table]:
    """Measure a run on every GPU, on a cluster as `connect("cuda")` starts it."""
    count = amount.of(10_000_000, 2000)
    with _folder() as folder, pf.connect("cuda", quiet=True) as client:
        path = corpora.parquet(folder / "corpus.parquet", count, 100)
        found = _timed(client, path, folder / "run.zarr", "cuda")
    del found["cores"]  # of this process, while the work is in others
    yield Table(
        "GPU: whole run on a cluster of GPUs",
        f"{count:,} texts of ~100 bytes from Parquet, one worker per GPU; the second of two runs. "
        "GPU: how busy the first one was, by NVML, in %.",
        [found],
    )
