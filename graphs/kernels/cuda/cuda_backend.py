"""The functions of the backend `cuda`: hashes and arithmetic in one kernel, compiled by NVRTC.

Texts and results are CuPy arrays on the device; `offload` copies them there and back. The kernels
are in the ``.cu`` files of this folder, `source` assembles the program for an inventory, and CuPy
caches compiled programs on disk. Only CuPy is needed, not the rest of RAPIDS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import BackendUnavailable, DeviceLost
from ....storage.text import PackedText
from ...inventories import DHATUS, PRIMES
from .. import selftest
from .memory import count_allocations, free_memory  # noqa: F401 (functions of every backend)
from .source import OPTIONS, WARP, Specification, source_of, threads_per_text

IN_FLIGHT = 3
"""Micro-batches in flight: one copied in, one computed, one copied out."""

MICRO_BATCH = (65_536, 64 << 20)
"""Texts and bytes per micro-batch: a thousand blocks of threads, which fill the largest device."""

LARGEST_INVENTORY = 256
"""Maximum number of dhātus: more would not fit a thread block's shared memory, and would take
minutes to compile."""

TEXTS_PER_BLOCK = 2 * WARP  # as in texts.cu
_ORDER_THREADS = 256
_USER_THREADS = 256
_TEXTS_PER_RUN = 4096  # one block of threads counts their lengths
_BINS = 1024 + 32 * 50  # as in texts.cu
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
_CPU_INSTEAD = (
    "to compute the same on the CPU, which also resumes the store, omit the backend or use the "
    "cluster 'cpu'"
)

_compiling = threading.Lock()

Array = Any  # a CuPy array


def digest(text: PackedText) -> Array:
    """Return the SHA-256 of every text: uint8 [n, 32]."""
    return _of_texts(text, Specification(digest=True))[0]


def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Array:
    """Return the share of every dhātu, rows summing to one: float32 [n, k]."""
    return _of_texts(text, Specification(dhatus))[1]


def prime_base(dhatu: Array, *, primes: tuple[int, ...]) -> Array:
    """Return prime-base signatures: float32 [n, m]."""
    return _of_shares(dhatu, primes)[0]


def ambiguity(dhatu: Array, *, primes: tuple[int, ...]) -> tuple[Array, ...]:
    """Return variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    return tuple(_of_shares(dhatu, primes)[1])


