"""CSV and TSV with a header: Python's own strict `csv` parser, quoted newlines included.

Records are counted and read by the same parser, so both agree on what a record is. Every value is
a string. Finding the records of a file is in `delimited_records`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ..rows import (
    ANY_TEXT,
    ColumnSelection,
    Lengths,
    Malformed,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    Unit,
)
from ..rows.dialect import OPTIONS
from .delimited_records import LONGEST_VALUE, REMEDY, Bad, Record, Records
from .format import Format
from .lines import BLOCK_BYTES
from .recognition.binary import binary
from .recognition.documents import not_delimited, pointer
from .recognition.encodings import wide
from .row_builder import RowBuilder

_ESCAPED = (
    "its header is not UTF-8, so names in it are escaped; name its encoding, such as "
    "encoding='latin-1' (--encoding latin-1)"
)

_TEXT_COPIES = 9

UNUSABLE_BYTES = LONGEST_VALUE // _TEXT_COPIES
"""Most bytes that a record that cannot be used counts as, because it is held once and in part."""

_FEWEST_LINES = 3
"""Lines of a quoted value that are not taken for records by chance."""


class _Quotes:
    """Counts the lines within quoted values, to notice quotes that are ordinary characters."""

    def __init__(self) -> None:
        self._several = self._fused = self._fused_lines = self._unusable = 0

    def add(self, record: Record, records: Records) -> None:
        """Add a record, the last one of `records`."""
        if isinstance(record, Bad):
            self._unusable += record.rows if record.rows > 1 else 0
        elif len(records.held) > 1:
            self._several += 1
            if len(records.held) >= _FEWEST_LINES and records.lines.look_like_records:
                self._fused += 1
                self._fused_lines += len(records.held)

    @property
    def note(self) -> str | None:
        """A note for the user if the quotes look like ordinary characters."""
        found = []
        if self._unusable:
            found.append(
                f"{self._unusable:,} lines are quarantined, because quotes join them to records "
                "that cannot be used"
            )
        if self._fused and (self._unusable or 2 * self._fused >= self._several):
            found.append(
                f"{self._fused_lines:,} lines look like rows, but are in {self._fused:,} quoted "
                "values that run over line ends"
            )
        return f"{'; '.join(found)}; {REMEDY}" if found else None


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count the records after the header; each line of one that cannot be used is a row."""
    by_line = replace(file, dialect=replace(file.dialect, line_rows=True))
    with opener(file) as stream:
        stored = Records(stream, by_line, 0, counting=True)
        records = iter(stored)
        first = next(records, (0, []))[1]
        header = _header(first)
        stored.width = len(header)
        quotes = _Quotes()
        units: list[Unit] = []
        rows, start, seen = 0, None, 0
        longest = longest_row = total = 0
        for offset, record in records:
            nbytes = stored.consumed - offset
            total += nbytes
            bad = isinstance(record, Bad)
            if (held := min(nbytes, UNUSABLE_BYTES) if bad else nbytes) > longest:
                longest, longest_row = held, seen + rows
            if start is not None and offset - start >= BLOCK_BYTES and not file.sequential:
                units.append(Unit(rows, start))
                rows, start, seen = 0, None, seen + rows
            start = offset if start is None else start
            rows += record.rows if isinstance(record, Bad) else 1
            if bad or len(stored.held) > 1:
                quotes.add(record, stored)
    if start is not None:
        units.append(Unit(rows, start))
    lengths = {ANY_TEXT: Lengths(total, longest, longest_row)}
    escaped = _ESCAPED if header != first else None
    quoted = quotes.note if file.dialect.quote else None
    note = "; ".join(filter(None, (escaped, quoted))) or None
    dialect = replace(file.dialect, line_rows=stored.line_rows)
    doubled = frozenset(name for name, times in Counter(header).items() if times > 1)
    return Outline(
        tuple(units),
        dict.fromkeys(_distinct(header), "string"),
        lengths,
        doubled,
        note=note,
        dialect=dialect,
    )


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Read the header."""
    return dict.fromkeys(_names(file, opener), "string")


def _names(file: SourceFile, opener: Opener) -> list[str]:
    file = replace(file, dialect=replace(file.dialect, line_rows=True))
    with opener(file) as stream:
        return _distinct(_header(next(iter(Records(stream, file, 0)), (0, []))[1]))


def _header(record: Record) -> list[str]:
    """Return the names of a header; bytes that are not UTF-8 are escaped."""
    if isinstance(record, Bad):
        raise Malformed(f"the header is not CSV: {record.reason}")
    return [
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for name in record
    ]


def _distinct(names: list[str]) -> list[str]:
    """Return names that differ.

    >>> _distinct(["text", "", "", "text", "text_1"])
    ['text', '', '_1', 'text_2', 'text_1']
    """
    taken = set(names)
    numbers: dict[str, int] = {}
    distinct = []
    for name in names:
        number = numbers.setdefault(name, 0)
        while number and f"{name}_{number}" in taken:
            number += 1
        distinct.append(f"{name}_{number}" if number else name)
        numbers[name] = number + 1
    return distinct


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span; a ragged or malformed record becomes a fault."""
    header = _names(file, opener)
    if selection.text not in header:
        raise Malformed(f"the header has no column {selection.text!r}")
    at = header.index(selection.text)
    others = [header.index(c.name) if c.name in header else None for c in selection.others]
    rows = RowBuilder(selection, span.start)
    with opener(file) as stream:
        stored = Records(stream, file, 0 if file.sequential else span.unit_offset)
        stored.width = len(header)
        records = iter(stored)
        if file.sequential or not span.unit_offset:
            next(records)
        ours = islice(_rows(records), span.start - span.unit_row, span.stop - span.unit_row)
        yield from rows.collect(ours, lambda record: _add(rows, record, at, others))
        if file.sequential:
            next(records, None)  # the checksum follows the last record


def _rows(records: Iterator[tuple[int, Record]]) -> Iterator[Record]:
    for _, record in records:
        if isinstance(record, Bad):
            yield from record.each()
        else:
            yield record


def _add(rows: RowBuilder, record: Record, at: int, others: list[int | None]) -> None:
    if isinstance(record, Bad):
        return rows.fault(record.reason, b"".join(record.lines))
    values = [None if c is None else _readable(record[c]) for c in others]
    try:
        return rows.add(record[at].encode(), values)
    except UnicodeEncodeError:
        raw = record[at].encode("utf-8", "surrogateescape")
    return rows.fault(_wrong_bytes(raw), raw, values)


def _wrong_bytes(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start}: {error.reason}"
    return "invalid UTF-8: a character has an escape in it"


def _readable(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


CSV = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".csv",),
    options=OPTIONS,
    text_copies=_TEXT_COPIES,
    calibrated_as="csv",
    counting_cost=10.0,
    impostors=(binary, wide, pointer, not_delimited),
)

TSV = replace(CSV, endings=(".tsv",))
