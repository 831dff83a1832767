"""Decoding stored bytes, with damaged files distinguished from failing storage.

A decoder raises the same errors for both. So it reads through a `StoredFile`, which records the
errors of the storage; any other error of the decoder is caused by the file.
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


class StoredFile(io.RawIOBase):
    """Stored bytes of a file, as input of a decoder. Closed by the file's opener."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw: Any = raw
        self._failure: BaseException | None = None  # first error of the storage

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether the file is seekable."""
        return bool(self._raw.seekable())

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        data: bytes = self._recording(lambda: self._raw.read(size))
        return data

    def readinto(self, buffer: Any) -> int:
        """Read from the file."""
        return int(self._recording(lambda: self._raw.readinto(buffer)))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek in the file."""
        return int(self._recording(lambda: self._raw.seek(offset, whence)))

    def tell(self) -> int:
        """Return the position in the file, in bytes."""
        # Failures are not recorded: buffers also call this on pipes, and accept that it fails.
        return int(self._raw.tell())

    def _recording(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except BaseException as failure:
            self._failure = self._failure or failure
            raise

    @contextmanager
    def decoding(self, reason: str) -> Iterator[None]:
        """Turn errors of a decoder into `Malformed`, with a message that begins with `reason`.

        Use it around every call of a decoder, and around nothing else: whatever a decoder raises
        is about the bytes that it was given, be it a KeyError, a UnicodeDecodeError or the
        MemoryError of a size that damage made huge. Errors of the storage are raised unchanged.
        """
        try:
            yield
        except Exception as error:  # see above
            if self._failure is error:
                raise
            if self._failure is not None:
                raise self._failure from error
            raise Malformed(f"{reason}: {_message(error)}") from error


def _message(error: Exception) -> str:
    """Return what an error says; its class too, if that says more."""
    if isinstance(error, OSError | EOFError | zlib.error | pa.ArrowException):
        return str(error)
    return f"{type(error).__name__}: {error}"
