"""A stand-in for CuPy with the parts that the engine uses; "device" arrays are in host memory.

A test that puts this folder first on `sys.path` runs the CUDA kernels compiled for the host. Arrays
have a class of their own, so that "device" arrays cannot be mistaken for NumPy arrays.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
import re
import subprocess
import tempfile
import threading
import types
import weakref
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COMPILED = Path(tempfile.gettempdir()) / f"paninifs-cuda-on-host-{os.getuid()}"


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 (CuPy's name)
    """An array on the "device"; NumPy's functions accept and return it, except for `asarray`.

    Like CuPy's arrays it has no ``__array_namespace__``.
    """

    def __init__(self, on_host, memory=None):
        self._memory = memory or cuda.get_allocator()(on_host.nbytes)
        self._on_host = np.ascontiguousarray(on_host).reshape(on_host.shape)
        self.dtype, self.shape, self.ndim = on_host.dtype, on_host.shape, on_host.ndim

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(isinstance(value, np.ndarray) for value in inputs):
            raise TypeError(f"Unsupported type {np.ndarray}")
        return _wrapped(getattr(ufunc, method)(*map(_plain, inputs), **kwargs))

    def __array_function__(self, function, types, args, kwargs):
        return _wrapped(function(*map(_plain, args), **kwargs))

    @property
    def __cuda_array_interface__(self):
        return {"version": 3}

    def __len__(self):
        return len(self._on_host)

    def __getitem__(self, key):
        part = np.asarray(self._on_host[_index(key)])
        return ndarray(part, self._memory if np.may_share_memory(part, self._on_host) else None)

    def __setitem__(self, key, value):
        assert isinstance(value, (ndarray, int, float, bool)), (
            "CuPy copies no NumPy array implicitly"
        )
        self._on_host[_index(key)] = _plain(value)

    def __int__(self):
        return int(self._on_host)

    def astype(self, dtype, copy=True):
        return self if self.dtype == dtype and not copy else ndarray(self._on_host.astype(dtype))

    def set(self, values, stream=None):
        assert type(values) is np.ndarray
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        assert values.flags.c_contiguous
        self._on_host[...] = values
        if stream is not None and host.holds(values):
            stream._queued.append(_unchanged(values))

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            _get_current_stream().synchronize()
            return self._on_host.copy()
        assert (out.dtype, out.shape) == (self.dtype, self.shape)
        assert out.flags.c_contiguous
        stream = stream or _get_current_stream()
        stream._queued.append(_copied(self._on_host.copy(), out))
        if blocking:
            stream.synchronize()
        return out


def _index(key):
    assert not isinstance(key, np.ndarray), "CuPy supports no NumPy array as an index"
    return key._on_host if isinstance(key, ndarray) else key


def _plain(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value._on_host if isinstance(value, ndarray) else value


def _wrapped(value):
    return ndarray(np.asarray(value))


def empty(shape, dtype):
    shape = (shape,) if isinstance(shape, int) else shape
    memory = cuda.get_allocator()(math.prod(shape) * np.dtype(dtype).itemsize)
    made = np.full(shape, 0x5A, np.uint8).astype(dtype)  # not zeros, which CuPy does not promise
    return ndarray(made, memory)


def zeros(shape, dtype):
    return ndarray(np.zeros(shape, dtype))


def full(shape, fill_value, dtype):
    return ndarray(np.full(shape, fill_value, dtype))


def arange(stop):
    return ndarray(np.arange(stop))


def cumsum(values):
    assert isinstance(values, ndarray)
    return _wrapped(np.cumsum(values._on_host))


def searchsorted(values, wanted, side):
    assert {type(values), type(wanted)} == {ndarray}
    return _wrapped(np.searchsorted(values._on_host, wanted._on_host, side=side))


def concatenate(parts):
    assert {type(one) for one in parts} == {ndarray}
    return _wrapped(np.concatenate([one._on_host for one in parts]))


def asarray(values):
    if not hasattr(values, "dtype"):
        return _viewed(values)
    assert values.dtype.kind not in "OTU", "CuPy supports neither strings nor objects"
    return values if isinstance(values, ndarray) else ndarray(np.array(values))


ascontiguousarray = asarray


def _viewed(exporter):
    """View memory of the "device" that something else owns, and hold what owns it."""
    interface = exporter.__cuda_array_interface__
    (length,), dtype = interface["shape"], np.dtype(interface["typestr"])
    address, read_only = interface["data"]
    assert interface["strides"] is None
    assert not read_only, "CuPy refuses memory that is read-only"
    raw = (ctypes.c_byte * (length * dtype.itemsize)).from_address(address)
    return ndarray(np.frombuffer(raw, dtype), exporter)


class RawModule:
    """A program, compiled by the host's C++ compiler once per source."""

    def __init__(self, *, code, options):
        assert "--fmad=false" in options
        self._code, self._library = code, None

    def compile(self):
        code = self._code
        whole = '#include "cuda_on_host.h"\n' + code
        preprocessed = subprocess.run(
            ["cpp", "-P"], input=code.encode(), stdout=subprocess.PIPE, check=True
        )
        for name in re.findall(
            r"__global__ void (?:__launch_bounds__\(.*?\)\s+)?(\w+)",
            preprocessed.stdout.decode(),
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
            fresh = COMPILED / f"{key}.{os.getpid()}.{threading.get_ident()}"
            command = ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared"]
            command += ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-w"]
            command += [f"-I{HERE}", "-x", "c++", "-", "-o", str(fresh)]
            subprocess.run(command, input=whole.encode(), check=True)
            fresh.replace(library)
        self._library = ctypes.CDLL(str(library))

    def get_function(self, name):
        def launch(grid, block, arguments):
            if self._library is None:  # at the first launch, like CuPy
                self.compile()
            launcher = getattr(self._library, f"launch_{name}", None)
            if launcher is None:
                raise CUDADriverError(500)  # not found
            values = [_argument(one) for one in arguments]
            pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
            launcher(*grid, *block, pointers)

        return launch


def _argument(value):
    if isinstance(value, ndarray):
        return ctypes.c_void_p(value._on_host.ctypes.data)
    assert isinstance(value, np.generic), "a Python number has no CUDA type"
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


def _owner(array):
    """Return a weak reference to what keeps an array's memory: a stream keeps nothing."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return weakref.ref(array)


def _unchanged(source):
    """Return a check that nothing has used memory that the device is still to read."""
    owner, address, before = _owner(source), source.ctypes.data, source.tobytes()

    def check():
        assert owner() is not None, "pinned memory was given back before it was copied"
        assert ctypes.string_at(address, len(before)) == before, "it changed before it was copied"

    return check


def _copied(values, out):
    """Return the copy of values into memory that must still be there."""
    owner, address = _owner(out), out.ctypes.data

    def copy():
        assert owner() is not None, "pinned memory was given back before it was filled"
        ctypes.memmove(address, values.ctypes.data, values.nbytes)

    return copy


class _Stream:
    """Kernels run at once, but copies to and from pinned memory only when they are waited for."""

    def __init__(self, *, non_blocking):
        assert non_blocking
        self._queued = []

    def __enter__(self):
        _of_thread.streams = [*_streams(), self]
        return self

    def __exit__(self, *_):
        assert _of_thread.streams.pop() is self

    def synchronize(self):
        self._run(len(self._queued))

    def _run(self, number):
        queued, self._queued[:number] = self._queued[:number], []
        for one in queued:
            one()


class _Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._blocking, self._recorded = block, (_null, 0)

    def record(self, stream=None):
        stream = stream or _get_current_stream()
        self._recorded = stream, len(stream._queued)

    def synchronize(self):
        waits.append(self._blocking)
        stream, number = self._recorded
        stream._run(number)


_null = _Stream(non_blocking=True)
_of_thread = threading.local()
waits = []  # for each event that was waited for: whether the thread slept


def _streams():
    return getattr(_of_thread, "streams", [_null])


def _get_current_stream():
    return _streams()[-1]


STICKY = (700, 719)  # an illegal address, a failed launch: the device is lost to the process
_errors = []


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__(f"cudaError {status}")
        _errors.append(status)


class CUDADriverError(CUDARuntimeError):
    pass


def _device_synchronize():
    for status in _errors:
        if status in STICKY:
            raise CUDARuntimeError(status)


class OutOfMemoryError(MemoryError):
    pass


class Device:
    """The device's memory, allocated in multiples of 512 bytes as by CuPy's pool."""

    def __init__(self):
        self.total, self.taken, self.peak, self.refused = 1 << 50, 0, 0, 0
        self._lock = threading.RLock()  # memory may be freed during an allocation

    def take(self, nbytes):
        nbytes = -(-nbytes // 512) * 512
        with self._lock:
            if self.taken + nbytes > self.total:
                self.refused += 1
                raise OutOfMemoryError
            self.taken += nbytes
            self.peak = max(self.peak, self.taken)
        return Memory(nbytes)

    def give_back(self, nbytes):
        with self._lock:
            self.taken -= nbytes

    take.__module__ = None  # as of CuPy's allocator, a method of compiled code


class Memory:
    """An allocation, freed when its last reference goes."""

    def __init__(self, nbytes):
        self._nbytes = nbytes

    def __del__(self):
        device.give_back(self._nbytes)


class Host:
    """Pinned memory. Freed memory is gone: whoever still reads it reads anything."""

    def __init__(self):
        self.total, self.allocated, self._held = 1 << 50, [], {}
        self._lock = threading.RLock()

    @property
    def taken(self):
        return sum(len(memory) for memory in self._held.values())

    def alloc(self, nbytes, flags):
        assert flags == cuda.runtime.hostAllocPortable
        with self._lock:
            if self.taken + nbytes > self.total:
                raise CUDARuntimeError(2)
            memory = (ctypes.c_byte * nbytes)()
            ctypes.memset(memory, 0x5A, nbytes)
            self._held[ctypes.addressof(memory)] = memory
            self.allocated.append(nbytes)
        return ctypes.addressof(memory)

    def free(self, address):
        with self._lock:
            memory = self._held.pop(address)
        ctypes.memset(memory, 0xDD, len(memory))

    def holds(self, array):
        start = array.ctypes.data
        with self._lock:
            held = [(address, len(memory)) for address, memory in self._held.items()]
        return any(address <= start < address + nbytes for address, nbytes in held)


class PinnedMemory:
    """An allocation of pinned memory, freed when its last reference goes."""

    def __init__(self, size, flags=0):
        self.size, self.ptr = size, 0
        if size > 0:
            self.ptr = cuda.runtime.hostAlloc(size, flags)

    def __del__(self):
        if self.ptr:
            cuda.runtime.freeHost(self.ptr)


def _pinned_memory_pointer(mem, offset):
    """Return an object with the buffer protocol, of signed bytes, that holds the allocation."""
    kind = type("PinnedMemoryPointer", (ctypes.c_byte * (mem.size - offset),), {})
    pointer = kind.from_address(mem.ptr + offset)
    pointer.mem, pointer.ptr = mem, mem.ptr + offset
    return pointer


host = Host()
device = Device()
_allocators = threading.local()


def _get_allocator():
    return getattr(_allocators, "own", None) or device.take


@contextlib.contextmanager
def _using_allocator(allocator):
    before, _allocators.own = getattr(_allocators, "own", None), allocator
    try:
        yield
    finally:
        _allocators.own = before


cuda = types.SimpleNamespace(
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    Stream=_Stream,
    Event=_Event,
    get_current_stream=_get_current_stream,
    PinnedMemory=PinnedMemory,
    PinnedMemoryPointer=_pinned_memory_pointer,
    get_allocator=_get_allocator,
    using_allocator=_using_allocator,
    runtime=types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        memGetInfo=lambda: (device.total - device.taken, device.total),
        deviceSynchronize=_device_synchronize,
        hostAlloc=host.alloc,
        freeHost=host.free,
        hostAllocPortable=1,
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: {"name": b"the host's processor"},
        driverGetVersion=lambda: 13000,
    ),
    driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
)


def get_default_memory_pool():
    return types.SimpleNamespace(free_all_blocks=lambda: None, free_bytes=lambda: 0)


def get_default_pinned_memory_pool():
    return types.SimpleNamespace(free_all_blocks=lambda: None)
