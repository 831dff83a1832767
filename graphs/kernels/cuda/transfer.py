"""To the device and back: texts and arrays, some of their rows, and what blocks make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import DeviceLost
from ....storage.field import Field
from ....storage.text import PackedText
from .. import host
from .device import device_name, load_cupy, responds

_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation

Array = Any  # a CuPy array


def asarray(values: Any) -> Array:
    """Return an array on the device; arrays of anything but numbers stay on the host."""
    return values if values.dtype.kind in "OTUSMm" else load_cupy().asarray(values)


def on_host(values: Array) -> npt.NDArray[Any]:
    """Return an array in the host's memory."""
    array: npt.NDArray[Any] = values if isinstance(values, np.ndarray) else values.get()
    return array


def chosen(values: Any, mask: npt.NDArray[np.bool_]) -> Any:
    """Return the texts, or the rows of an array, where the mask is true, on the device."""
    if isinstance(values, np.ndarray):  # strings
        return values[mask]
    cupy = load_cupy()
    rows = cupy.asarray(np.flatnonzero(mask))
    if not isinstance(values, PackedText):
        return values[rows]
    starts = values.offsets[rows]
    offsets = cupy.zeros(len(rows) + 1, np.int64)
    offsets[1:] = cupy.cumsum(values.offsets[rows + 1] - starts)
    at = cupy.arange(int(offsets[-1]))
    row = cupy.searchsorted(offsets, at, side="right") - 1
    return PackedText(values.data[at + (starts - offsets[:-1])[row]], offsets)


def spread(values: Array | None, mask: npt.NDArray[np.bool_], field: Field) -> Array:
    """Return a field of n rows: `values` where the mask is true, elsewhere its fill value."""
    on_device = values is not None and not isinstance(values, np.ndarray)
    if not on_device:
        return asarray(host.spread(values, mask, field))
    cupy = load_cupy()
    array = cupy.full((len(mask), *field.shape), field.fill, field.array_dtype)
    array[cupy.asarray(np.flatnonzero(mask))] = values
    return array


def offload(
    values: Mapping[str, Any], work: Callable[[Mapping[str, Any]], Mapping[str, Array]]
) -> dict[str, npt.NDArray[Any]]:
    """Copy texts and arrays to the device, call `work`, and copy back what it returns.

    Arrays of strings stay on the host. Copies use pinned memory, and each call uses one stream, so
    that several threads keep the device's copy engines and processors busy at the same time.

    Raises
    ------
    MemoryError
        The texts do not fit into the device's memory or into pinned memory.
    DeviceLost
        The device failed, and will fail every other call of this process.
    """
    returned: dict[str, npt.NDArray[Any]] = {}
    pinned: list[npt.NDArray[Any]] = []
    with _errors(), _stream() as stream:
        on_device = {name: _offloaded(value, stream, pinned) for name, value in values.items()}
        for name, array in work(on_device).items():
            returned[name] = _to_host(array, stream, pinned)
    return returned


def resident(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy arrays to the device for many calls; Datasets and strings stay on the host.

    They are complete when this returns, because each call uses a stream of its own.

    Raises
    ------
    MemoryError, DeviceLost
        See `offload`.
    """
    with _errors(), _stream():
        return {
            name: asarray(value) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }


@contextmanager
def _errors() -> Iterator[None]:
    """Raise CuPy's errors as `MemoryError` or `DeviceLost`, unless the call alone failed."""
    cupy, device = load_cupy(), device_name()
    try:
        yield
    except MemoryError:
        cupy.get_default_memory_pool().free_all_blocks()
        raise
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        if error.status == _OUT_OF_MEMORY:
            cupy.get_default_memory_pool().free_all_blocks()
            raise MemoryError(str(error)) from error
        if responds():
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
        stream = load_cupy().cuda.Stream(non_blocking=True)
    try:
        with stream:
            yield stream
    finally:
        stream.synchronize()
        _idle.append(stream)


def _offloaded(value: Any, stream: Any, held: list[npt.NDArray[Any]]) -> Any:
    """Copy texts or an array to the device; arrays of strings stay on the host."""
    if isinstance(value, PackedText):
        return PackedText(*(_to_device(part, stream) for part in _staged(value, held)))
    if value.dtype.kind in "OTUSMm":
        return value
    staged = _pinned(value.shape, value.dtype, held)
    staged[...] = value
    return _to_device(staged, stream)


def _staged(text: PackedText, held: list[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    """Copy texts to pinned memory: their bytes, and their offsets starting at 0, of 64 bits."""
    begin, end = int(text.offsets[0]), int(text.offsets[-1])
    data = _pinned((end - begin,), np.uint8, held)
    data[...] = text.data[begin:end]
    yield data
    offsets = _pinned(text.offsets.shape, np.int64, held)
    np.subtract(text.offsets, begin, out=offsets)
    yield offsets


def _to_device(array: npt.NDArray[Any], stream: Any) -> Array:
    on_device = load_cupy().empty(array.shape, array.dtype)
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
