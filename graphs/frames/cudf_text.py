"""`packed`: the text of a cuDF column as input of kernels, without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...storage.text import PackedText
from ..kernels.cuda.string_column import StringColumn


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
        # That of cuDF's buffer owns the memory, so that the arrays outlive a spill.
        yield StringColumn(column.plc_column, lambda buffer: buffer.owner.owner).text


def valid(series: Any) -> Any:
    """Return which rows of a cuDF column are not null: a new CuPy array, bool [n]."""
    return series.notna().values
