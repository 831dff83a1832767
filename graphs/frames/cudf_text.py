"""`packed`: the text of a cuDF column as input of kernels, without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...storage.text import PackedText

_LEGACY_DEFAULT_STREAM = 1  # its number in the CUDA array interface


@contextmanager
def packed(series: Any) -> Iterator[PackedText]:
    """View a cuDF string column as a `PackedText` of CuPy arrays, without a copy.

    A spilled column is copied back to the device, and cuDF cannot spill it inside the ``with``
    block, so limit the block to a micro-batch. Afterwards the column can be spilled as before; a
    view that is held longer stays readable and keeps its memory on the device. The arrays are
    read-only by convention, because CuPy cannot enforce it: writing to them changes the frame.

    Taking the view waits for cuDF's queued work. Kernels that read it on another stream must have
    finished before the ``with`` block ends.

    Parameters
    ----------
    series : cudf.Series
        A series or slice of strings. The bytes of a null text are undefined; see `valid`.

    Yields
    ------
    PackedText
        Its `data` uint8 [bytes] and `offsets` int32 or int64 [n + 1] are on the column's device.

    Raises
    ------
    TypeError
        `series` is not a cuDF series of strings.

    Examples
    --------
    >>> def weights(part, kernels, dhatus):
    ...     with packed(part.text) as text:
    ...         return kernels.dhatu(text, dhatus=dhatus)
    """
    import cudf
    from pylibcudf import TypeId

    if not isinstance(series, cudf.Series):
        raise TypeError(f"text must be a cuDF series of strings, not {type(series).__name__}")
    # Not Series.to_pylibcudf, which returns a spilled column without its buffers.
    column = series._column
    if column.plc_column.type().id() != TypeId.STRING:
        raise TypeError(f"text must be a cuDF series of strings, not of {series.dtype}")
    with column.access(mode="read", scope="internal"):
        yield _view(column.plc_column)


def valid(series: Any) -> Any:
    """Return which rows of a cuDF column are not null: a new CuPy array, bool [n]."""
    return series.notna().values


def _view(column: Any) -> PackedText:
    """View a pylibcudf string column whose cuDF buffers cannot be spilled at the moment."""
    import cupy

    rows, children = column.size(), column.children()
    if not rows or not children:  # without rows libcudf makes neither offsets nor characters
        return PackedText(cupy.empty(0, np.uint8), cupy.zeros(rows + 1, np.int32))
    (ends,) = children
    # A slice shares its parent's buffers: the offset counts rows, i.e. entries of the child.
    first, width = ends.offset() + column.offset(), np.dtype(ends.type().typestr)
    offsets = _array(ends.data(), first, rows + 1, width)
    characters = column.data()
    if characters is None:  # all texts are null or empty
        return PackedText(cupy.empty(0, np.uint8), offsets)
    return PackedText(_array(characters, 0, characters.size, np.dtype(np.uint8)), offsets)


def _array(buffer: Any, start: int, length: int, dtype: np.dtype[Any]) -> Any:
    """View items ``[start, start + length)`` of a cuDF buffer as a CuPy array.

    The buffer's own array interface is not used, because it requests write access: cuDF would copy
    a shared buffer and never spill it again.
    """
    import cupy

    interface = {
        "data": (buffer.ptr + start * dtype.itemsize, False),
        "shape": (length,),
        "strides": None,
        "typestr": dtype.str,
        "stream": _LEGACY_DEFAULT_STREAM,
        "version": 3,
    }
    # `memory` owns the memory of cuDF's buffer, so that the array outlives a spill.
    memory = buffer.owner.owner
    return cupy.asarray(SimpleNamespace(__cuda_array_interface__=interface, memory=memory))
