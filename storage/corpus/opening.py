"""Opening the files of a corpus: a reader gets every byte of the listed version, or an error.

Large files are read as needed, and reopened at the same position when the storage fails. Small
files are fetched whole, with one request. Decoding the bytes is in `formats`, retrying in
`filesystems.retry`, and listing files in `listing`.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, Protocol, cast

from ..errors import CorpusChanged, StorageRefused, UsageError
from ..filesystems.failures import is_missing
from ..filesystems.filesystem import (
    DRIVE,
    GCS,
    LOCAL,
    OBJECT_STORES,
    WEB,
    consistent_listings,
    filesystem_of,
    forget_listings,
    info_of,
    protocols_of,
)
from ..filesystems.retry import permanent_errors, retried
from ..filesystems.retrying_file import RetryingFile
from ..filesystems.versions import same_version, version_of
from ..filesystems.web_file import WebFile
from ..formats.compression import decompressed
from ..formats.recognition.transcoding import utf8_stream
from ..formats.registry import FORMATS
from ..rows import Opener, SourceFile
from .identity import (
    BLOCK_BYTES,
    SAMPLED,
    UNREAD,
    WHOLE,
    digest_of,
    kind_for,
    kind_of,
    listed_digest,
)
from .tables.frame_parts import require_same_rows
from .tables.memory_file import content_of

SMALL_BYTES = 1 << 20
"""Size in bytes up to which a file is fetched whole."""

_REQUEST_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20


class CorpusOpener(Opener, Protocol):
    """Opens files of a corpus, and checks that they are still the listed ones."""

    def check(self, file: SourceFile) -> None:
        """Raise `CorpusChanged` unless the file is still the one that was listed."""


class FileOpener:
    """Opens files of a corpus through fsspec, with the caller's storage options.

    Parameters
    ----------
    storage_options : mapping, optional
        Passed to fsspec.
    exact : bool
        Whether digests that are made of large files are of all their bytes.
    if_gone : str
        What to advise if a file no longer exists.
    """

    def __init__(
        self,
        storage_options: Mapping[str, Any] | None = None,
        *,
        exact: bool = False,
        if_gone: str = "",
    ) -> None:
        self._options = dict(storage_options or {})
        self._exact, self._if_gone = exact, if_gone
        self._unchanged: dict[str, str] = {}  # URLs, and versions whose content was compared
        self._served_whole: set[str] = set()  # URLs of files that are read from their front

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading, decompressed, as UTF-8; leaving the context closes it."""
        return _decoded(self._raw(file), file)

    def _raw(self, file: SourceFile, options: Mapping[str, Any] | None = None) -> BinaryIO:
        """Open a file as it is stored; `options` are those of fsspec's `open`."""
        if file.in_memory or file.size <= SMALL_BYTES:
            return io.BytesIO(self.fetch(file))
        fs, path = filesystem_of(file.location, self._options)
        remote = {} if protocols_of(fs) & LOCAL else {"block_size": _REQUEST_BYTES}
        given = remote if options is None else options
        first = True

        def open_again() -> BinaryIO:
            nonlocal first
            if not first:
                self._check(file)
            first = False
            with consistent_listings(fs), self._must_exist(file):
                opened = fs.open(path, "rb", **given)
                if protocols_of(fs) & WEB:
                    opened = WebFile(opened, lambda: self._from_front(fs, path, file))
                return cast(BinaryIO, opened)

        return cast(BinaryIO, RetryingFile(file.url, file.size, open_again))

    def _from_front(self, fs: Any, path: str, file: SourceFile) -> BinaryIO:
        """Open a file of a web server that does not serve parts of files."""
        self._served_whole.add(file.url)
        if FORMATS[file.format].random_access:
            raise UsageError(
                f"{file.url}: the server does not serve parts of files (HTTP range requests), "
                f"which {file.format} needs; download the file first"
            )
        return cast(BinaryIO, fs.open(path, "rb", block_size=0))

    def reads_whole(self, file: SourceFile) -> bool:
        """Return whether a part of a file was found to cost as much as all that is before it."""
        return file.url in self._served_whole

    def suffices(self, digest: str | None) -> bool:
        """Return whether no other digest of a file need be made."""
        return digest is not None and not (self._exact and kind_of(digest) == SAMPLED)

    def digest(self, file: SourceFile, kind: str | None = None) -> str | None:
        """Return the digest of a file's content, by default of the kind that a new store keeps.

        None stands for no digest: an opener that opens only parts of files makes none.

        Raises
        ------
        CorpusChanged, StorageUnreachable, StorageRefused
        """
        if file.in_memory:
            return content_of(file).digest
        fs, path = filesystem_of(file.location, self._options)
        protocols = protocols_of(fs)
        if kind in (None, WHOLE) and protocols & (GCS | DRIVE) and file.size > SMALL_BYTES:
            with permanent_errors(f"checking {file.url}"):
                known = retried(f"checking {file.url}", lambda: _kept_digest(fs, path))
            if known:
                return known
        kind = kind or kind_for(file, self._exact)
        # Read in blocks of this size, and only those that are needed.
        small: dict[str, Any] = (
            {"block_size": BLOCK_BYTES} if kind != WHOLE and not protocols & LOCAL else {}
        )
        if small and protocols & (OBJECT_STORES | DRIVE | WEB):
            small["cache_type"] = "none"
        with self._raw(file, small or None) as raw:
            return digest_of(raw, file.size, kind)

    def fetch(self, file: SourceFile) -> bytes:
        """Return all bytes of a file, as stored."""
        with permanent_errors(f"reading {file.url}"):
            return retried(f"reading {file.url}", lambda: self._fetch(file))

    def fetch_checked(self, file: SourceFile) -> bytes:
        """Return all bytes of a file, as stored, after checking that they are as listed."""

        def checked() -> bytes:
            data = self._fetch(file)
            self._check(file, data)  # afterwards, so these are the listed version's bytes
            return data

        with permanent_errors(f"reading {file.url}"):
            return retried(f"reading {file.url}", checked)

    def _fetch(self, file: SourceFile) -> bytes:
        if file.in_memory:
            return content_of(file).data
        fs, path = filesystem_of(file.location, self._options)
        with consistent_listings(fs), self._must_exist(file):
            data = bytes(fs.cat_file(path))
        if len(data) != file.size:
            self._check(file)
            raise OSError(errno.EIO, f"received {len(data)} of {file.size} bytes")
        return data

    @contextmanager
    def _must_exist(self, file: SourceFile) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_missing(error):
                raise
            self._check(file)  # raises if it is gone, and refreshes a stale listing
            raise OSError(errno.EIO, "listed, but not found") from error

    def check(self, file: SourceFile) -> None:
        """Raise `CorpusChanged` unless the file has the content that was listed.

        While its size, and its time or the like, are the same, it is not read.
        """
        with permanent_errors(f"checking {file.url}"):
            retried(f"checking {file.url}", lambda: self._check(file))

    def _check(self, file: SourceFile, data: bytes | None = None) -> None:
        if file.in_memory:
            content_of(file)
            return
        if file.in_frame:
            require_same_rows(file)
            return
        fs, path = filesystem_of(file.location, self._options)
        fs.invalidate_cache(path)
        found = _size_and_version(fs, path)
        if found is None or not _is_listed(file, *found):
            forget_listings(fs)  # a Drive's may be stale, so a mismatch is checked without them
            found = _size_and_version(fs, path)
        if found is None:
            raise CorpusChanged(f"{file.url} no longer exists{self._if_gone}")
        if not (_is_listed(file, *found) or self._has_same_content(file, *found, data=data)):
            was, now = f"{file.size:,} bytes", f"{found[0]:,} bytes"
            what = f"{was} then, {now} now"
            if was == now:
                times = f", {file.version} then and {found[1]} now"
                what = f"{now} as before" + (", but others" if file.digest else times)
            raise CorpusChanged(
                f"{file.url} changed after it was indexed: {what}; a fresh run (--fresh) reads it "
                "as it is now and discards the existing results"
            )

    def _has_same_content(
        self, file: SourceFile, size: int, version: str, *, data: bytes | None
    ) -> bool:
        """Return whether a file whose version differs has the content that was indexed."""
        if size != file.size or file.digest in (None, UNREAD):
            # A store of an earlier version may know nothing of a file but its size.
            return size == file.size and not (file.digest or file.version)
        if self._unchanged.get(file.url) == version:
            return True
        kind = kind_of(str(file.digest))
        if data is not None:
            found: str | None = digest_of(io.BytesIO(data), len(data), kind)
        else:  # under the version of now, so that reading it does not ask for the digest again
            found = self.digest(replace(file, version=version, digest=None), kind)
        same = found == file.digest
        if same:
            self._unchanged[file.url] = version
        return same


def _is_listed(file: SourceFile, size: int, version: str) -> bool:
    return size == file.size and same_version(version, file.version)


def _size_and_version(fs: Any, path: str) -> tuple[int, str] | None:
    """Return a file's size and version; None if the file does not exist."""
    try:
        with consistent_listings(fs):
            info = info_of(fs, path)
    except FileNotFoundError:
        return None
    return info["size"], version_of(info)


def _kept_digest(fs: Any, path: str) -> str | None:
    """Return the digest that an object store or a Drive has of a file, or None."""
    forget_listings(fs)  # those of this thread may be older than the file
    with consistent_listings(fs):
        info = info_of(fs, path)
        if protocols_of(fs) & DRIVE:  # its listings leave this out
            request = fs.files.get(fileId=info["id"], fields="md5Checksum", supportsAllDrives=True)
            info = request.execute()
    return listed_digest(info)


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
            self._data = self._opener.fetch_checked(self._file)
        return self._data

    def digest(self, file: SourceFile, kind: str | None = None) -> str | None:
        """Return the digest of the file's content, as `FileOpener.digest` does."""
        return digest_of(io.BytesIO(self._bytes()), file.size, kind or WHOLE)

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
