"""Columns of strings of cuDF's library libcudf, viewed as CuPy arrays where they lie."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ....storage.text import PackedText
from .device import load_cupy

_LEGACY_DEFAULT_STREAM = 1  # its number in the CUDA array interface

Owner = Callable[[Any], Any]
"""Function that returns what keeps the memory of a buffer."""


class NullMask(NamedTuple):
    """Which rows of a column are null: bits that are 0."""

    bits: Any  # CuPy array, uint8
    first: int  # number of the bit of the first row


def text_of(column: Any, owner: Owner, *, waits: bool = True) -> PackedText:
    """View a pylibcudf column of strings as texts: a slice, with offsets of 32 or 64 bits.

    Parameters
    ----------
    owner : callable
        What of a buffer must be held so that its memory stays.
    waits : bool
        Whether to wait for what is queued on the default stream. Not for a column that was made on
        the current stream.
    """
    cupy = load_cupy()
    rows, children = column.size(), column.children()
    if not rows or not children:  # without rows libcudf makes neither offsets nor characters
        return PackedText(cupy.empty(0, np.uint8), cupy.zeros(rows + 1, np.int32))
    (ends,) = children
    # A slice shares its parent's buffers: the offset counts rows, i.e. entries of the child.
    first, width = ends.offset() + column.offset(), np.dtype(ends.type().typestr)
    offsets = _array(ends.data(), first, rows + 1, width, owner, waits)
    characters = column.data()
    if characters is None:  # all texts are null or empty
        return PackedText(cupy.empty(0, np.uint8), offsets)
    whole = _array(characters, 0, characters.size, np.dtype(np.uint8), owner, waits)
    return PackedText(whole, offsets)


def null_mask(column: Any, owner: Owner, *, waits: bool = True) -> NullMask | None:
    """View which rows of a column are null; None if none is."""
    bits = column.null_mask()
    if bits is None:
        return None
    whole = _array(bits, 0, bits.size, np.dtype(np.uint8), owner, waits)
    return NullMask(whole, column.offset())


def _array(
    buffer: Any, start: int, length: int, dtype: np.dtype[Any], owner: Owner, waits: bool
) -> Any:
    """View items ``[start, start + length)`` of a buffer as a CuPy array.

    The buffer's own array interface is not used: that of cuDF's requests write access, and cuDF
    would copy a shared buffer and never spill it again.
    """
    interface = {
        "data": (buffer.ptr + start * dtype.itemsize, False),
        "shape": (length,),
        "strides": None,
        "typestr": dtype.str,
        "stream": _LEGACY_DEFAULT_STREAM if waits else None,
        "version": 3,
    }
    held = SimpleNamespace(__cuda_array_interface__=interface, memory=owner(buffer))
    return load_cupy().asarray(held)
