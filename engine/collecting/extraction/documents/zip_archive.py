"""ZIP archives in memory, checked before anything in them is decompressed."""

from __future__ import annotations

import io
import zipfile
import zlib

from ...outcome import NotKept
from ..compressed import check_expansion

_MOST_FILES = 10_000
_ENTRY = b"PK\x01\x02"
"""Signature of an entry of the central directory."""

_HEADER_BYTES = 30


class ZipArchive:
    """An archive whose directory was checked: number, names and sizes of files, and no overlaps.

    Parameters
    ----------
    content
        The archive.

    Raises
    ------
    NotKept
        ``bomb``, ``unsafe-path``, ``encrypted`` or ``damaged``.
    """

    def __init__(self, content: bytes) -> None:
        # Opening an archive makes an object per entry, so they are counted before.
        if content.count(_ENTRY) > _MOST_FILES:
            raise NotKept("bomb", f"an archive of more than {_MOST_FILES:,} files")
        try:
            self._file = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
            raise NotKept("damaged", f"as a ZIP archive: {error}"[:200]) from error
        entries = self._file.infolist()
        check_expansion(len(content), sum(entry.file_size for entry in entries))
        for entry in entries:
            _check_name(entry.filename)
            if entry.flag_bits & 1:
                raise NotKept("encrypted", "an archive with a password")
        self.names = frozenset(entry.filename for entry in entries)
        """Names of the files in it."""
        if len(self.names) < len(entries):
            raise NotKept("damaged", "an archive with two files of one name")
        _check_places(entries, len(content))

    def read(self, name: str) -> bytes:
        """Return a file; raise `NotKept` (``damaged``) if it is not there or not whole."""
        if name not in self.names:
            raise NotKept("damaged", f"the archive lacks {name[:100]}")
        try:
            return self._file.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise NotKept("damaged", f"{name[:100]}: {error}"[:200]) from error
        except (NotImplementedError, RuntimeError) as error:  # an unknown compression
            raise NotKept("bad-compression", f"{name[:100]}: {error}"[:200]) from error


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0].endswith(":"):
        raise NotKept("unsafe-path", name[:100])


def _check_places(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raise `NotKept` if files overlap, so that the same bytes are decompressed again and again."""
    end = size
    for entry in sorted(entries, key=lambda entry: entry.header_offset, reverse=True):
        if entry.header_offset + _HEADER_BYTES + entry.compress_size > end:
            raise NotKept("bomb", "files in the archive overlap")
        end = entry.header_offset
