"""To the device and back: texts and arrays, some of their rows, and what blocks make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.field import Field
from ....storage.text import PackedText
from .. import host
from ..long_texts import host_kernels
from .copies import on_host, to_device, to_host
from .device import load_cupy
from .device_text import DeviceText
from .pinned import POOL
from .split_text import SplitText, are_long, copy_short
from .streams import current_stream, device_errors

Array = Any  # a CuPy array


def asarray(values: Any) -> Array:
    """Return an array on the device; arrays of anything but numbers stay on the host."""
    return values if values.dtype.kind in "OTUSMm" else load_cupy().asarray(values)


def host_buffer(nbytes: int) -> npt.NDArray[np.uint8]:
    """Return host memory from which `offload` copies texts to the device without staging them.

    It is ordinary memory if no more can be pinned.
    """
    try:
        with device_errors():
            return POOL.empty((nbytes,), np.uint8)
    except MemoryError:
        return np.empty(nbytes, np.uint8)


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
    at = cupy.arange(int(on_host(offsets[-1:])[0]))
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
    What lies in a `host_buffer` is copied from there, everything else is first copied into pinned
    memory. Long texts stay on the host, where built-in blocks compute them, unless a block asks for
    all texts. The arrays returned are in pinned memory, which they hold until they are garbage.

    Raises
    ------
    MemoryError
        The texts do not fit into the device's memory or into pinned memory.
    DeviceLost
        The device failed, and will fail every other call of this process.
    """
    returned: dict[str, npt.NDArray[Any]] = {}
    staged: list[npt.NDArray[Any]] = []  # held until the stream has copied them
    with device_errors(), current_stream() as stream:
        on_device = {name: _offloaded(value, stream, staged) for name, value in values.items()}
        for name, array in work(on_device).items():
            returned[name] = to_host(array, stream)
    return returned


def resident(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy arrays to the device for many calls; Datasets and strings stay on the host.

    They are complete when this returns, because each call uses a stream of its own.

    Raises
    ------
    MemoryError, DeviceLost
        See `offload`.
    """
    with device_errors(), current_stream():
        return {
            name: asarray(value) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }


def _offloaded(value: Any, stream: Any, staged: list[npt.NDArray[Any]]) -> Any:
    """Copy texts or an array to the device; arrays of strings stay on the host."""
    if isinstance(value, DeviceText):
        return _text_to_device(PackedText(value.there, value.offsets), stream, staged)
    if not isinstance(value, PackedText):
        return value if value.dtype.kind in "OTUSMm" else to_device(value, stream, staged)
    if are_long(value).any() and host_kernels() is not None:
        short = copy_short(value, lambda nbytes: POOL.empty((nbytes,), np.uint8))
        staged.append(short.data)
        return SplitText(
            value,
            _text_to_device(short, stream, staged),
            lambda: _text_to_device(value, stream, staged),
        )
    return _text_to_device(value, stream, staged)


def _text_to_device(text: PackedText, stream: Any, staged: list[npt.NDArray[Any]]) -> PackedText:
    """Copy texts to the device, where their offsets start at 0 and have 64 bits."""
    begin, end = int(text.offsets[0]), int(text.offsets[-1])
    data = text.data[begin:end]
    if isinstance(data, np.ndarray):
        data = to_device(data, stream, staged)
    offsets = text.offsets
    if begin or offsets.dtype != np.int64:
        offsets = POOL.empty(offsets.shape, np.int64)
        np.subtract(text.offsets, begin, out=offsets)
        staged.append(offsets)
    return PackedText(data, to_device(offsets, stream, staged))
