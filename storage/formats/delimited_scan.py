"""The lines and the end of a record of CSV or TSV, found without holding the record."""

from __future__ import annotations

import re
from enum import Enum, auto

from ..rows.dialect import Dialect


class Lines:
    """What the lines of a record look like, given piece by piece.

    Parameters
    ----------
    delimiter : bytes
        The delimiter of values.
    width : int
        Values per record.

    Attributes
    ----------
    filled : int
        Lines that are not blank.
    whole : bool
        Whether the last piece was the end of a line.
    """

    def __init__(self, delimiter: bytes, width: int) -> None:
        self._delimiter, self._most = delimiter, width - 1
        self._alike = width > 1
        self._count = self._delimiters = 0
        self._blank = True
        self.filled = 0
        self.whole = True

    def add(self, piece: bytes) -> None:
        """Take the next piece of a line."""
        if self.whole:
            self._count += 1
            self._blank, self._delimiters = True, 0
            # A line of a text may begin with a tab; a record hardly begins with an empty value.
            self._alike = self._alike and not piece.startswith(self._delimiter)
        if self._blank and piece.strip(b"\r\n"):
            self.filled, self._blank = self.filled + 1, False
        self._delimiters += piece.count(self._delimiter)
        self.whole = piece.endswith(b"\n")
        if self.whole:
            self._alike = self._alike and self._delimiters == self._most

    @property
    def look_like_records(self) -> bool:
        """Whether there are several, and each would be a record if quotes were nothing special."""
        last = self.whole or self._delimiters == self._most
        return self._count > 1 and self._alike and last


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
