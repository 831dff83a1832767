"""`WebFile`: a file of a web server, also of one that does not serve parts of files.

Python's own ``http.server``, for example, ignores range requests and always sends whole files.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any, BinaryIO

_PIECE = 1 << 20


class WebFile(io.RawIOBase):
    """A file that is read in parts or, if the server refuses that, from its front.

    Going back then downloads it again, so it should be read forwards.

    Parameters
    ----------
    ranged : file
        Reads parts. It raises ValueError if the server does not serve them, as fsspec's does.
    open_front : callable
        Opens the file as a stream, which cannot seek.
    """

    def __init__(self, ranged: Any, open_front: Callable[[], BinaryIO]) -> None:
        super().__init__()
        self._ranged, self._open_front = ranged, open_front
        self._front: Any = None
        self._front_at = 0
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position, counted from the beginning."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only positions from the beginning")
        self._at = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        data = self._part(size) if self._front is None else None
        if data is None:
            self._skip()
            data = self._front.read(size)
            self._front_at += len(data)
        self._at += len(data)
        return data

    def _part(self, size: int) -> bytes | None:
        """Read a part; return None if the server does not serve them."""
        try:
            self._ranged.seek(self._at)
            data: bytes = self._ranged.read(size)
        except ValueError:
            return None
        return data

    def _skip(self) -> None:
        """Read from the front, up to the position."""
        if self._front is None or self._front_at > self._at:
            self._close_front()
            self._front, self._front_at = self._open_front(), 0
        while self._front_at < self._at:
            data = self._front.read(min(_PIECE, self._at - self._front_at))
            if not data:
                return
            self._front_at += len(data)

    def _close_front(self) -> None:
        front, self._front = self._front, None
        if front is not None:
            front.close()

    def close(self) -> None:
        """Close the connections."""
        if not self.closed:
            with contextlib.suppress(Exception):  # it is not used again
                self._close_front()
                self._ranged.close()
        super().close()
