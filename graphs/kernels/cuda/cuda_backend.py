"""The functions of the backend `cuda`: hashes and arithmetic in one kernel, compiled by NVRTC.

Texts and results are CuPy arrays on the device; `offload` copies them there and back. The kernels
are in the ``.cu`` files of this folder, `source` assembles the program for an inventory, and CuPy
caches compiled programs on disk. Copies are in `transfer`. Only CuPy is needed, not the rest of
RAPIDS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ....storage.errors import BackendUnavailable, DeviceLost
from ....storage.text import PackedText
from ...inventories import DHATUS, PRIMES
from .. import selftest
from ..long_texts import prepare_host_kernels
from .copies import on_host  # noqa: F401 (a function of every backend)
from .device import CPU_INSTEAD, device_name, load_cupy
from .memory import count_allocations, free_memory  # noqa: F401 (functions of every backend)
from .minhashes_on_host import band_keys, minhash  # noqa: F401 (functions of every backend)
from .program import kernel_of
from .source import WARP, Specification, source_of, threads_per_text
from .split_text import with_long_texts
from .transfer import (
    asarray,  # noqa: F401 (functions of every backend)
    chosen,  # noqa: F401
    host_buffer,  # noqa: F401
    offload,
    resident,  # noqa: F401
    spread,  # noqa: F401
)

if TYPE_CHECKING:
    from ....storage.rows import TextDecoder

IN_FLIGHT = 6
"""Micro-batches in flight: copied in, computed and copied out, while others are staged."""

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

Array = Any  # a CuPy array


@with_long_texts
def digest(text: PackedText) -> Array:
    """Return the SHA-256 of every text: uint8 [n, 32]."""
    return _of_texts(text, Specification(digest=True))[0]


@with_long_texts
def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Array:
    """Return the share of every dhātu, rows summing to one: float32 [n, k]."""
    return _of_texts(text, Specification(dhatus))[1]


def prime_base(dhatu: Array, *, primes: tuple[int, ...]) -> Array:
    """Return prime-base signatures: float32 [n, m]."""
    return _of_shares(dhatu, primes)[0]


def ambiguity(dhatu: Array, *, primes: tuple[int, ...]) -> tuple[Array, ...]:
    """Return variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    return tuple(_of_shares(dhatu, primes)[1])


