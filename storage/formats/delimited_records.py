"""The records of CSV and TSV: where each begins, its values, or why it cannot be used.

Records are parsed by Python's strict `csv` parser, except very large ones: their end is found by
`Scan`, which holds nothing of them. What is counted, and what is read of a record, is in
`delimited`.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from ..dialect import Dialect
from ..rows import EXCERPT_BYTES, SourceFile
from .lines import BOM

LONGEST_VALUE = 1 << 28
"""Most characters per value."""

LARGE_BYTES = 8 << 20
"""Size from which on a record is not parsed before its end is found."""

LONGEST_HEADER = 64 << 20
"""Most bytes of a header, which is held in memory."""

DELIMITERS = {"csv": ",", "tsv": "\t"}

REMEDY = "if quotes are ordinary characters in this file, read it with quote=None (--quote none)"


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
            yield line.decode("utf-8", "surrogateescape")

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
            if record != []:
                yield offset, record
            if endless:  # what follows is inside its quotes
                return

    def _misfit(self, values: int) -> str:
        return f"{values:,} values where the header has {self.width:,}"

    def _bad(self, reason: str) -> Bad:
        """Return the record in `held` as one that cannot be used."""
        if not self._by_line:
            return Bad(reason, (b"".join(self.held)[:EXCERPT_BYTES],))
        lines = [line[:EXCERPT_BYTES] for line in self.held if line.strip(b"\r\n")]
        return self._bad_lines(reason, lines, len(lines))

    def _bad_lines(self, reason: str, lines: list[bytes], count: int) -> Bad:
        if count > 1:
            self.line_rows = True
            remedy = f"; {REMEDY}" if self._dialect.quote else ""
            reason = f"{reason}, in a record of {count:,} lines{remedy}"
        return Bad(reason, tuple(lines), max(count, 1))

    def _large_record(self, offset: int) -> Record:
        """Read the rest of the record in `held`."""
        self.line_rows = True
        first = self.held[0][:EXCERPT_BYTES]
        scan = Scan(self._dialect)
        lines, kept = self._scanned(scan, offset)
        self.held.clear()
        if not lines:
            return []
        if scan.error:
            return self._bad_lines(f"malformed record: {scan.error}", [first], lines)
        if self.width not in (None, scan.values):
            return self._bad_lines(self._misfit(scan.values), [first], lines)
        if scan.longest > LONGEST_VALUE:
            limit = f"a value may have {LONGEST_VALUE:,} characters, and one has {scan.longest:,}"
            return Bad(limit, (first,))
        if self.width is None and self.consumed - offset > LONGEST_HEADER:
            return Bad(f"it has more than {LONGEST_HEADER >> 20} MiB", (first,))
        return self._parsed(kept) if kept else [""] * scan.values

    def _scanned(self, scan: Scan, offset: int) -> tuple[int, list[bytes]]:
        """Scan a record to its end; return its lines, blank ones left out, and its bytes.

        No bytes are returned if they are not needed.
        """
        decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        lines, begins, blank = 0, True, True
        kept: list[bytes] = []
        for piece in chain(self.held, self._rest()):
            blank = begins or blank
            if blank and piece.strip(b"\r\n"):
                lines, blank = lines + 1, False
            begins = piece.endswith(b"\n")
            scan.feed(decode(piece))
            large = self.width is None and self.consumed - offset > LONGEST_HEADER
            if scan.error or scan.longest > LONGEST_VALUE or large:
                kept.clear()
            elif self.width is None or not self._counting:
                kept.append(piece)
            if large or (begins and scan.ended):
                return lines, kept
        scan.finish()
        return lines, kept

    def _rest(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.consumed += len(piece)
            yield piece

    def _parsed(self, pieces: list[bytes]) -> Record:
        raw = b"".join(pieces)
        try:
            return next(self._parse(iter([raw.decode("utf-8", "surrogateescape")])))
        except csv.Error as error:
            return Bad(f"malformed record: {error}", (raw[:EXCERPT_BYTES],))


class _State(Enum):
    BEGIN = auto()  # of a value
    PLAIN = auto()  # in a value without quotes
    QUOTED = auto()
    CLOSED = auto()  # behind a quote, which may be the end of the value or the first of two
    ESCAPED = auto()
    ESCAPED_IN_QUOTES = auto()
    CONTINUED = auto()  # behind an escaped line break
    ENDED = auto()  # behind a line break that ends the record


def _any_of(characters: str) -> re.Pattern[str]:
    return re.compile(f"[{re.escape(characters)}]" if characters else "(?!)")


class Scan:
    """Finds the end of a record, by the rules of Python's strict `csv` parser, holding nothing.

    Attributes
    ----------
    values : int
        Values found.
    longest : int
        Characters of the longest value.
    error : str or None
        Why the record is malformed.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._delimiter = dialect.delimiter or ""
        self._quote, self._escape = dialect.quote, dialect.escape
        self._ends_plain = _any_of(f"{self._delimiter}\r\n{dialect.escape or ''}")
        self._ends_quoted = _any_of(f"{dialect.quote or ''}{dialect.escape or ''}")
        self._state = _State.BEGIN
        self._length = 0
        self.values, self.longest = 1, 0
        self.error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the record has ended, if a line has."""
        return self.error is not None or self._state is _State.ENDED

    def finish(self) -> None:
        """Take the end of the file."""
        complete = (_State.BEGIN, _State.PLAIN, _State.CLOSED, _State.ENDED)
        if not self.error and self._state not in complete:
            self.error = "unexpected end of data"

    def feed(self, text: str) -> None:
        """Take the next characters of the record."""
        at = 0
        while at < len(text) and not self.error:
            quoted = self._state is _State.QUOTED
            at = self._in_quotes(text, at) if quoted else self._step(text, at)

    def _grow(self, characters: int) -> None:
        self._length += characters
        self.longest = max(self.longest, self._length)

    def _in_quotes(self, text: str, at: int) -> int:
        found = self._ends_quoted.search(text, at)
        stop = found.start() if found else len(text)
        self._grow(stop - at)
        if found:
            closing = found[0] == self._quote
            self._state = _State.CLOSED if closing else _State.ESCAPED_IN_QUOTES
        return stop + 1

    def _step(self, text: str, at: int) -> int:
        state, character = self._state, text[at]
        if state is _State.ESCAPED_IN_QUOTES or (
            state is _State.CLOSED and character == self._quote
        ):
            self._grow(1)
            self._state = _State.QUOTED
        elif state is _State.ESCAPED:
            self._grow(1)
            self._state = _State.CONTINUED if character in "\r\n" else _State.PLAIN
        elif state is _State.BEGIN and character == self._quote:
            self._state = _State.QUOTED
        elif state is _State.CLOSED and character not in f"{self._delimiter}\r\n":
            self.error = f"{self._delimiter!r} expected after {self._quote!r}"
        elif state is _State.ENDED:
            if character not in "\r\n":
                self.error = "new-line character seen in unquoted field"
        else:
            return self._in_plain(text, at)
        return at + 1

    def _in_plain(self, text: str, at: int) -> int:
        found = self._ends_plain.search(text, at)
        stop = found.start() if found else len(text)
        self._grow(stop - at)
        if not found:
            self._state = _State.PLAIN
        elif found[0] == self._delimiter:
            self._state = _State.BEGIN
            self.values += 1
            self._length = 0
        else:
            self._state = _State.ESCAPED if found[0] == self._escape else _State.ENDED
        return stop + 1
