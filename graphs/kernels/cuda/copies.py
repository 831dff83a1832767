"""Copies of arrays to the device and back, through pinned memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .device import load_cupy
from .pinned import POOL
from .streams import wait

Array = Any  # a CuPy array


def on_host(values: Array) -> npt.NDArray[Any]:
    """Return an array in the host's memory."""
    if isinstance(values, np.ndarray):
        return values
    stream = load_cupy().cuda.get_current_stream()
    array = to_host(values, stream)
    wait(stream)
    return array


def to_device(array: npt.NDArray[Any], stream: Any, staged: list[npt.NDArray[Any]]) -> Array:
    """Copy an array to the device; `staged` gets the pinned copy of one that is not pinned."""
    if not POOL.holds(array):
        pinned = POOL.empty(array.shape, array.dtype)
        pinned[...] = array
        staged.append(pinned)
        array = pinned
    on_device = load_cupy().empty(array.shape, array.dtype)
    on_device.set(array, stream=stream)
    return on_device


def to_host(array: Array, stream: Any) -> npt.NDArray[Any]:
    """Copy an array to pinned memory, which must be held until the stream has copied it."""
    if isinstance(array, np.ndarray):  # made on the host by a user's block
        return array
    pinned = POOL.empty(array.shape, array.dtype)
    array.get(stream=stream, out=pinned, blocking=False)
    return pinned
