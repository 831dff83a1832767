"""Measure the kernels on this machine's GPU: ``make bench-gpu``.

    python gpu.py [--quick] [--out DIR]

Needs CuPy and NumPy alone; with RAPIDS it compares with cuDF, and does a whole run. Prints tables
and writes DIR/gpu.json.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import corpora
import cupy
import cupyx
import numpy as np
from measure import Table, in_turn

from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.graph import default_graph
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, reference
from paninifs.storage.text import PackedText

ALU_A_BLOCK = 820  # instructions, as gauge.py counts them on every architecture but the newest
LANES = 64
PREFIXES = [name.encode() + b"::" for name in DHATUS]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the texts, fewer rounds")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    load("cuda").prepare()
    facts = _device()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n", flush=True)
    sizes = [(100, 2_000_000), (5000, 100_000)]
    rounds = 3 if options.quick else 9
    tables = []
    for mean, count in sizes:
        text = corpora.texts(count // 10 if options.quick else count, mean)
        for table in (_resident(text, mean, rounds), _from_host(text, mean, rounds)):
            print(table.markdown(), flush=True)
            tables.append(asdict(table))
    if all(find_spec(name) for name in ("dask_cuda", "cudf", "pyarrow")):
        table = _whole_run(1_000_000 if options.quick else 10_000_000)
        print(table.markdown(), flush=True)
        tables.append(asdict(table))
    else:
        print("no whole run: RAPIDS is not installed\n")
    options.out.mkdir(parents=True, exist_ok=True)
    results = {"machine": facts, "tables": tables}
    (options.out / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")


def _device() -> dict[str, Any]:
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "device": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "clock, at most (GHz)": cupy.cuda.Device().attributes["ClockRate"] / 1e6,
        "driver": runtime.driverGetVersion(),
        "cupy": cupy.__version__,
        "python": platform.python_version(),
    }


def _on_device(text: PackedText) -> PackedText:
    return PackedText(cupy.asarray(text.data), cupy.asarray(text.offsets))


def _finished(work: Callable[[], Any]) -> Callable[[], Any]:
    """Make sure that the device is done when the clock is read."""

    def call() -> Any:
        made = work()
        cupy.cuda.Device().synchronize()
        return made

    return call


def _hashlib(texts: list[bytes]) -> None:
    states = [hashlib.sha256(prefix) for prefix in PREFIXES]
    for text in texts:
        for state in states:
            one = state.copy()
            one.update(text)
            one.digest()


def _resident(text: PackedText, mean: int, rounds: int) -> Table:
    """Texts and results on the device; beside one core with hashlib, and cuDF's own hash."""
    cuda, there = load("cuda"), _on_device(text)
    contenders: dict[str, Callable[[], Any]] = {
        "nine hashes and weights": lambda: cuda.dhatu(there, dhatus=DHATUS),
        "digest": lambda: cuda.digest(there),
        "whole default graph": lambda: cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES),
    }
    try:
        import cudf
    except ImportError:
        pass
    else:
        series = cudf.Series([bytes(one).decode() for one in text])
        prefixed = [prefix.decode() + series for prefix in PREFIXES]
        contenders["cuDF hash_values, nine"] = lambda: [
            one.hash_values("sha256") for one in prefixed
        ]
    few = text[: max(200, len(text) // 500)]
    wanted = reference.dhatu(few, dhatus=DHATUS)
    assert cuda.dhatu(_on_device(few), dhatus=DHATUS).get().tobytes() == wanted.tobytes()
    seen = in_turn({name: _finished(work) for name, work in contenders.items()}, rounds)
    raw = few.to_bytes()
    one_core = in_turn({"hashlib": lambda: _hashlib(raw)}, 3)["hashlib"].median / len(few)
    lengths = np.diff(text.offsets)
    blocks = sum(int(((len(prefix) + lengths + 72) >> 6).sum()) for prefix in PREFIXES)
    clock = cupy.cuda.Device().attributes["ClockRate"] * 1e3
    processors = cupy.cuda.Device().attributes["MultiProcessorCount"]
    limit = processors * LANES * clock / ALU_A_BLOCK / blocks * len(text)
    table = Table(
        f"GPU: texts of ~{mean} bytes, on the device",
        f"{len(text):,} texts, {blocks / len(text) / 9:.2f} blocks a hash. Limit of the integer "
        f"ALU: {processors} x {LANES} x {clock / 1e9:.2f} GHz / {ALU_A_BLOCK} instructions, "
        f"{limit:,.0f} texts a second for the nine hashes.",
    )
    for name, spread in seen.items():
        rate = len(text) / spread.median
        share = f"{rate / limit:.0%}" if name.startswith("nine") else ""
        table.rows.append(
            {
                "what": name,
                **spread.rate(len(text)),
                "of the limit": share,
                "x hashlib, one core": rate * one_core,
            }
        )
    return table


def _from_host(text: PackedText, mean: int, rounds: int) -> Table:
    """Texts and results in the host's memory: copies and kernels overlap, or they do not."""
    blocks, cuda = Blocks(default_graph(), "cuda"), load("cuda")
    widths = (32, 36, 40, 16)  # bytes of results a text: digest, dhātu, prime base, the four parts

    def whole() -> None:
        for _ in blocks.run(Inputs.of_text(text), lambda a, b: f"{a}-{b}"):
            pass

    # At the bus's own speed: pinned memory that is there already, everything at once.
    sources = [cupyx.empty_pinned(one.shape, one.dtype) for one in (text.data, text.offsets)]
    results = [cupyx.empty_pinned((len(text), width), np.uint8) for width in widths]
    there = _on_device(text)
    made = [cupy.empty(one.shape, one.dtype) for one in results]

    def copies() -> None:
        stream = cupy.cuda.get_current_stream()
        for target, source in zip((there.data, there.offsets), sources, strict=True):
            target.set(source, stream=stream)
        for source, target in zip(made, results, strict=True):
            source.get(stream=stream, out=target, blocking=False)
        stream.synchronize()

    sources[0][...], sources[1][...] = text.data, text.offsets
    kernel = _finished(lambda: cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES))
    seen = in_turn({"host to host": whole, "copies alone": copies, "kernel alone": kernel}, rounds)
    slower = max(seen["copies alone"].median, seen["kernel alone"].median)
    share = slower / seen["host to host"].median
    table = Table(
        f"GPU: texts of ~{mean} bytes, host to host",
        f"Micro-batches in {cuda.IN_FLIGHT} streams. Host to host runs at {share:.0%} of the "
        "slower of copying all at once (pinned memory, there already) and computing all at once.",
    )
    table.rows = [{"what": name, **spread.rate(len(text))} for name, spread in seen.items()]
    return table


def _whole_run(texts: int) -> Table:
    """A run from Parquet to a store on every GPU, and how busy it kept the machine meanwhile."""
    import paninifs as pf

    with tempfile.TemporaryDirectory() as folder, pf.connect("cuda", quiet=True) as client:
        corpus = pf.open_corpus(corpora.parquet(Path(folder, "corpus.parquet"), texts, 100))
        options = {"client": client, "progress": False}
        pf.submit(pf.default_graph(), corpus, Path(folder, "warm.zarr"), **options).result()
        began = time.perf_counter()
        with _watched() as seen:
            pf.submit(pf.default_graph(), corpus, Path(folder, "run.zarr"), **options).result()
        seconds = time.perf_counter() - began
    table = Table(
        "GPU: whole run from Parquet, texts of ~100 bytes",
        f"{texts:,} texts, {texts / seconds:,.0f} a second, file to store, a worker a GPU. Busy: "
        "what NVML and the system say of the machine every tenth of a second while it ran.",
    )
    for name, values in seen.items():
        table.rows.append(
            {"busy, in %": name, "median": float(np.median(values)), "most": float(max(values))}
        )
    return table


@contextmanager
def _watched() -> Iterator[dict[str, list[float]]]:
    """Note how busy GPUs, their memory and the processor are, until the block ends."""
    import psutil
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
    seen: dict[str, list[float]] = {"GPU": [], "GPU memory": [], "CPU": []}
    stop = threading.Event()
    psutil.cpu_percent()

    def watch() -> None:
        while not stop.wait(0.1):
            memory = [pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
            busy = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
            seen["GPU"].append(float(np.mean(busy)))
            seen["GPU memory"].append(float(np.mean([100 * m.used / m.total for m in memory])))
            seen["CPU"].append(psutil.cpu_percent())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()
        pynvml.nvmlShutdown()


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"{time.perf_counter() - began:.0f} s")
