"""The records of CSV and TSV: where each begins, its values, or why it cannot be used.

Records are parsed by Python's strict `csv` parser, except very large ones: their end is found by
`delimited_scan`, which holds nothing of them. What is counted, and what is read of a record, is in
`delimited`.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from ..rows import EXCERPT_BYTES, SourceFile
from .delimited_scan import Lines, Scan
from .lines import BOM

LONGEST_VALUE = 1 << 28
"""Most characters per value."""

LARGE_BYTES = 8 << 20
"""Size from which on a record is not parsed before its end is found."""

LONGEST_HEADER = 64 << 20
"""Most bytes of a header, which is held in memory."""

DELIMITERS = {"csv": ",", "tsv": "\t"}

REMEDY = "if quotes are ordinary characters in this file, read it with quote=None (--quote none)"

_FUSED = "its lines look like records that quotes have made one"


class _LargeRecord(Exception):
    """The record that is being parsed has `LARGE_BYTES` already."""


@dataclass(frozen=True)
class Bad:
    """A record that cannot be used."""

    reason: str
    lines: tuple[bytes, ...]  # the beginnings of its first lines
    rows: int = 1

    def each(self) -> Iterator[Bad]:
        """Yield each of its rows."""
        for row in range(self.rows):
            yield Bad(self.reason, self.lines[row : row + 1])


Record = list[str] | Bad


def _text(raw: bytes) -> str:
    # Without a line break at its end, `csv` takes a value with an escaped one for incomplete.
    end = "" if raw.endswith(b"\n") else "\n"
    return raw.decode("utf-8", "surrogateescape") + end


class Records:
    """Iterator over the records of a stream and the byte at which each begins.

    Parameters
    ----------
    counting : bool
        Whether the values of large records are left out.

    Attributes
    ----------
    width : int or None
        Values per record; None until the header has been read.
    consumed : int
        Bytes up to and including the last record.
    held : list of bytes
        The lines of the last record; not those of a large one.
    line_rows : bool
        Whether a record was read for which `Dialect.line_rows` makes a difference.
    """

    def __init__(
        self, stream: BinaryIO, file: SourceFile, offset: int, *, counting: bool = False
    ) -> None:
        csv.field_size_limit(LONGEST_VALUE)
        if offset:
            stream.seek(offset)
        self._dialect = replace(
            file.dialect, delimiter=file.dialect.delimiter or DELIMITERS[file.format]
        )
        self._by_line = file.dialect.line_rows
        self._counting = counting
        bounded = iter(partial(stream.readline, LARGE_BYTES), b"")
        self._pieces = bounded if self._by_line else iter(stream)
        self._size = 0  # bytes of the record that is being read
        self._parser = self._parse(self._lines())
        self.width: int | None = None
        self.consumed = offset
        self.held: list[bytes] = []
        self.line_rows = False

    def _parse(self, lines: Iterator[str]) -> Iterator[list[str]]:
        dialect = self._dialect
        options: dict[str, Any] = {
            "delimiter": dialect.delimiter,
            "quotechar": dialect.quote,
            "escapechar": dialect.escape,
            "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        }
        return csv.reader(lines, strict=True, **options)

    def _lines(self) -> Iterator[str]:
        for piece in self._pieces:
            line = piece.removeprefix(BOM) if self.consumed == 0 else piece
            self.consumed += len(piece)
            if self._by_line:
                self.held.append(line)
            elif self._size < EXCERPT_BYTES:
                self.held.append(line[:EXCERPT_BYTES])
            self._size += len(piece)
            if self._by_line and self._size >= LARGE_BYTES:
                raise _LargeRecord
            yield _text(line)

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        while True:
            offset = self.consumed
            self.held.clear()
            self._size = 0
            endless = False
            try:
                record: Record = next(self._parser)
            except StopIteration:
                return
            except _LargeRecord:
                record = self._large_record(offset)
                self._parser = self._parse(self._lines())
            except csv.Error as error:
                endless = "larger than field limit" in str(error)
                rest = "; nothing behind it is read" if endless else ""
                record = self._bad(f"malformed record: {error}{rest}")
            if isinstance(record, list) and record and self.width not in (None, len(record)):
                record = self._bad(self._misfit(len(record)))
            elif isinstance(record, list) and len(self.held) > 1:
                record = self._bad(_FUSED) if self._is_fused(self.lines) else record
            if record != []:
                yield offset, record
            if endless:  # what follows is inside its quotes
                return

    def _is_fused(self, lines: Lines) -> bool:
        """Return whether quotes have made one record of several. Commas are common in texts."""
        may_be = self._by_line and self._dialect.quote and self._dialect.delimiter == "\t"
        return bool(may_be) and lines.look_like_records

    def _misfit(self, values: int) -> str:
        return f"{values:,} values where the header has {self.width:,}"

    @property
    def lines(self) -> Lines:
        """What the lines in `held` look like."""
        lines = self._no_lines()
        for line in self.held:
            lines.add(line)
        return lines

    def _no_lines(self) -> Lines:
        return Lines((self._dialect.delimiter or "").encode(), self.width or 0)

    def _bad(self, reason: str) -> Bad:
        """Return the record in `held` as one that cannot be used."""
        if not self._by_line:
            return self._bad_lines(reason, [b"".join(self.held)[:EXCERPT_BYTES]], 1)
        lines = [line[:EXCERPT_BYTES] for line in self.held if line.strip(b"\r\n")]
        return self._bad_lines(reason, lines, len(lines))

    def _bad_lines(self, reason: str, lines: list[bytes], count: int) -> Bad:
        if count > 1:
            self.line_rows = True
            reason = f"{reason}, in a record of {count:,} lines"
        about_quotes = count > 1 or f"expected after {self._dialect.quote!r}" in reason
        remedy = f"; {REMEDY}" if about_quotes and self._dialect.quote else ""
        return Bad(f"{reason}{remedy}", tuple(lines), max(count, 1))

    def _large_record(self, offset: int) -> Record:
        """Read the rest of the record in `held`."""
        self.line_rows = True
        first = self.held[0][:EXCERPT_BYTES]
        scan, lines = Scan(self._dialect), self._no_lines()
        kept = self._scanned(scan, lines, offset)
        self.held.clear()
        if not lines.filled:
            return []
        if scan.error:
            return self._bad_lines(f"malformed record: {scan.error}", [first], lines.filled)
        if self.width not in (None, scan.values):
            return self._bad_lines(self._misfit(scan.values), [first], lines.filled)
        if self._is_fused(lines):
            return self._bad_lines(_FUSED, [first], lines.filled)
        if scan.longest > LONGEST_VALUE:
            limit = f"a value may have {LONGEST_VALUE:,} characters, and one has {scan.longest:,}"
            return Bad(limit, (first,))
        if self.width is None and self.consumed - offset > LONGEST_HEADER:
            return Bad(f"it has more than {LONGEST_HEADER >> 20} MiB", (first,))
        return self._parsed(kept) if kept else [""] * scan.values

    def _scanned(self, scan: Scan, lines: Lines, offset: int) -> list[bytes]:
        """Scan a record to its end; return its bytes, or nothing if they are not needed."""
        decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        kept: list[bytes] = []
        for piece in chain(self.held, self._rest()):
            lines.add(piece)
            scan.feed(decode(piece))
            large = self.width is None and self.consumed - offset > LONGEST_HEADER
            if scan.error or scan.longest > LONGEST_VALUE or large:
                kept.clear()
            elif self.width is None or not self._counting:
                kept.append(piece)
            if large or (lines.whole and scan.ended):
                return kept
        scan.finish()
        return kept

    def _rest(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.consumed += len(piece)
            yield piece

    def _parsed(self, pieces: list[bytes]) -> Record:
        raw = b"".join(pieces)
        try:
            return next(self._parse(iter([_text(raw)])))
        except csv.Error as error:
            return Bad(f"malformed record: {error}", (raw[:EXCERPT_BYTES],))
