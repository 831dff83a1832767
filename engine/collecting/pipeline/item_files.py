"""Reading the file of an item: a path or a URL for fsspec, or a member of a zip archive.

Sources check which files they list; only sizes and names of members are checked here.
"""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ....storage.errors import UsageError
from ....storage.filesystems.filesystem import LOCAL, filesystem_of, protocols_of
from ..outcome import NotKept

MOST_FILE_BYTES = 256 << 20
"""Default for the largest file or member that is read, in bytes."""

_MOST_RATIO = 250
_RATIO_FROM = 1 << 20


@dataclass(eq=False)
class _Archive:
    file: Any
    members: zipfile.ZipFile
    readers: int = 0
    current: bool = True

    def close(self) -> None:
        self.members.close()
        self.file.close()


class ItemFiles:
    """Reads the files of items; threads may share it.

    The last archive stays open: to read its directory for each of its members takes time that
    grows with the square of their number.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = ""
        self._archive: _Archive | None = None

    def read(self, path: str, most_bytes: int | None = None) -> bytes:
        """Return the content of a file.

        Raises
        ------
        NotKept
            It cannot be read, or is too large.
        """
        most = MOST_FILE_BYTES if most_bytes is None else most_bytes
        outer, separator, member = path.partition("::")
        try:
            if separator and outer.lower().endswith(".zip"):
                with self._opened(outer) as archive:
                    return _member(archive, member, most)
            with _open(path) as file:
                return _bounded(file, most)
        except FileNotFoundError as error:
            raise NotKept("not-found", path) from error
        except PermissionError as error:
            raise NotKept("forbidden", path) from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise NotKept("damaged", str(error)) from error
        except (UsageError, ValueError) as error:  # an unknown protocol; a NUL, or an odd member
            raise NotKept("bad-record", str(error)) from error
        except OSError as error:
            raise NotKept("unreachable", f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the archive that is open, once it is not read any more."""
        with self._lock:
            self._replace("", None)

    @contextmanager
    def _opened(self, path: str) -> Iterator[zipfile.ZipFile]:
        with self._lock:
            archive = self._archive
            if archive is None or self._name != path:
                file = _open(path)
                try:
                    archive = _Archive(file, zipfile.ZipFile(file))
                except BaseException:
                    file.close()
                    raise
                self._replace(path, archive)
            archive.readers += 1
        try:
            yield archive.members
        except (OSError, EOFError):  # its file may have to be opened again
            with self._lock:
                if archive is self._archive:
                    self._replace("", None)
            raise
        finally:
            with self._lock:
                archive.readers -= 1
                _close_unused(archive)

    def _replace(self, name: str, archive: _Archive | None) -> None:
        former, self._name, self._archive = self._archive, name, archive
        if former is not None:
            former.current = False
            _close_unused(former)


def _close_unused(archive: _Archive) -> None:
    if not archive.current and not archive.readers:
        archive.close()


def _open(path: str) -> Any:
    fs, name = filesystem_of(path, {})
    if protocols_of(fs) & LOCAL and not stat.S_ISREG(Path(name).stat().st_mode):
        raise NotKept("unknown-type", "not a regular file")  # a pipe would be waited for
    return fs.open(name, "rb")


def _bounded(file: IO[bytes], most: int) -> bytes:
    data = file.read(most + 1)
    if len(data) > most:
        raise NotKept("too-large", f"over {most:,} bytes")
    return data


def _member(archive: zipfile.ZipFile, member: str, most: int) -> bytes:
    if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
        raise NotKept("unsafe-path", member)
    try:
        info = archive.getinfo(member)
    except KeyError as error:
        raise NotKept("not-found", member) from error
    if info.flag_bits & 1:
        raise NotKept("encrypted", member)
    bound = max(_RATIO_FROM, info.compress_size * _MOST_RATIO)
    try:
        with archive.open(info) as inner:
            return _bounded(inner, min(most, bound))
    except NotImplementedError as error:
        raise NotKept("bad-compression", str(error)) from error
    except NotKept:
        raise NotKept("bomb" if bound < most else "too-large", member) from None
