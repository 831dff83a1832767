"""The device of this process: CuPy, its name, and whether it still responds."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from ....storage.errors import BackendUnavailable

OUT_OF_MEMORY = 2
"""Status of an error of CUDA's runtime: cudaErrorMemoryAllocation."""

CPU_INSTEAD = (
    "to compute the same on the CPU, which also resumes the store, omit the backend or use the "
    "cluster 'cpu'"
)


def load_cupy() -> Any:
    """Return the module CuPy.

    Raises
    ------
    BackendUnavailable
        It is not installed.
    """
    try:
        return import_module("cupy")
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'cuda' needs an NVIDIA GPU and CuPy ({error}); `paninifs devices` "
            f"reports whether there is a GPU and what to install; {CPU_INSTEAD}"
        ) from error


def responds() -> bool:
    """Return whether the device still responds; after a fatal error every call fails."""
    runtime = load_cupy().cuda.runtime
    try:
        runtime.deviceSynchronize()
    except runtime.CUDARuntimeError:
        return False
    return True


@cache
def device_name() -> str:
    """Return the name of the device and its driver's CUDA version, for messages."""
    runtime = load_cupy().cuda.runtime
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    version = runtime.driverGetVersion()
    return f"{name} (driver for CUDA {version // 1000}.{version % 1000 // 10})"
