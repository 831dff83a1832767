"""Building `Rows`: checking that text is UTF-8, and collecting rows that are read one by one.

The types themselves are in `rows`. What a record of a format means is in that format's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

from ..rows import (
    ARROW_KINDS,
    BATCH_BYTES,
    BATCH_ROWS,
    EXCERPT_BYTES,
    SHORT_BYTES,
    ColumnSelection,
    Fault,
    Rows,
)

T = TypeVar("T")


def utf8_text(raw: pa.Array, start: int) -> tuple[pa.Array, tuple[Fault, ...]]:
    """View a binary array as text; a row that is null or not UTF-8 becomes null, with a fault.

    `start` is the file row of the first element. Valid text is not copied.
    """
    large = pa.types.is_large_binary(raw.type) or pa.types.is_large_string(raw.type)
    kind = pa.large_string() if large else pa.string()
    text = raw.view(kind)
    faults = [null_fault(start + row) for row in _nulls(raw)] if raw.null_count else []
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        as_bytes = raw.view(pa.large_binary() if large else pa.binary())
        found = [
            None if value is None else utf8_fault(start + row, value)
            for row, value in enumerate(as_bytes.to_pylist())
        ]
        faults += [fault for fault in found if fault is not None]
        kept = [
            None if fault is not None else value
            for fault, value in zip(found, as_bytes.to_pylist(), strict=True)
        ]
        text = pa.array(kept, as_bytes.type).view(kind)
    return text, tuple(sorted(faults, key=lambda fault: fault.row))


def null_fault(row: int) -> Fault:
    """Return the fault of a row without a text."""
    return Fault(row, "null text")


def utf8_fault(row: int, value: bytes) -> Fault | None:
    r"""Return the fault of a row whose text is not UTF-8; None if it is.

    >>> utf8_fault(3, b"mot \xff").reason
    'invalid UTF-8 at byte 4: invalid start byte'
    """
    try:
        value.decode()
    except UnicodeDecodeError as error:
        reason = f"invalid UTF-8 at byte {error.start}: {error.reason}"
        return Fault(row, reason, value[:EXCERPT_BYTES])
    return None


def _nulls(array: pa.Array) -> list[int]:
    return [row for row, null in enumerate(array.is_null().to_pylist()) if null]


def cast_or_null(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values as another type; null where that is impossible, as for "n/a" as an integer."""
    try:
        # An integer that float64 cannot represent is rounded to the nearest one that it can.
        return values.cast(kind, safe=kind != pa.float64())
    except pa.ArrowException:
        if len(values) == 1:
            return pa.nulls(1, kind)
    half = len(values) // 2
    return pa.concat_arrays([cast_or_null(part, kind) for part in (values[:half], values[half:])])


class RowBuilder:
    """Collects the rows of formats that are read row by row, and returns them in batches."""

    def __init__(self, selection: ColumnSelection, start: int) -> None:
        self._names = [column.name for column in selection.others]
        self._kinds = [ARROW_KINDS[column.kind] for column in selection.others]
        self._start = start
        self._clear()

    def _clear(self) -> None:
        self._text: list[bytes | None] = []
        self._values: list[Sequence[str | None]] = []
        self._faults: list[Fault] = []
        self._bytes = 0

    @property
    def next_row(self) -> int:
        """File row of the next row to be added."""
        return self._start + len(self._text)

    @property
    def full(self) -> bool:
        """Whether the collected rows make a batch."""
        return len(self._text) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def add(self, text: bytes, values: Sequence[str | None]) -> None:
        """Add a row: its text, and the values of the other columns in order."""
        self._text.append(text)
        self._values.append(values)
        self._bytes += len(text) + sum(len(value) for value in values if value)

    def fault(self, reason: str, excerpt: bytes, values: Sequence[str | None] = ()) -> None:
        """Add a row that cannot be used."""
        self._faults.append(Fault(self.next_row, reason, excerpt[:EXCERPT_BYTES]))
        self._text.append(None)
        self._values.append(values or [None] * len(self._names))

    def take(self) -> Rows:
        """Return the collected rows, and begin the next batch."""
        binary = pa.binary() if self._bytes <= SHORT_BYTES else pa.large_binary()
        text = pa.array(self._text, binary)
        columns = {
            name: cast_or_null(pa.array([values[at] for values in self._values], pa.string()), kind)
            for at, (name, kind) in enumerate(zip(self._names, self._kinds, strict=True))
        }
        view = text.view(pa.string() if binary == pa.binary() else pa.large_string())
        rows = Rows(self._start, view, columns, tuple(self._faults))
        self._start += len(rows)
        self._clear()
        return rows

    def collect(self, records: Iterable[T], add: Callable[[T], None]) -> Iterator[Rows]:
        """Add every record with `add`, and yield the rows batch by batch.

        If `records` raises, the rows before it are yielded first.
        """
        try:
            for record in records:
                add(record)
                if self.full:
                    yield self.take()
        except Exception:
            yield from self._rest()
            raise
        yield from self._rest()

    def _rest(self) -> Iterator[Rows]:
        if self._text:
            yield self.take()
