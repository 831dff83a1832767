"""`RetryingFile`: a file that is opened again, at the same position, when its storage fails.

Which failures are retried is decided in `retry`.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from .failures import is_missing
from .retry import permanent_errors, retried


class RetryingFile(io.RawIOBase):
    """A file of known size that survives resets, dropped mounts and downloads that end early.

    Parameters
    ----------
    name : str
        Name of the file in messages.
    size : int
        Bytes, as listed.
    open_again : callable
        Opens the file, after making sure that it is still the one that was listed.
    """

    def __init__(self, name: str, size: int, open_again: Callable[[], BinaryIO]) -> None:
        super().__init__()
        self._name, self._size, self._open = name, size, open_again
        self._file: Any = None
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; nothing is read before the next `read`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end.

        Raises
        ------
        StorageUnreachable
            The storage kept failing until the retries ran out.
        StorageRefused
            Reading is not permitted.
        """
        left = max(0, self._size - self._at)
        missing = left if size is None or size < 0 else min(size, left)
        parts: list[bytes] = []
        while missing:
            with permanent_errors(f"reading {self._name}"):
                part = retried(f"reading {self._name}", partial(self._attempt, missing))
            parts.append(part)
            self._at += len(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _attempt(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._file = self._open()
            if self._file.tell() != self._at:
                self._file.seek(self._at)
            part: bytes = self._file.read(size)
        except BaseException as error:
            self._drop()
            if is_missing(error):  # or changed: opening it again will tell
                raise OSError(errno.EIO, "listed, but not found") from error
            raise
        if not part:  # its size was as listed a moment ago
            self._drop()
            raise OSError(errno.EIO, f"no data at byte {self._at} of {self._size}")
        return part

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer."""
        view = memoryview(buffer).cast("B")
        part = self.read(len(view))
        view[: len(part)] = part
        return len(part)

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(Exception):  # it failed, and is not used again
                file.close()

    def close(self) -> None:
        """Close the underlying file."""
        self._drop()
        super().close()
