"""Opening the files of a corpus: a reader gets every byte of the listed version, or an error.

Large files are read as needed, and reopened at the same position when the storage fails. Small
files are fetched whole, with one request. Decoding the bytes is in `formats`, retrying in
`filesystems.retry`, and listing files in `listing`.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, BinaryIO, Protocol, cast

from ..errors import CorpusChanged, StorageRefused
from ..filesystems.filesystem import (
    LOCAL,
    consistent_listings,
    filesystem_of,
    forget_listings,
    protocols_of,
)
from ..filesystems.retry import permanent_errors, retried
from ..formats.compression import decompressed
from ..formats.registry import FORMATS
from ..rows import Opener, SourceFile
from .transcoding import utf8_stream

SMALL_BYTES = 1 << 20
"""Size in bytes up to which a file is fetched whole."""

_REQUEST_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20


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
        except BaseException:
            self._drop()
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


def version_of(info: Mapping[str, Any]) -> str:
    """Return what identifies this version of a file in its description, or "" if nothing does."""
    for key in (
        "generation",
        "etag",
        "ETag",
        "mtime",
        "modifiedTime",
        "updated",
        "LastModified",
        "created",
    ):
        if info.get(key) is not None:
            return f"{key}={info[key]}"
    return ""


class CorpusOpener(Opener, Protocol):
    """Opens files of a corpus, and checks that they are still the listed ones."""

    def check(self, file: SourceFile) -> None:
        """Raise `CorpusChanged` unless the file is still the one that was listed."""


class FileOpener:
    """Opens files of a corpus through fsspec, with the caller's storage options."""

    def __init__(self, storage_options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(storage_options or {})

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading, decompressed, as UTF-8; leaving the context closes it."""
        return _decoded(self._raw(file), file)

    def _raw(self, file: SourceFile) -> BinaryIO:
        fs, path = filesystem_of(file.location, self._options)
        large = {} if protocols_of(fs) & LOCAL else {"block_size": _REQUEST_BYTES}
        first = True

        def open_again() -> BinaryIO:
            nonlocal first
            if not first:
                self._check(file)
            first = False
            with consistent_listings(fs), self._must_exist(file):
                return cast(BinaryIO, fs.open(path, "rb", **large))

        if file.size <= SMALL_BYTES:
            return io.BytesIO(self.fetch(file))
        return cast(BinaryIO, RetryingFile(file.url, file.size, open_again))

    def fetch(self, file: SourceFile) -> bytes:
        """Return all bytes of a file, as stored."""
        fs, path = filesystem_of(file.location, self._options)

        def whole() -> bytes:
            with consistent_listings(fs), self._must_exist(file):
                data = bytes(fs.cat_file(path))
            if len(data) != file.size:
                self._check(file)
                raise OSError(errno.EIO, f"received {len(data)} of {file.size} bytes")
            return data

        with permanent_errors(f"reading {file.url}"):
            return retried(f"reading {file.url}", whole)

    @contextmanager
    def _must_exist(self, file: SourceFile) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            self._check(file)  # raises if it vanished, and refreshes a stale listing
            raise OSError(errno.EIO, "listed, but not found") from error

    def check(self, file: SourceFile) -> None:
        """Raise `CorpusChanged` unless the file is still the one that was listed."""
        with permanent_errors(f"checking {file.url}"):
            retried(f"checking {file.url}", lambda: self._check(file))

    def _check(self, file: SourceFile) -> None:
        fs, path = filesystem_of(file.location, self._options)
        fs.invalidate_cache(path)
        found = _size_and_version(fs, path)
        if found != (file.size, file.version):
            forget_listings(fs)  # a Drive's may be stale, so a mismatch is checked without them
            found = _size_and_version(fs, path)
        if found is None:
            raise CorpusChanged(f"{file.url} vanished after it was listed")
        if found != (file.size, file.version):
            raise CorpusChanged(
                f"{file.url} changed after it was indexed: {file.size} bytes "
                f"({file.version}) then, {found[0]} bytes ({found[1]}) now; a fresh run (--fresh) "
                "reads it as it is now and discards the existing results"
            )


def _size_and_version(fs: Any, path: str) -> tuple[int, str] | None:
    """Return a file's size and version; None if the file does not exist."""
    try:
        with consistent_listings(fs):
            info = fs.info(path)
    except FileNotFoundError:
        return None
    return info["size"], version_of(info)


class SmallFileOpener:
    """Opens one small file, whose bytes are fetched once, when they are first needed."""

    def __init__(self, opener: FileOpener, file: SourceFile) -> None:
        self._opener, self._file = opener, file
        self._data: bytes | None = None

    def fetch(self) -> SmallFileOpener:
        """Fetch the bytes now. If reading is not permitted, opening the file raises the error.

        Raises
        ------
        CorpusChanged
            The file is no longer the one that was listed.
        """
        with contextlib.suppress(StorageRefused):
            self._bytes()
        return self

    def _bytes(self) -> bytes:
        # Not a cached_property: on Python 3.11 its lock is shared by all files.
        if self._data is None:
            data = self._opener.fetch(self._file)
            self._opener.check(self._file)  # afterwards, so these are the listed version's bytes
            self._data = data
        return self._data

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open the file, decompressed."""
        return _decoded(io.BytesIO(self._bytes()), file)

    def check(self, file: SourceFile) -> None:
        """Do nothing: the file is checked when it is fetched."""


@contextmanager
def _decoded(raw: BinaryIO, file: SourceFile) -> Iterator[BinaryIO]:
    with raw:
        stream = raw
        if file.compression:
            stream = cast(BinaryIO, decompressed(raw, file.compression))
        elif not (FORMATS[file.format].random_access or isinstance(raw, io.BytesIO)):
            buffered = io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER_BYTES)
            stream = cast(BinaryIO, buffered)
        encoding = file.dialect.encoding
        yield utf8_stream(stream, encoding) if encoding else stream
