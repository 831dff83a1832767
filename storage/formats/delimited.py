"""CSV and TSV with a header: Python's own strict `csv` parser, quoted newlines included.

Records are counted and read by the same parser, so both agree on what a record is. Every value is
a string.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from ..rows import (
    ANY_TEXT,
    EXCERPT_BYTES,
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
from .format import Format
from .lines import BLOCK_BYTES, BOM
from .recognition.binary import binary
from .recognition.documents import not_delimited, pointer
from .recognition.encodings import wide
from .row_builder import RowBuilder

LONGEST_FIELD = 1 << 28
"""Maximum characters per field: an unclosed quote would otherwise take in the rest of a file."""

DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True)
class _Broken:
    """A malformed record."""

    reason: str
    raw: bytes  # its beginning


class _Records:
    """Iterator over the records of a stream and the byte at which each begins."""

    def __init__(self, stream: BinaryIO, offset: int, delimiter: str) -> None:
        csv.field_size_limit(LONGEST_FIELD)
        if offset:
            stream.seek(offset)
        self._stream = stream
        self.consumed = offset  # bytes, up to and including the last record
        self._raw = b""  # the beginning of the record that is being read
        self._parser = csv.reader(self._lines(), delimiter=delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        for line in self._stream:
            self._raw += line[: EXCERPT_BYTES - len(self._raw)]
            raw = line.removeprefix(BOM) if self.consumed == 0 else line
            self.consumed += len(line)
            yield raw.decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[tuple[int, list[str] | _Broken]]:
        while True:
            offset = self.consumed
            self._raw = b""
            endless = False
            try:
                record: list[str] | _Broken = next(self._parser)
            except StopIteration:
                return
            except csv.Error as error:
                endless = "larger than field limit" in str(error)
                rest = "; nothing behind it is read" if endless else ""
                record = _Broken(f"malformed record: {error}{rest}", self._raw)
            if record != []:
                yield offset, record
            if endless:  # what follows is inside its quotes
                return


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count the records after the header."""
    with opener(file) as stream:
        stored = _Records(stream, 0, DELIMITERS[file.format])
        records = iter(stored)
        header = _header(next(records, (0, []))[1])
        units: list[Unit] = []
        rows, start = 0, None
        longest = longest_row = total = 0
        for row, (offset, _) in enumerate(records):
            nbytes = stored.consumed - offset
            total += nbytes
            if nbytes > longest:
                longest, longest_row = nbytes, row
            if start is not None and offset - start >= BLOCK_BYTES and file.compression is None:
                units.append(Unit(rows, start))
                rows, start = 0, None
            start = offset if start is None else start
            rows += 1
    if start is not None:
        units.append(Unit(rows, start))
    lengths = {ANY_TEXT: Lengths(total, longest, longest_row)}
    return Outline(tuple(units), dict.fromkeys(header, "string"), lengths)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Read the header."""
    with opener(file) as stream:
        records = iter(_Records(stream, 0, DELIMITERS[file.format]))
        return dict.fromkeys(_header(next(records, (0, []))[1]), "string")


def _header(record: list[str] | _Broken) -> list[str]:
    if isinstance(record, _Broken):
        raise Malformed(f"the header is not CSV: {record.reason}")
    twice = sorted({name for name in record if record.count(name) > 1})
    if twice:
        raise Malformed(f"the header names {', '.join(map(repr, twice))} more than once")
    return record


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span; a ragged or malformed record becomes a fault."""
    delimiter = DELIMITERS[file.format]
    header = list(columns(file, opener))
    at = header.index(selection.text)
    others = [header.index(c.name) if c.name in header else None for c in selection.others]
    rows = RowBuilder(selection, span.start)
    with opener(file) as stream:
        records = iter(_Records(stream, 0 if file.compression else span.unit_offset, delimiter))
        if file.compression or not span.unit_offset:
            next(records)
        ours = islice(records, span.start - span.unit_row, span.stop - span.unit_row)
        yield from rows.collect(ours, lambda r: _add(rows, r[1], len(header), at, others))
        if file.compression:
            next(records, None)  # the checksum follows the last record


def _add(
    rows: RowBuilder, record: list[str] | _Broken, width: int, at: int, others: list[int | None]
) -> None:
    if isinstance(record, _Broken):
        return rows.fault(record.reason, record.raw)
    if len(record) != width:
        excerpt = "\t".join(record).encode("utf-8", "surrogateescape")
        return rows.fault(f"{len(record)} values where the header has {width}", excerpt)
    values = [None if c is None else _readable(record[c]) for c in others]
    raw = record[at].encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return rows.fault(f"invalid UTF-8 at byte {error.start}: {error.reason}", raw, values)
    return rows.add(raw, values)


def _readable(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


CSV = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".csv",),
    text_copies=9,
    calibrated_as="csv",
    counting_cost=10.0,
    impostors=(binary, wide, pointer, not_delimited),
)

TSV = replace(CSV, endings=(".tsv",))
