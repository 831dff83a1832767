"""Which keys the records of a JSON Lines file have, found while its lines are counted.

The first records are parsed for all their keys. They are not a schema: a sought
key is found in whichever record it first appears.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from .lines import BOM, is_blank

PEEK_RECORDS = 100
PEEK_BYTES = 8 << 20
"""Records, or bytes of records, whichever is reached first, whose keys are all found."""

LONGEST_PARSED = 64 << 20
"""Bytes of a line up to which it is parsed. In a longer one, a key is found by its spelling."""

_WHITE = b" \t\r"
_BEGINNING = 4  # bytes of a word that are searched for at once
_MARGIN = 64  # bytes of a line in pieces that are searched again, for what was cut


class KeySearch:
    """Finds keys in the blocks of a file, which are read for another purpose.

    Parameters
    ----------
    names : collection of str
        Keys to find in any record.

    Attributes
    ----------
    columns : dict of str to str
        The keys of the first records, and those of `names` that any record has; all are strings.
    fault : str or None
        Why the first record is not an object, if it is not.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.columns: dict[str, str] = {}
        self.fault: str | None = None
        self._missing = {name: _Spelling(name) for name in names}
        self._records = self._bytes = 0  # of the peek
        self._begun: list[bytes] = []  # of the line that is not complete yet
        self._held = 0  # bytes of it
        self._cut = False  # whether earlier parts of this line have been dropped

    @property
    def peeked(self) -> bool:
        """Whether the first records have been parsed."""
        return self._records >= PEEK_RECORDS or self._bytes >= PEEK_BYTES

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks of a file, in order, and look for keys in them."""
        for block in blocks:
            if self._missing or not self.peeked:
                self._see(block)
            yield block
        self._search(b"".join(self._begun))

    def _see(self, block: bytes) -> None:
        cut = block.rfind(b"\n") + 1
        if cut:
            whole, self._begun = b"".join([*self._begun, block[:cut]]), []
            self._search(whole)
            self._cut = False
            self._held = 0
        self._begun.append(block[cut:])
        self._held += len(block) - cut
        if self._held > LONGEST_PARSED:
            begun = b"".join(self._begun)
            self._search_unparsed(begun)
            self._begun, self._held, self._cut = [begun[-_MARGIN:]], _MARGIN, True

    def _search(self, lines: bytes) -> None:
        if self._cut:  # the first line is the end of a long one
            end = (lines.find(b"\n") + 1) or len(lines)
            self._search_unparsed(lines[:end])
            lines = lines[end:]
        start = self._peek(lines)
        for name in [name for name in self._missing if name in self.columns]:
            del self._missing[name]
        for name, spelling in list(self._missing.items()):
            if _has_key(lines, start, name, spelling):
                self._find(name)

    def _peek(self, lines: bytes) -> int:
        """Parse records until enough are known; return where the others begin."""
        start = 0
        while not self.peeked and start < len(lines):
            end = lines.find(b"\n", start)
            end = len(lines) if end < 0 else end
            line = lines[start:end]
            start = end + 1
            if is_blank(line):
                continue
            record = parsed(line.removeprefix(BOM) if not self._records else line)
            if isinstance(record, dict):
                self.columns |= dict.fromkeys(record, "string")
            elif not self._records:
                self.fault = record
            self._records += 1
            self._bytes += len(line)
        return min(start, len(lines))

    def _search_unparsed(self, part: bytes) -> None:
        """Search a part of a line that is too long to be parsed."""
        begin = -1 if self._cut else 0
        self._bytes += len(part)
        for name, spelling in list(self._missing.items()):
            if any(_may_be_key(part, begin, *hit.span()) for hit in spelling.hits(part)):
                self._find(name)

    def _find(self, name: str) -> None:
        self.columns[name] = "string"
        del self._missing[name]


def parsed(record: bytes) -> dict[str, Any] | str:
    """Return the object that a line is, or why it is none."""
    try:
        value = json.loads(record.decode())
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start}: {error.reason}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return value if isinstance(value, dict) else f"a JSON {kind_of(value)} where an object belongs"


def kind_of(value: Any) -> str:
    """Return what JSON calls a value.

    >>> kind_of([1]), kind_of(7)
    ('array', 'number')
    """
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


class _Spelling:
    """How a key may be spelled, with its quotes."""

    def __init__(self, name: str) -> None:
        ascii_only = json.dumps(name).encode()
        usual = {_literal(name), ascii_only, ascii_only.replace(b"/", rb"\/")}
        # Only a curious writer escapes an ASCII letter, so only those escapes are looked for.
        signs = {escape for letter in name for escape in _escapes(letter)}
        signs = signs if name.isascii() else {rb"\u"}
        self._usual, self._signs = _Words(usual), _Words(signs)
        self._every = re.compile(b'"%s"' % b"".join(map(_any_spelling, name)))

    def hits(self, data: bytes, start: int = 0) -> Iterator[re.Match[bytes]]:
        """Yield where the key may stand at byte `start` or later."""
        if next(self._signs.hits(data, start), None):
            return self._every.finditer(data, start)
        return self._usual.hits(data, start)


class _Words:
    """Words that are searched for in bytes, and are seldom there."""

    def __init__(self, words: Collection[bytes]) -> None:
        self._pattern = re.compile(b"|".join(map(re.escape, sorted(words))) or b"(?!)")
        beginnings = {word[:_BEGINNING] for word in words}
        short = any(len(word) < _BEGINNING for word in beginnings)
        self._beginnings = None if short else [np.frombuffer(b, "=u4")[0] for b in beginnings]

    def hits(self, data: bytes, start: int) -> Iterator[re.Match[bytes]]:
        """Yield where a word begins at byte `start` or later."""
        if self._beginnings is None or any(_holds(data, b) for b in self._beginnings):
            yield from self._pattern.finditer(data, start)


def _holds(data: bytes, beginning: np.uint32) -> bool:
    """Return whether bytes hold four given ones: several times as fast as `bytes.find`."""
    return any(
        bool((np.frombuffer(data, "=u4", (len(data) - at) // _BEGINNING, at) == beginning).any())
        for at in range(max(0, min(_BEGINNING, len(data) - _BEGINNING + 1)))
    )


def _any_spelling(letter: str) -> bytes:
    """Return a pattern of everything that JSON may write for a letter."""
    literal, (escape, _) = re.escape(_literal(letter)[1:-1]), _escapes(letter)
    solidus = rb"|\\/" if letter == "/" else b""
    return b"(?:%s%s|(?i:%s))" % (literal, solidus, re.escape(escape))


def _literal(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _escapes(letter: str) -> tuple[bytes, bytes]:
    r"""Return the escape of a letter, in lower and upper case: ``\u006a`` and ``\u006A``."""
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    parts = [units[at : at + 4] for at in range(0, len(units), 4)]
    lower, upper = ("".join(f"\\u{part}" for part in way) for way in (parts, map(str.upper, parts)))
    return lower.encode(), upper.encode()


def _has_key(lines: bytes, start: int, name: str, spelling: _Spelling) -> bool:
    """Return whether a record that begins at byte `start` or later has a key."""
    parsed_to = start
    for hit in spelling.hits(lines, start):
        at, behind = hit.span()
        begin = lines.rfind(b"\n", 0, at) + 1
        if begin < parsed_to or not _may_be_key(lines, begin, at, behind):
            continue
        end = lines.find(b"\n", behind)
        end = len(lines) if end < 0 else end
        record = parsed(lines[begin:end])
        if isinstance(record, dict) and name in record:
            return True
        parsed_to = end
    return False


def _may_be_key(data: bytes, begin: int, at: int, end: int) -> bool:
    """Return whether the string ``data[at:end]`` may be a key of the line that begins at `begin`.

    A key stands before a colon, behind a comma or behind the line's own brace. Most keys of nested
    objects, and all values, are ruled out by this. `begin` is -1 if it is not in `data`.
    """
    behind = data[end : end + _MARGIN].lstrip(_WHITE)
    before = data[max(begin, 0, at - _MARGIN) : at].rstrip(_WHITE)
    if behind and not behind.startswith(b":"):
        return False
    if before.endswith(b"{"):
        return begin >= 0 and not before[:-1].removeprefix(BOM).strip(_WHITE)
    return before.endswith(b",") or not before
