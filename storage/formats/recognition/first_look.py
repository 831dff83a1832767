"""`FirstLook`: opens files for counting, and refuses those whose first bytes are of another format.

The bytes are those that counting reads first anyway: no further request is made.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from ...rows import Malformed, Opener, SourceFile
from .documents import HEAD_BYTES

_BUFFER_BYTES = 1 << 16

Impostor = Callable[[bytes], str | None]
"""A function that returns what a file with these first bytes is, if it is not what it should be."""


def problem_of(head: bytes, impostors: Sequence[Impostor]) -> str | None:
    """Return what a file is by its first bytes, and what to do; None if it is to be read.

    >>> from .encodings import wide
    >>> problem_of(b"un", [wide]) is None
    True
    """
    return next(filter(None, (impostor(head) for impostor in impostors)), None)


class FirstLook:
    """Opens files, decompressed.

    Raises
    ------
    Malformed
        Raised by opening a file whose first bytes are those of an impostor.
    """

    def __init__(self, opener: Opener, impostors: Sequence[Impostor]) -> None:
        self._opener, self._impostors = opener, impostors

    @contextmanager
    def __call__(self, file: SourceFile) -> Iterator[BinaryIO]:
        """Open a file at its beginning."""
        with self._opener(file) as stream:
            head = stream.read(HEAD_BYTES)
            problem = problem_of(head, self._impostors)
            if problem:
                raise Malformed(problem)
            if stream.seekable():
                stream.seek(0)
                yield stream
            else:
                whole = io.BufferedReader(_Rejoined(head, stream), _BUFFER_BYTES)
                yield cast(BinaryIO, whole)


class _Rejoined(io.RawIOBase):
    """Bytes that were read from a stream, and then the rest of it. The stream stays open."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = memoryview(head), cast(io.BufferedReader, rest)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] if self._head else self._rest.read1(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
