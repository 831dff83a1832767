"""A target in a folder of this machine. Which folders are mounts is in `mounts`."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Any

from .mounts import is_mount
from .safe_keys import confined
from .syncing import Share, Syncs

TEMPORARY = ".writing-"
"""What the names of temporary files begin with."""


class LocalTarget:
    """A folder. Writing creates a temporary file, syncs and renames it, and syncs the folder."""

    grouped = True
    """`put_all` waits for the disk once per step, not once per object."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Path(path)
        self._durable: set[Path] = set()  # folders whose own entry in their parent is synced
        self._syncs = Syncs()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what this process knows: another may have removed folders, and be elsewhere."""
        return {**self.__dict__, "_durable": set(), "_syncs": Syncs()}

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
        self._put_steps([{key: data}])

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects atomically and durably, each step before the next is visible."""
        self._put_steps(steps)

    def _put_steps(self, steps: Sequence[Mapping[str, bytes]]) -> None:
        """Sync all data under temporary names; then rename step by step, and sync its folders."""
        named = [{self._path(key): data for key, data in step.items()} for step in steps]
        files = {path: (_beside(path), data) for step in named for path, data in step.items()}
        with self._syncs.group() as share:
            try:
                share(self._write_file, list(files.values()))
            except OSError:
                for temporary, _ in files.values():  # do not leave them on a full disk
                    with contextlib.suppress(OSError):
                        temporary.unlink()
                raise
            for step in filter(None, named):
                for path in step:
                    self._rename(files[path][0], path)
                self._sync_folders_of(step, share)

    def _rename(self, temporary: Path, path: Path) -> None:
        temporary.replace(path)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist, atomically."""
        path = self._path(key)
        temporary = _beside(path)
        try:
            self._write_file(temporary, data)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            return self._create_without_links(path, data)
        finally:
            temporary.unlink(missing_ok=True)
        with self._syncs.group() as share:
            self._sync_folders_of([path], share)
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

    def _write_file(self, path: Path, data: bytes) -> None:
        """Write and sync a new file; make its folder if it is missing."""
        try:
            with self._new_file(path) as file:
                file.write(data)
                file.flush()
                self._syncs.sync(file.fileno())
        except OSError as error:
            if error.errno == errno.ENOSPC:
                free = shutil.disk_usage(path.parent).free
                message = f"{len(data):,} bytes were to be written, {free:,} are free"
                raise OSError(errno.ENOSPC, message) from error
            raise

    def _new_file(self, path: Path) -> BufferedWriter:
        try:
            return path.open("xb")
        except FileNotFoundError:
            self._make_folder(path.parent)
            return path.open("xb")

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it; sync the entries of the root and of those above it."""
        self._durable.discard(folder)
        try:
            folder.mkdir()
        except FileExistsError:
            return
        except FileNotFoundError:
            if not folder.parent.is_dir():
                self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)  # fails where no folder can be made, as in /proc
        if self._root not in folder.parents:
            _sync_folder(folder.parent)

    def _sync_folders_of(self, paths: Iterable[Path], share: Share) -> None:
        """Sync the folders through which files are found.

        A folder that is new is an entry of its parent, and another process that has just made it
        may not have synced the parent yet.
        """
        folders = dict.fromkeys(path.parent for path in paths)
        for folder in list(folders):
            above = folder
            while above != self._root and above not in self._durable:
                above = above.parent
                folders[above] = None
        share(_sync_folder, [(folder,) for folder in folders])
        self._durable.update(folders)

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
        found: dict[str, int] = {}
        _list(self._path(prefix), f"{prefix}/" if prefix else "", found)
        return found


def _list(folder: str | Path, prefix: str, found: dict[str, int]) -> None:
    """Add the files below a folder to `found`; the folder may be missing, and so may files."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink():
                    _list(entry.path, f"{prefix}{entry.name}/", found)
            else:
                with contextlib.suppress(FileNotFoundError):
                    found[f"{prefix}{entry.name}"] = entry.stat().st_size


def _beside(path: Path) -> Path:
    """Return a path for a temporary file in the folder of `path`."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # the folder of a store may be one that cannot be listed
        return
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
