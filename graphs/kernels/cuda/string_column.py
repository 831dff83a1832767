"""Columns of strings of cuDF's library libcudf, viewed as CuPy arrays where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ....storage.text import PackedText
from .device import load_cupy

_LEGACY_DEFAULT_STREAM = 1  # its number in the CUDA array interface


class NullMask(NamedTuple):
    """Which rows of a column are null: bits that are 0."""

    bits: Any  # CuPy array, uint8
    first: int  # number of the bit of the first row


@dataclass(frozen=True)
class StringColumn:
    """A column of strings of pylibcudf.

    Parameters
    ----------
    column : pylibcudf.Column
        Perhaps a slice, whose offset counts rows of its parent's buffers.
    owner : callable
        Returns what of a buffer must be held so that its memory stays.
    waits : bool
        Whether views wait for what is queued on the default stream. They need not if the column was
        made on the current stream.
    """

    column: Any
    owner: Callable[[Any], Any] = lambda buffer: buffer
    waits: bool = True

    @property
    def text(self) -> PackedText:
        """The texts, with offsets of 32 or 64 bits, of which the first need not be 0."""
        cupy, column = load_cupy(), self.column
        rows, children = column.size(), column.children()
        if not rows or not children:  # without rows libcudf makes neither offsets nor characters
            return PackedText(cupy.empty(0, np.uint8), cupy.zeros(rows + 1, np.int32))
        (ends,) = children
        first, width = ends.offset() + column.offset(), np.dtype(ends.type().typestr)
        offsets = self._array(ends.data(), width, first, rows + 1)
        characters = column.data()
        if characters is None:  # all texts are null or empty
            return PackedText(cupy.empty(0, np.uint8), offsets)
        return PackedText(self._bytes(characters), offsets)

    @property
    def null_mask(self) -> NullMask | None:
        """Which rows are null; None if none is."""
        bits = self.column.null_mask()
        return None if bits is None else NullMask(self._bytes(bits), self.column.offset())

    def _bytes(self, buffer: Any) -> Any:
        return self._array(buffer, np.dtype(np.uint8), 0, buffer.size)

    def _array(self, buffer: Any, dtype: np.dtype[Any], start: int, length: int) -> Any:
        """View items ``[start, start + length)`` of a buffer as a CuPy array.

        The buffer's own array interface is not used: that of cuDF's requests write access, and cuDF
        would copy a shared buffer and never spill it again.
        """
        interface = {
            "data": (buffer.ptr + start * dtype.itemsize, False),
            "shape": (length,),
            "strides": None,
            "typestr": dtype.str,
            "stream": _LEGACY_DEFAULT_STREAM if self.waits else None,
            "version": 3,
        }
        held = SimpleNamespace(__cuda_array_interface__=interface, memory=self.owner(buffer))
        return load_cupy().asarray(held)
