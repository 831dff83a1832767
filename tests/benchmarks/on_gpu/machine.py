"""The device and its machine, texts on it, and how long its programs take to compile."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import corpora
import cupy
import numpy as np
from measure import Table

from paninifs.graphs.inventories import DHATUS
from paninifs.storage.text import PackedText

from .bounds import Device

PREFIXES = [name.encode() + b"::" for name in DHATUS]

PREPARING = """
import time
import numpy as np
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, selftest
from paninifs.storage.text import PackedText

cuda, began = load("cuda"), time.perf_counter()
cuda.prepare()
prepared = time.perf_counter()
text = selftest.texts()
narrow = PackedText(text.data, text.offsets.astype(np.int32))
cuda.offload({"text": narrow}, lambda values: dict(zip(
    "abcdefg", cuda.default_graph(values["text"], dhatus=DHATUS, primes=PRIMES), strict=True
)))
print(prepared - began, time.perf_counter() - prepared)
"""


@dataclass(frozen=True)
class Amount:
    """How much is measured: a factor on the texts and bytes, and rounds."""

    factor: float = 1.0
    rounds: int = 9

    def of(self, count: int, least: int = 64) -> int:
        """Return a count of texts, rows or bytes, scaled."""
        return max(least, int(count * self.factor))

    def texts(self, count: int, mean_bytes: int) -> PackedText:
        """Return texts of a mean length, fewer if the amount is smaller."""
        return corpora.texts(self.of(count), mean_bytes)


def facts() -> dict[str, Any]:
    """Return what the figures are taken on."""
    runtime, attributes = cupy.cuda.runtime, cupy.cuda.Device().attributes
    properties = runtime.getDeviceProperties(runtime.getDevice())
    found = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "device": properties["name"].decode(),
        "compute capability": ".".join(map(str, capability())),
        "multiprocessors": attributes["MultiProcessorCount"],
        "clock, at most (GHz)": attributes["ClockRate"] / 1e6,
        "memory (GiB)": round(runtime.memGetInfo()[1] / 2**30, 1),
        "L2 (MiB)": attributes["L2CacheSize"] / 2**20,
        "CUDA of the driver": runtime.driverGetVersion(),
        "driver": _driver(),
        "NVRTC": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    with suppress(OSError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found["host memory (GiB)"] = round(pages / 2**30)
    return found


def _driver() -> str:
    """Return the driver's version, which only NVML knows."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:  # noqa: BLE001 (the figures are worth having without it)
        return f"unknown ({type(error).__name__})"


def capability() -> tuple[int, int]:
    """Return the compute capability of the current device."""
    digits = str(cupy.cuda.Device().compute_capability)
    return int(digits[:-1]), int(digits[-1])


def device(clock_mhz: float | None = None) -> Device:
    """Return what bounds the current device, at a measured clock or at its highest one."""
    attributes = cupy.cuda.Device().attributes
    return Device(
        processors=attributes["MultiProcessorCount"],
        capability=capability(),
        clock=clock_mhz * 1e6 if clock_mhz else attributes["ClockRate"] * 1e3,
    )


def on_device(text: PackedText) -> PackedText:
    """Copy texts to the device."""
    return PackedText(cupy.asarray(text.data), cupy.asarray(text.offsets))


def compilation(_: Amount) -> Iterator[Table]:
    """Measure how long a worker's start takes, with an empty cache of programs and with a full one.

    Each is a process of its own, as CuPy keeps programs for a process too.
    """
    table = Table(
        "GPU: a worker's start",
        "Seconds of `prepare()`, which compiles and tests the default graph, and of the first "
        "texts with 32-bit offsets after it, as Parquet and JSON Lines give them.",
    )
    with tempfile.TemporaryDirectory() as cache:
        for name in ("nothing compiled before", "compiled before"):
            ran = subprocess.run(
                [sys.executable, "-P", "-c", PREPARING],
                env={**os.environ, "CUPY_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if ran.returncode:
                raise RuntimeError(f"a worker's start failed: {ran.stderr.strip()[-500:]}")
            prepared, narrow = map(float, ran.stdout.split())
            table.rows.append({"what": name, "prepare()": prepared, "32-bit offsets": narrow})
    yield table