def default_graph(
    text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> tuple[Array, ...]:
    """Return digest, dhātu, prime base and the four parts of ambiguity, in one pass."""
    digests, shares, base, parts = _of_texts(text, Specification(dhatus, True, primes))
    return digests, shares, base, *parts


def _of_texts(text: PackedText, wanted: Specification) -> tuple[Array, Array, Array, Array]:
    cupy, texts = _cupy(), len(text)
    if len(wanted.dhatus) > LARGEST_INVENTORY:
        raise BackendUnavailable(
            f"backend 'cuda' supports up to {LARGEST_INVENTORY} dhātus, not "
            f"{len(wanted.dhatus)}; {_CPU_INSTEAD}"
        )
    wanted = replace(wanted, wide=text.offsets.dtype.itemsize == 8)
    digests = cupy.empty((texts if wanted.digest else 0, 32), np.uint8)
    shares = cupy.empty((texts, len(wanted.dhatus)), np.float32)
    base = cupy.empty((texts, len(wanted.primes)), np.float32)
    parts = cupy.empty((4, texts if wanted.primes else 0), np.float32)
    if texts:
        threads = TEXTS_PER_BLOCK * threads_per_text(wanted)
        # The last argument is 1, but must not be a compile-time constant: see sha256.cu.
        arguments = (text.data, text.offsets, _order(text, wanted), np.int64(texts), np.uint32(1))
        outputs = (digests, shares, base, parts)
        _launch(
            wanted, "compute_texts", -(-texts // TEXTS_PER_BLOCK), threads, *arguments, *outputs
        )
    return digests, shares, base, parts


def _of_shares(dhatu: Array, primes: tuple[int, ...]) -> tuple[Array, Array]:
    cupy, (texts, given) = _cupy(), dhatu.shape
    base = cupy.empty((texts, len(primes)), np.float32)
    parts = cupy.empty((4, texts), np.float32)
    if texts:
        wanted = Specification(primes=primes, given=given)
        arguments = (cupy.ascontiguousarray(dhatu), np.int64(texts), base, parts)
        _launch(wanted, "compute_moments", -(-texts // 128), 128, *arguments)
    return base, parts


def _order(text: PackedText, wanted: Specification) -> Array:
    """Return the indices of the texts, the longest first: uint32 [n]."""
    cupy, texts = _cupy(), len(text)
    counts = cupy.zeros(_BINS, np.uint32)
    order = cupy.empty(texts, np.uint32)
    runs = -(-texts // _TEXTS_PER_RUN)
    lengths = (text.offsets, np.int64(texts), np.int32(_TEXTS_PER_RUN), counts)
    _launch(wanted, "count_lengths", runs, _ORDER_THREADS, *lengths)
    _launch(wanted, "place_bins", 1, _ORDER_THREADS, counts)
    _launch(wanted, "order_texts", runs, _ORDER_THREADS, *lengths, order)
    return order


def _launch(wanted: Specification, name: str, blocks: int, threads: int, *arguments: Any) -> None:
    with _compiling:  # one thread compiles, the others wait
        kernel = _kernel(source_of(wanted), name)
    kernel((blocks,), (threads,), arguments)


@cache
def _kernel(source: str, name: str) -> Any:
    return _program(source).get_function(name)


@cache
def _program(source: str) -> Any:
    program = _cupy().RawModule(code=source, options=OPTIONS)
    program.compile()  # otherwise CuPy compiles at the first launch, once per thread
    return program


def _cupy() -> Any:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'cuda' needs an NVIDIA GPU and CuPy ({error}); `paninifs devices` "
            f"reports whether there is a GPU and what to install; {_CPU_INSTEAD}"
        ) from error


def user_function(block: Any) -> Callable[..., Any]:
    """Return the code of a user's block: its CUDA kernel if it has one, else its function."""
    function: Callable[..., Any] = partial(_run_own, block) if block.cuda else block.function
    return function


def may_be_of_text(block: Any, error: BaseException) -> bool:
    """Return whether a text may be why a block failed: a kernel raises only for the device."""
    cupy = _cupy()
    of_device = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError
    return block.function is not None and not block.cuda and not isinstance(error, of_device)


def _run_own(block: Any, *inputs: Any) -> tuple[Array, ...]:
    cupy, rows = _cupy(), len(inputs[0])
    arguments: list[Array] = []
    for values in inputs:
        if isinstance(values, PackedText):
            arguments += [values.data, values.offsets.astype(np.int64)]
        else:
            arguments.append(cupy.ascontiguousarray(values))
    made = tuple(cupy.empty((rows, *field.shape), field.array_dtype) for field in block.fields)
    if rows:
        with _compiling:
            kernel = _kernel(block.cuda, block.name)
        blocks = -(-rows // _USER_THREADS)
        kernel((blocks,), (_USER_THREADS,), (*arguments, np.int64(rows), *made))
    return made if len(made) > 1 else made[0]


# --- to the device and back -----------------------------------------------------------------------


def asarray(values: Any) -> Array:
    """Return an array on the device; arrays of strings stay on the host."""
    return values if values.dtype.kind in "OTU" else _cupy().asarray(values)


def offload(
    text: PackedText, work: Callable[[PackedText], Mapping[str, Array]]
) -> dict[str, npt.NDArray[Any]]:
    """Copy texts to the device, call `work` on them, and copy back what it returns.

    Copies use pinned memory, and each call uses one stream, so that several threads keep the
    device's copy engines and processors busy at the same time.

    Raises
    ------
    MemoryError
        The texts do not fit into the device's memory or into pinned memory.
    DeviceLost
        The device failed, and will fail every other call of this process.
    """
    cupy, device = _cupy(), _device()
    returned: dict[str, npt.NDArray[Any]] = {}
    pinned: list[npt.NDArray[Any]] = []
    try:
        with _stream() as stream:
            on_device = PackedText(*(_to_device(part, stream) for part in _staged(text, pinned)))
            for name, array in work(on_device).items():
                returned[name] = _to_host(array, stream, pinned)
        return returned
    except MemoryError:
        cupy.get_default_memory_pool().free_all_blocks()
        raise
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        if error.status == _OUT_OF_MEMORY:
            cupy.get_default_memory_pool().free_all_blocks()
            raise MemoryError(str(error)) from error
        if _responds():
            raise  # the call failed, the device did not
        raise DeviceLost(f"{device} failed: {error}") from error


_idle: list[Any] = []  # streams, reused because CuPy's memory pools are per stream


@contextmanager
def _stream() -> Iterator[Any]:
    """Yield an idle stream, and wait until it is idle again, also after an exception.

    Freed memory is reused at once, so work still queued on the stream would write into memory that
    belongs to another thread by then.
    """
    try:
        stream = _idle.pop()
    except IndexError:
        stream = _cupy().cuda.Stream(non_blocking=True)
    try:
        with stream:
            yield stream
    finally:
        stream.synchronize()
        _idle.append(stream)


def _staged(text: PackedText, held: list[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    """Copy texts to pinned memory: their bytes, and their offsets starting at 0."""
    begin, end = int(text.offsets[0]), int(text.offsets[-1])
    data = _pinned((end - begin,), np.uint8, held)
    data[...] = text.data[begin:end]
    yield data
    offsets = _pinned(text.offsets.shape, text.offsets.dtype, held)
    np.subtract(text.offsets, begin, out=offsets)
    yield offsets


def _to_device(array: npt.NDArray[Any], stream: Any) -> Array:
    on_device = _cupy().empty(array.shape, array.dtype)
    on_device.set(array, stream=stream)
    return on_device


def _to_host(array: Array, stream: Any, held: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if isinstance(array, np.ndarray):  # made on the host by a user's block
        return array
    on_host = _pinned(array.shape, array.dtype, held)
    array.get(stream=stream, out=on_host, blocking=False)
    return on_host


def _pinned(shape: Any, dtype: Any, held: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return pinned memory and append it to `held`, which must outlive the stream's work."""
    array: npt.NDArray[Any] = import_module("cupyx").empty_pinned(shape, dtype)
    held.append(array)
    return array


# --- self-test ------------------------------------------------------------------------------------


@cache
def prepare() -> None:
    """Compile what is not in the cache, and run the self-test on the device.

    Raises
    ------
    BackendUnavailable
        There is no device, its driver is unsuitable, or its results are wrong.
    """
    try:
        fields = offload(selftest.texts(), _compute)
    except (BackendUnavailable, MemoryError):
        raise
    except DeviceLost as error:
        raise BackendUnavailable(f"{error}; {_CPU_INSTEAD}") from error
    except Exception as error:
        # CuPy has a different exception class for each step: driver, compiler, headers, launch.
        raise BackendUnavailable(
            f"no usable NVIDIA device: {type(error).__name__}: {error}; {_CPU_INSTEAD}"
        ) from error
    if not selftest.matches_reference(list(fields.values())):
        raise BackendUnavailable(f"{_device()} computes wrong results; {_CPU_INSTEAD}")


def _compute(text: PackedText) -> dict[str, Array]:
    made = default_graph(text, dhatus=DHATUS, primes=PRIMES)
    return {str(number): array for number, array in enumerate(made)}


def _responds() -> bool:
    """Return whether the device still responds; after a fatal error every call fails."""
    runtime = _cupy().cuda.runtime
    try:
        runtime.deviceSynchronize()
    except runtime.CUDARuntimeError:
        return False
    return True


@cache
def _device() -> str:
    """Return the name of the device and its driver's CUDA version, for messages."""
    runtime = _cupy().cuda.runtime
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    version = runtime.driverGetVersion()
    return f"{name} (driver for CUDA {version // 1000}.{version % 1000 // 10})"
