"""`Dialect`: how the values of a text file are written: delimiter, quotes, escapes and encoding.

Splitting a file by its dialect is in `formats.delimited`, decoding its bytes in
`formats.recognition`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import UsageError

AUTO = "auto"
"""Encoding of a file whose encoding is detected when its rows are counted."""

_UTF8 = ("utf-8", "utf-8-sig")
_NO_TEXT = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape")
"""Python's codecs that are not encodings of text files."""

_SAMPLE = 'id,"text"\t;\r\n'


@dataclass(frozen=True, kw_only=True)
class Dialect:
    r"""How the values of a text file are written.

    Parameters
    ----------
    delimiter : str, optional
        The character between two values of a record. By default that of the format.
    quote : str, optional
        The character around values that contain delimiters or line breaks, doubled within them.
        None or "": quotes are ordinary characters, and every line is a record.
    escape : str, optional
        The character that makes the next one an ordinary character.
    encoding : str, optional
        A text encoding of Python, or "auto". By default UTF-8.
    line_rows : bool
        Whether each line of a record that cannot be used is a row of its own. No option: it is set
        when a file that has such records is counted. Stores of version 0.1.0 count them as one row.

    Raises
    ------
    UsageError
        A character is not a single one or has two meanings, or the encoding is unknown.

    Examples
    --------
    >>> Dialect(delimiter=";", encoding="Latin-1").describe()
    {'delimiter': ';', 'encoding': 'iso8859-1'}
    >>> Dialect(encoding="utf8") == Dialect()
    True
    """

    delimiter: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    encoding: str | None = None
    line_rows: bool = False

    def __post_init__(self) -> None:
        quote = self.quote or None
        escape = self.escape if self.escape not in ("", quote) else None  # doubled quotes: default
        object.__setattr__(self, "quote", quote)
        object.__setattr__(self, "escape", escape)
        object.__setattr__(self, "encoding", _canonical(self.encoding))
        taken = {} if self.delimiter else {",": "delimiter of CSV", "\t": "delimiter of TSV"}
        for name in ("delimiter", "quote", "escape"):
            character = getattr(self, name)
            if character is None:
                continue
            if not isinstance(character, str) or len(character) != 1 or character in "\r\n\0":
                raise UsageError(f"{name} must be a single character, not {character!r}")
            if character in taken:
                raise UsageError(f"{name} cannot be {character!r}: that is the {taken[character]}")
            taken[character] = name

    def describe(self) -> dict[str, Any]:
        """Return what differs from the default, as JSON. `Dialect(**...)` reads it."""
        default = asdict(DEFAULT_DIALECT)
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    def only(self, options: Iterable[str]) -> Dialect:
        """Return a dialect with some of the options of this one, and the others' defaults."""
        return Dialect(**{name: getattr(self, name) for name in options})


def _canonical(encoding: str | None) -> str | None:
    """Return Python's name of an encoding; None for UTF-8."""
    if encoding is None or encoding == AUTO:
        return encoding
    try:
        name = codecs.lookup(encoding).name
        codecs.getincrementaldecoder(name)
        readable = name not in _NO_TEXT and _SAMPLE.encode(name).decode(name) == _SAMPLE
    except (LookupError, TypeError, ValueError):
        readable = False
    if not readable:
        raise UsageError(
            f"encoding {encoding!r} is unknown; give an encoding of Python, such as 'latin-1', "
            "'cp1252' or 'utf-16', or 'auto'"
        )
    return None if name in _UTF8 else name


DEFAULT_DIALECT = Dialect()

OPTIONS = tuple(field.name for field in fields(Dialect) if field.name != "line_rows")
"""The options that a user can give."""
