"""NVIDIA GPUs: every hash of a text and what follows from it in one kernel, compiled by NVRTC.

Texts and results are CuPy arrays on the device; `offload` brings them there and back. The CUDA C++
is beside this file, `cuda_source` makes a program of it for an inventory, and CuPy keeps what it
compiled on disk. Needs CuPy and nothing else of RAPIDS.
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
from .memory import counted, room  # noqa: F401 (a part of every backend)
from .source import OPTIONS, WARP, Specification, source_of, threads_a_text

IN_FLIGHT = 3
"""One micro-batch on its way in, one computed, one on its way out."""

MICRO_BATCH = (65_536, 64 << 20)
"""A thousand blocks of threads, which fill the largest device; of long texts as many bytes."""

LARGEST_INVENTORY = 256
"""Dhātus; more would not fit a block's shared memory, and take minutes to compile."""

TEXTS_A_BLOCK = 2 * WARP  # as in texts.cu
_ORDER_THREADS = 256
_OWN_THREADS = 256
_TEXTS_A_RUN = 4096  # whose lengths one block counts
_BINS = 1024 + 32 * 50  # as in texts.cu
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
_INSTEAD = (
    "the CPU computes the same, and goes on with what is done: leave the backend out, or take the "
    "cluster 'cpu'"
)

_compiling = threading.Lock()

Array = Any  # of CuPy


def digest(text: PackedText) -> Array:
    """SHA-256 of every text: uint8 [n, 32]."""
    return _of_texts(text, Specification(digest=True))[0]


def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Array:
    """Weights of every dhātu, summing to one: float32 [n, k]."""
    return _of_texts(text, Specification(dhatus))[1]


def prime_base(dhatu: Array, *, primes: tuple[int, ...]) -> Array:
    """Prime-base signatures: float32 [n, m]."""
    return _of_shares(dhatu, primes)[0]


def ambiguity(dhatu: Array, *, primes: tuple[int, ...]) -> tuple[Array, ...]:
    """Variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    return tuple(_of_shares(dhatu, primes)[1])


def default_graph(
    text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> tuple[Array, ...]:
    """Digest, dhātu, prime base and the four parts of ambiguity, in one pass over the texts."""
    digests, shares, base, parts = _of_texts(text, Specification(dhatus, True, primes))
    return digests, shares, base, *parts


def _of_texts(text: PackedText, wanted: Specification) -> tuple[Array, Array, Array, Array]:
    cupy, texts = _cupy(), len(text)
    if len(wanted.dhatus) > LARGEST_INVENTORY:
        raise BackendUnavailable(
            f"backend 'cuda' takes up to {LARGEST_INVENTORY} dhātus, and these are "
            f"{len(wanted.dhatus)}; {_INSTEAD}"
        )
    wanted = replace(wanted, wide=text.offsets.dtype.itemsize == 8)
    digests = cupy.empty((texts if wanted.digest else 0, 32), np.uint8)
    shares = cupy.empty((texts, len(wanted.dhatus)), np.float32)
    base = cupy.empty((texts, len(wanted.primes)), np.float32)
    parts = cupy.empty((4, texts if wanted.primes else 0), np.float32)
    if texts:
        threads = TEXTS_A_BLOCK * threads_a_text(wanted)
        # The last number is a one that the compiler must not know for one: see sha256.cu.
        arguments = (text.data, text.offsets, _order(text, wanted), np.int64(texts), np.uint32(1))
        outputs = (digests, shares, base, parts)
        _launch(wanted, "compute_texts", -(-texts // TEXTS_A_BLOCK), threads, *arguments, *outputs)
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
    """Return the numbers of the texts, the longest first: uint32 [n]."""
    cupy, texts = _cupy(), len(text)
    counts = cupy.zeros(_BINS, np.uint32)
    order = cupy.empty(texts, np.uint32)
    runs = -(-texts // _TEXTS_A_RUN)
    lengths = (text.offsets, np.int64(texts), np.int32(_TEXTS_A_RUN), counts)
    _launch(wanted, "count_lengths", runs, _ORDER_THREADS, *lengths)
    _launch(wanted, "place_bins", 1, _ORDER_THREADS, counts)
    _launch(wanted, "order_texts", runs, _ORDER_THREADS, *lengths, order)
    return order


def _launch(wanted: Specification, name: str, blocks: int, threads: int, *arguments: Any) -> None:
    with _compiling:  # one thread compiles, the others wait for it
        kernel = _kernel(source_of(wanted), name)
    kernel((blocks,), (threads,), arguments)


@cache
def _kernel(source: str, name: str) -> Any:
    return _program(source).get_function(name)


@cache
def _program(source: str) -> Any:
    program = _cupy().RawModule(code=source, options=OPTIONS)
    program.compile()  # else CuPy does at the first launch, in every thread that comes to it
    return program


def _cupy() -> Any:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'cuda' needs an NVIDIA GPU and CuPy ({error}); `paninifs devices` says "
            f"whether there is a GPU, and what to install for it; {_INSTEAD}"
        ) from error


def own(block: Any) -> Callable[..., Any]:
    """Return the code of a user's own block: its CUDA kernel where it brings one."""
    function: Callable[..., Any] = partial(_run_own, block) if block.cuda else block.function
    return function


