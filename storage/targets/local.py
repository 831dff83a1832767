"""A store in a folder of this machine: temporary file, sync, rename, sync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import psutil

from .safe_keys import confined

_TEMPORARY = ".writing-"

DRIVE = "fuse.drive"
"""What Colab's mounted Drive is called among filesystems."""

_NETWORK_MOUNTS = frozenset({"9p", "afs", "cifs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf"})


class LocalTarget:
    """A folder. A write is a temporary file, synced, renamed, its folder synced."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Path(path)

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self._root)

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """Nothing: it is a path."""
        return {}

    @property
    def slow_to_create(self) -> bool:
        """Only on a mount."""
        return is_mount(self._root)

    def _path(self, key: str) -> Path:
        return self._root / confined(key, self.url)

    def get(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object atomically and durably."""
        path = self._path(key)
        temporary = self._write_beside(path, data)
        temporary.replace(path)
        _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none, atomically."""
        path = self._path(key)
        temporary = self._write_beside(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            return self._create_without_links(path, data)
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
        return True

    def _create_without_links(self, path: Path, data: bytes) -> bool:
        """For mounts that know no hard links (FUSE): exclusive, though not atomic."""
        try:
            with path.open("xb") as file:
                file.write(data)
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True

    def _write_beside(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a disk that is full should not become fuller
                temporary.unlink()
            if error.errno == errno.ENOSPC:
                free = shutil.disk_usage(path.parent).free
                said = f"{len(data):,} bytes were to be written, {free:,} are free"
                raise OSError(errno.ENOSPC, said) from error
            raise
        return temporary

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, and the folders that are empty then."""
        folders: set[Path] = set()
        for path in [self._path(key) for key in keys]:
            path.unlink(missing_ok=True)
            folders.update(path.relative_to(self._root).parents)
        for folder in sorted(folders, key=lambda f: -len(f.parts)):
            with contextlib.suppress(OSError):
                (self._root / folder).rmdir()

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder, temporary files of killed writers included."""
        top = self._path(prefix)
        found = {}
        # Without onerror a folder that cannot be listed is left out, as if it were empty.
        for folder, _, names in os.walk(top, onerror=_raise_unless_missing):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a mount that cannot sync folders
            raise
    finally:
        os.close(handle)


def is_temporary(key: str) -> bool:
    """Whether a key is the temporary file of a writer that was killed."""
    return _TEMPORARY in key.rsplit("/", 1)[-1]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def is_mount(path: Path) -> bool:
    """Whether a path lies on a mounted Drive, bucket or network folder, and not on a disk."""
    kind = kind_of_disk(path)
    return kind.startswith("fuse") or kind in _NETWORK_MOUNTS


def kind_of_disk(path: Path) -> str:
    """Return the kind of filesystem that a path lies on, as ``ext4``; of Colab's Drive `DRIVE`.

    A path that is not there yet lies where its parent does.
    """
    real = os.path.realpath(path)
    found = [
        (len(disk.mountpoint), disk.fstype)
        for disk in psutil.disk_partitions(all=True)
        if PurePath(real).is_relative_to(disk.mountpoint)
    ]
    return max(found, default=(0, ""))[1]
