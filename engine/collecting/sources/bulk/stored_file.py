"""`StoredFile`: a file on any fsspec filesystem, described once and opened as the same version."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from .....storage.errors import CorpusChanged, CorpusNotFound, UsageError
from .....storage.filesystems.filesystem import filesystem_of, info_of
from .....storage.filesystems.redaction import shown
from .....storage.filesystems.retry import permanent_errors, retried
from .....storage.filesystems.retrying_file import RetryingFile
from .....storage.filesystems.versions import same_version, version_of

_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file as it was described when it was looked up."""

    name: str
    """Its URL without secrets, for messages."""
    size: int
    """Bytes."""
    version: str
    """Generation, etag or time; empty if the filesystem gives none."""
    fs: Any
    path: str

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file for reading; if storage fails, it is reopened at the same byte.

        Raises
        ------
        CorpusChanged
            It is not the version that was described.
        """
        raw = RetryingFile(self.name, self.size, self._open)
        with io.BufferedReader(raw, _BUFFER_BYTES) as buffered:
            yield cast(BinaryIO, buffered)

    def _open(self) -> BinaryIO:
        now = info_of(self.fs, self.path)
        if now.get("size") != self.size or not same_version(version_of(now), self.version):
            raise CorpusChanged(f"{self.name} changed while it was read; collect it again")
        opened: BinaryIO = self.fs.open(self.path, "rb")
        return opened


def stored_file(url: str) -> StoredFile:
    """Look up a file by its path or URL.

    Raises
    ------
    CorpusNotFound
        The file does not exist.
    UsageError
        It is a folder, or its size is unknown.
    """
    name = shown(url)
    if "\0" in url:
        raise CorpusNotFound(f"{name!r}: a file's name cannot have a NUL character")
    fs, path = filesystem_of(url)
    with permanent_errors(f"reading {name}"):
        try:
            info = retried(f"looking up {name}", lambda: info_of(fs, path))
        except FileNotFoundError:
            raise CorpusNotFound(f"{name}: no such file") from None
    if info["type"] == "directory":
        raise UsageError(f"{name} is a folder; name a file")
    size = info.get("size")
    if not isinstance(size, int) or size < 0:
        raise UsageError(f"{name}: its size is unknown; download it first")
    return StoredFile(name, size, version_of(info), fs, path)