@with_long_texts
def default_graph(
    text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> tuple[Array, ...]:
    """Return digest, dhātu, prime base and the four parts of ambiguity, in one pass."""
    digests, shares, base, parts = _of_texts(text, Specification(dhatus, True, primes))
    return digests, shares, base, *parts


def _of_texts(text: PackedText, wanted: Specification) -> tuple[Array, Array, Array, Array]:
    cupy, texts = load_cupy(), len(text)
    if len(wanted.dhatus) > LARGEST_INVENTORY:
        raise BackendUnavailable(
            f"backend 'cuda' supports up to {LARGEST_INVENTORY} dhātus, not "
            f"{len(wanted.dhatus)}; {CPU_INSTEAD}"
        )
    digests = cupy.empty((texts if wanted.digest else 0, 32), np.uint8)
    shares = cupy.empty((texts, len(wanted.dhatus)), np.float32)
    base = cupy.empty((texts, len(wanted.primes)), np.float32)
    parts = cupy.empty((4, texts if wanted.primes else 0), np.float32)
    if texts:
        threads = TEXTS_PER_BLOCK * threads_per_text(wanted)
        # The last argument is 1, but must not be a compile-time constant: see sha256.cu.
        one = np.uint32(1)
        offsets = text.offsets.astype(np.int64, copy=False)  # cuDF's have 32 bits
        arguments = (text.data, offsets, _order(offsets, wanted), np.int64(texts), one)
        outputs = (digests, shares, base, parts)
        _launch(
            wanted, "compute_texts", -(-texts // TEXTS_PER_BLOCK), threads, *arguments, *outputs
        )
    return digests, shares, base, parts


def _of_shares(dhatu: Array, primes: tuple[int, ...]) -> tuple[Array, Array]:
    cupy, (texts, given) = load_cupy(), dhatu.shape
    base = cupy.empty((texts, len(primes)), np.float32)
    parts = cupy.empty((4, texts), np.float32)
    if texts:
        wanted = Specification(primes=primes, given=given)
        arguments = (cupy.ascontiguousarray(dhatu), np.int64(texts), base, parts)
        _launch(wanted, "compute_moments", -(-texts // 128), 128, *arguments)
    return base, parts


def _order(offsets: Array, wanted: Specification) -> Array:
    """Return the indices of the texts, the longest first: uint32 [n]; offsets are int64 [n + 1]."""
    cupy, texts = load_cupy(), len(offsets) - 1
    counts = cupy.zeros(_BINS, np.uint32)
    order = cupy.empty(texts, np.uint32)
    runs = -(-texts // _TEXTS_PER_RUN)
    lengths = (offsets, np.int64(texts), np.int32(_TEXTS_PER_RUN), counts)
    _launch(wanted, "count_lengths", runs, _ORDER_THREADS, *lengths)
    _launch(wanted, "place_bins", 1, _ORDER_THREADS, counts)
    _launch(wanted, "order_texts", runs, _ORDER_THREADS, *lengths, order)
    return order


def _launch(wanted: Specification, name: str, blocks: int, threads: int, *arguments: Any) -> None:
    kernel_of(source_of(wanted), name)((blocks,), (threads,), arguments)


def user_function(block: Any) -> Callable[..., Any]:
    """Return the code of a user's block: its CUDA kernel if it has one, else its function."""
    function: Callable[..., Any] = partial(_run_own, block) if block.cuda else block.function
    return function


def may_be_of_text(block: Any, error: BaseException) -> bool:
    """Return whether a text may be why a block failed: a kernel raises only for the device."""
    cupy = load_cupy()
    of_device = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError
    return block.function is not None and not block.cuda and not isinstance(error, of_device)


def _run_own(block: Any, *inputs: Any) -> tuple[Array, ...]:
    cupy, rows = load_cupy(), len(inputs[0])
    arguments: list[Array] = []
    for values in inputs:
        if isinstance(values, PackedText):
            arguments += [values.data, values.offsets.astype(np.int64)]
        else:
            arguments.append(cupy.ascontiguousarray(values))
    made = tuple(cupy.empty((rows, *field.shape), field.array_dtype) for field in block.fields)
    if rows:
        blocks = -(-rows // _USER_THREADS)
        kernel = kernel_of(block.cuda, block.name)
        kernel((blocks,), (_USER_THREADS,), (*arguments, np.int64(rows), *made))
    return made if len(made) > 1 else made[0]


def text_decoder(limit: int) -> TextDecoder | str:
    """Return what decodes texts of Parquet on the device, or why the host must."""
    from . import parquet_texts  # it needs pyarrow, which kernels do without

    return parquet_texts.text_decoder(limit)


# --- self-test ------------------------------------------------------------------------------------


@cache
def prepare() -> None:
    """Compile what is not in the cache, and run the self-test on the device.

    Then the host's kernels for long texts are prepared in a thread; see `long_texts`.

    Raises
    ------
    BackendUnavailable
        No device was found, its driver is unsuitable, or its results are wrong.
    """
    try:
        fields = offload({"text": selftest.texts()}, _compute)
    except (BackendUnavailable, MemoryError):
        raise
    except DeviceLost as error:
        raise BackendUnavailable(f"{error}; {CPU_INSTEAD}") from error
    except Exception as error:
        # CuPy has a different exception class for each step: driver, compiler, headers, launch.
        raise BackendUnavailable(
            f"no usable NVIDIA device: {type(error).__name__}: {error}; {CPU_INSTEAD}"
        ) from error
    if not selftest.matches_reference(list(fields.values())):
        raise BackendUnavailable(f"{device_name()} computes wrong results; {CPU_INSTEAD}")
    prepare_host_kernels()  # last: it would take the processor from what was waited for


def _compute(values: Mapping[str, Any]) -> dict[str, Array]:
    made = default_graph(values["text"], dhatus=DHATUS, primes=PRIMES)
    return {str(number): array for number, array in enumerate(made)}
