"""Decoding stored bytes: a file that is damaged is told from a storage that fails.

A decoder raises the same errors for both. So it reads through a `StoredFile`, which remembers what
the storage raised; whatever else comes out of the decoder is the file's own fault.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from ..rows import Malformed

T = TypeVar("T")

_RAISED_BY_DECODERS = (OSError, EOFError, zlib.error, pa.ArrowException)


class StoredFile(io.RawIOBase):
    """A file's bytes as they are stored, on their way into a decoder. Its opener closes it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw: Any = raw
        self._failure: BaseException | None = None  # the first that the storage raised

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether the file is."""
        return bool(self._raw.seekable())

    def read(self, size: int = -1) -> bytes:
        """Read as the file does."""
        data: bytes = self._noting(lambda: self._raw.read(size))
        return data

    def readinto(self, buffer: Any) -> int:
        """Read as the file does."""
        return int(self._noting(lambda: self._raw.readinto(buffer)))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek as the file does."""
        return int(self._noting(lambda: self._raw.seek(offset, whence)))

    def tell(self) -> int:
        """Return where the file is, in bytes."""
        return int(self._raw.tell())  # not noted: a buffer asks a pipe too, and is content with no

    def _noting(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except BaseException as failure:
            self._failure = self._failure or failure
            raise

    @contextmanager
    def decoding(self, reason: str) -> Iterator[None]:
        """Around every call of a decoder: what goes wrong is `Malformed`, beginning with `reason`.

        What the storage raised stays what it is.
        """
        try:
            yield
        except _RAISED_BY_DECODERS as error:
            if self._failure is error:
                raise
            if self._failure is not None:
                raise self._failure from error
            raise Malformed(f"{reason}: {error}") from error
