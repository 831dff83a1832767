"""A target in a folder of this machine. Which folders are mounts is in `mounts`."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .mounts import is_mount
from .safe_keys import confined

TEMPORARY = ".writing-"
"""What the names of temporary files begin with."""


class LocalTarget:
    """A folder. Writing creates a temporary file, syncs and renames it, and syncs the folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Path(path)

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self._root)

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """Empty: a path needs none."""
        return {}

    @property
    def slow_to_create(self) -> bool:
        """True only on a mount."""
        return is_mount(self._root)

    def _path(self, key: str) -> Path:
        return self._root / confined(key, self.url)

    def get(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
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
        """Write an object only if it does not exist, atomically."""
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
        """Create a file on a mount without hard links (FUSE): exclusively, but not atomically."""
        try:
            with path.open("xb") as file:
                file.write(data)
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True

    def _write_beside(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # do not leave it on a full disk
                temporary.unlink()
            if error.errno == errno.ENOSPC:
                free = shutil.disk_usage(path.parent).free
                message = f"{len(data):,} bytes were to be written, {free:,} are free"
                raise OSError(errno.ENOSPC, message) from error
            raise
        return temporary

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, and folders that become empty."""
        folders: set[Path] = set()
        for path in [self._path(key) for key in keys]:
            path.unlink(missing_ok=True)
            folders.update(path.relative_to(self._root).parents)
        for folder in sorted(folders, key=lambda f: -len(f.parts)):
            with contextlib.suppress(OSError):
                (self._root / folder).rmdir()

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder, including temporary files of killed writers."""
        top = self._path(prefix)
        found = {}
        # Without onerror, a folder that cannot be listed would be skipped, as if it were empty.
        for folder, _, names in os.walk(top, onerror=_raise_unless_missing):
            here = Path(folder)
            below = here.relative_to(self._root).as_posix()
            parent = "" if below == "." else f"{below}/"
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found[f"{parent}{name}"] = (here / name).stat().st_size
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
    """Return whether a key is that of a temporary file, which a killed writer may leave."""
    return TEMPORARY in key.rsplit("/", 1)[-1]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
