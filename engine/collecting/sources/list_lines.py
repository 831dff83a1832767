"""Reads the lines of a list from any position on; their number and lengths are not limited."""

from __future__ import annotations

import io
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ....storage.errors import UsageError
from ....storage.filesystems.filesystem import filesystem_of
from ..outcome import NotKept

MOST_BYTES = 1 << 20
"""Size of the longest line, and of the longest CSV record of several lines, in bytes."""

_MOST_LINES = 64
"""Lines after which a CSV record whose quotes do not close counts as one bad line."""

_DAMAGED = (EOFError, zlib.error, OSError)


@dataclass(frozen=True, kw_only=True)
class ListLine:
    """A line, or a CSV record of several."""

    number: int
    """Number of its first line in the file, from 1."""
    content: bytes | None
    """None if it is longer than `MOST_BYTES`."""
    end: Position


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position between lines, with what detects changes of the file before it."""

    offset: int = 0
    """Offset in the decompressed file, in bytes."""
    lines: int = 0
    """Number of lines before it."""
    length: int = 0
    """Length of the line before it, in bytes; at most `MOST_BYTES`."""
    checksum: int = 0
    """CRC-32 of that line."""


class ListLines:
    """A list's file: its lines in order, from a position on. A context manager.

    Parameters
    ----------
    path
        A local path or a URL of fsspec; compressed if its ending says so.

    Raises
    ------
    UsageError
        The file does not exist.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        fs, name = filesystem_of(path)
        try:
            self._stream: Any = fs.open(name, "rb", compression="infer")
        except (FileNotFoundError, IsADirectoryError):
            raise UsageError(f"{path}: no such list") from None

    def __enter__(self) -> ListLines:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def from_position(self, start: Position, *, delimiters: str = "") -> Iterator[ListLine]:
        """Yield lines from a position on.

        Parameters
        ----------
        start
            Where to begin.
        delimiters
            The field delimiters of a table; if they are given, lines that are joined by a quoted
            field are one record.

        Raises
        ------
        NotKept
            The file changed before the position, or is damaged.
        """
        try:
            lines = self._lines(self._go_to(start))
            yield from _records(lines, delimiters) if delimiters else lines
        except _DAMAGED as error:
            raise NotKept("damaged", f"{self._path}: {error}") from None

    def _go_to(self, start: Position) -> Position:
        """Go to a position; if the line before it was unterminated then, go behind its end."""
        self._skip(start.offset - start.length)
        before = self._stream.read(start.length)
        rest = b"" if before.endswith(b"\n") or not start.offset else self._stream.readline(3)
        if zlib.crc32(before) != start.checksum or rest.strip(b"\r\n"):
            detail = f"{self._path} changed before line {start.lines + 1}"
            raise NotKept("bad-record", f"{detail}; begin another collection")
        return replace(start, offset=start.offset + len(rest))

    def _skip(self, offset: int) -> None:
        if self._stream.seekable():
            self._stream.seek(offset)
            return
        while offset > 0:
            piece = self._stream.read(min(offset, io.DEFAULT_BUFFER_SIZE))
            if not piece:
                return
            offset -= len(piece)

    def _lines(self, start: Position) -> Iterator[ListLine]:
        offset, number = start.offset, start.lines
        while raw := self._stream.readline(MOST_BYTES):
            number += 1
            offset += len(raw)
            content: bytes | None = raw
            while not raw.endswith(b"\n"):
                more = self._stream.readline(MOST_BYTES)
                if not more:
                    break
                offset += len(more)
                raw, content = more, None
            end = Position(offset=offset, lines=number, length=len(raw), checksum=zlib.crc32(raw))
            yield ListLine(number=number, content=content, end=end)


def _records(lines: Iterator[ListLine], delimiters: str) -> Iterator[ListLine]:
    """Join lines until their quoted fields are closed."""
    ends = re.escape(delimiters).encode()
    # A quote inside a field that does not begin with one stands for itself, as csv.reader has it.
    closed = re.compile(rb'(?:^|(?<=[%b]))"(?:[^"]|"")*"(?=[%b\r\n]|$)' % (ends, ends))
    opening = re.compile(rb'(?:^|[%b])"' % ends)
    waiting: deque[ListLine] = deque()
    while line := waiting.popleft() if waiting else next(lines, None):
        joined, others, content = line, list[ListLine](), line.content
        while content is not None and opening.search(closed.sub(b"", content)):
            following = waiting.popleft() if waiting else next(lines, None)
            if following is None or following.content is None:
                content = None
            else:
                content += following.content
            if following is not None:
                others.append(following)
            if content is None or len(others) > _MOST_LINES or len(content) > MOST_BYTES:
                break
            joined = ListLine(number=line.number, content=content, end=others[-1].end)
        else:
            yield joined
            continue
        waiting.extendleft(reversed(others))  # the first line alone is bad
        yield line