def _run_own(block: Any, *inputs: Any) -> tuple[Array, ...]:
    cupy, rows = _cupy(), len(inputs[0])
    arguments: list[Array] = []
    for one in inputs:
        if isinstance(one, PackedText):
            arguments += [one.data, one.offsets.astype(np.int64)]
        else:
            arguments.append(cupy.ascontiguousarray(one))
    made = tuple(cupy.empty((rows, *field.shape), field.array_dtype) for field in block.fields)
    if rows:
        with _compiling:
            kernel = _kernel(block.cuda, block.name)
        kernel((-(-rows // _OWN_THREADS),), (_OWN_THREADS,), (*arguments, np.int64(rows), *made))
    return made if len(made) > 1 else made[0]


# --- to the device and back -----------------------------------------------------------------------


def asarray(values: Any) -> Array:
    """Return an array on the device; one of strings stays where it is."""
    return values if values.dtype.kind in "OTU" else _cupy().asarray(values)


def offload(
    text: PackedText, work: Callable[[PackedText], Mapping[str, Array]]
) -> dict[str, npt.NDArray[Any]]:
    """Bring texts to the device, do `work` there, bring back what it returns.

    Copies go through pinned memory and everything through one stream, so that several threads
    keep the device's copy engines and its processors at work at once.

    Raises
    ------
    MemoryError
        The device, or pinned memory, has no room for that many texts.
    DeviceLost
        The device failed, and so will everything else that this process asks of it.
    """
    cupy, device = _cupy(), _device()
    back: dict[str, npt.NDArray[Any]] = {}
    pinned: list[npt.NDArray[Any]] = []
    try:
        with _stream() as stream:
            there = PackedText(*(_sent(array, stream) for array in _staged(text, pinned)))
            for name, array in work(there).items():
                back[name] = _fetched(array, stream, pinned)
        return back
    except MemoryError:
        cupy.get_default_memory_pool().free_all_blocks()
        raise
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        if error.status == _OUT_OF_MEMORY:
            cupy.get_default_memory_pool().free_all_blocks()
            raise MemoryError(str(error)) from error
        if _answers():
            raise  # it was asked for something odd, no more
        raise DeviceLost(f"{device} failed: {error}") from error


_idle: list[Any] = []  # streams; CuPy keeps memory by stream, so they are used again


@contextmanager
def _stream() -> Iterator[Any]:
    """Lend a stream that has nothing to do, and wait until it has nothing to do again.

    Come what may: memory that is let go is given out again at once, and what the stream has yet to
    do would be done to whoever has it then.
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
    """Copy texts to pinned memory: their bytes, and their offsets counted from 0."""
    begin, end = int(text.offsets[0]), int(text.offsets[-1])
    data = _pinned((end - begin,), np.uint8, held)
    data[...] = text.data[begin:end]
    yield data
    offsets = _pinned(text.offsets.shape, text.offsets.dtype, held)
    np.subtract(text.offsets, begin, out=offsets)
    yield offsets


def _sent(array: npt.NDArray[Any], stream: Any) -> Array:
    there = _cupy().empty(array.shape, array.dtype)
    there.set(array, stream=stream)
    return there


def _fetched(array: Array, stream: Any, held: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if isinstance(array, np.ndarray):  # a block of the user's made it on the host
        return array
    here = _pinned(array.shape, array.dtype, held)
    array.get(stream=stream, out=here, blocking=False)
    return here


def _pinned(shape: Any, dtype: Any, held: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return pinned memory, which whoever `held` belongs to keeps until the stream is done."""
    array: npt.NDArray[Any] = import_module("cupyx").empty_pinned(shape, dtype)
    held.append(array)
    return array


# --- is it sound? ---------------------------------------------------------------------------------


@cache
def prepare() -> None:
    """Compile what is not in the cache yet, and try the device against hashlib.

    Raises
    ------
    BackendUnavailable
        There is no device, its driver does not do, or what it computes is wrong.
    """
    try:
        found = offload(selftest.texts(), _tried)
    except (BackendUnavailable, MemoryError):
        raise
    except DeviceLost as error:
        raise BackendUnavailable(f"{error}; {_INSTEAD}") from error
    except Exception as error:
        # CuPy raises a class of its own for every step: driver, compiler, its headers, launch.
        raise BackendUnavailable(
            f"no NVIDIA device can be used: {type(error).__name__}: {error}; {_INSTEAD}"
        ) from error
    if not selftest.passed(list(found.values())):
        raise BackendUnavailable(f"{_device()} computes wrongly, so it is not used; {_INSTEAD}")


def _tried(text: PackedText) -> dict[str, Array]:
    made = default_graph(text, dhatus=DHATUS, primes=PRIMES)
    return {str(number): array for number, array in enumerate(made)}


def _answers() -> bool:
    """Say whether the device still does; an error that took it away comes back from every call."""
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
