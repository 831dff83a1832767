"""CuPy, as much of it as the engine uses, over NumPy: "device" arrays lie in the host's memory.

A test that puts this folder in front of `sys.path` runs the CUDA kernels compiled for the host.
Arrays are of a class of their own, so that what is on the "device" is told from what is not.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COMPILED = Path(tempfile.gettempdir()) / f"paninifs-cuda-on-host-{os.getuid()}"


class ndarray:  # noqa: N801 (CuPy's name)
    """An array on the "device": NumPy's functions refuse it, as they do CuPy's."""

    def __init__(self, on_host):
        self._on_host = np.ascontiguousarray(on_host)
        self.dtype, self.shape, self.ndim = on_host.dtype, on_host.shape, on_host.ndim

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    @property
    def __cuda_array_interface__(self):
        return {"version": 3}

    def __array_namespace__(self, api_version=None):
        return types.SimpleNamespace(**globals())

    def __len__(self):
        return len(self._on_host)

    def __getitem__(self, key):
        return ndarray(np.asarray(self._on_host[key]))

    def __iter__(self):
        return (ndarray(row) for row in self._on_host)

    def astype(self, dtype):
        return ndarray(self._on_host.astype(dtype))

    def sum(self, axis=None):
        return ndarray(np.asarray(self._on_host.sum(axis)))

    def set(self, values, stream=None):
        assert type(values) is np.ndarray
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        self._on_host[...] = values

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return self._on_host.copy()
        out[...] = self._on_host
        return out


def _operator(name):
    def apply(self, other):
        other = other._on_host if isinstance(other, ndarray) else other
        return ndarray(np.asarray(getattr(self._on_host, name)(other)))

    return apply


for _name in ("add", "sub", "mul", "truediv", "gt", "lt", "and", "rshift"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def empty(shape, dtype):
    return ndarray(np.full(shape, 0x5A, np.uint8).astype(dtype))  # not zeros: nobody promised them


def zeros(shape, dtype):
    return ndarray(np.zeros(shape, dtype))


def asarray(values):
    return values if isinstance(values, ndarray) else ndarray(np.array(values))


ascontiguousarray = asarray


def max(array, axis):
    return ndarray(array._on_host.max(axis))


def min(array, axis):
    return ndarray(array._on_host.min(axis))


def stack(arrays, axis):
    return ndarray(np.stack([one._on_host for one in arrays], axis))


class RawModule:
    """The program, compiled by the host's C++ compiler once for every text of it."""

    def __init__(self, *, code, options):
        assert "--fmad=false" in options
        whole = '#include "cuda_on_host.h"\n' + code
        kept = subprocess.run(
            ["cpp", "-P"], input=code.encode(), stdout=subprocess.PIPE, check=True
        )
        for name in re.findall(
            r"__global__ void (?:__launch_bounds__\(.*?\)\s+)?(\w+)",
            kept.stdout.decode(),
            re.DOTALL,
        ):
            whole += (
                f'\nextern "C" void launch_{name}(unsigned blocks, unsigned threads, void **a)'
                f" {{ launch({name}, blocks, threads, a); }}"
            )
        header = (HERE / "cuda_on_host.h").read_bytes()
        key = hashlib.sha256(header + whole.encode()).hexdigest()[:16]
        library = COMPILED / f"{key}.so"
        if not library.exists():
            COMPILED.mkdir(exist_ok=True)
            fresh = COMPILED / f"{key}.{os.getpid()}"
            command = ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared"]
            command += ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-w"]
            command += [f"-I{HERE}", "-x", "c++", "-", "-o", str(fresh)]
            subprocess.run(command, input=whole.encode(), check=True)
            fresh.replace(library)
        self._library = ctypes.CDLL(str(library))

    def get_function(self, name):
        launcher = getattr(self._library, f"launch_{name}")

        def launch(grid, block, arguments):
            values = [_argument(one) for one in arguments]
            pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
            launcher(*grid, *block, pointers)

        return launch


def _argument(value):
    if isinstance(value, ndarray):
        return ctypes.c_void_p(value._on_host.ctypes.data)
    assert isinstance(value, np.generic), "a plain number has no type of its own in CUDA"
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


class _Stream:
    def __init__(self, *, non_blocking):
        assert non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__(f"cudaError {status}")


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


cuda = types.SimpleNamespace(
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    Stream=_Stream,
    runtime=types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: {"name": b"the host's processor"},
        driverGetVersion=lambda: 13000,
    ),
    driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
)


def get_default_memory_pool():
    return types.SimpleNamespace(free_all_blocks=lambda: None)
