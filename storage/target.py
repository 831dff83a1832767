"""Where results land: whole objects under keys, on a local disk or behind fsspec.

Everything that the engine writes goes through `put` and `create` of one of these, so a test (or a
mirror) that wraps a target sees every write there is. What the objects mean is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .errors import ResultsMismatch
from .filesystem import filesystem_of

_TEMPORARY = ".writing-"


class Target(Protocol):
    """A place for objects. Pickled into tasks, so it holds addresses, not connections."""

    @property
    def url(self) -> str:
        """What the user calls the place."""

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec needs to read the place."""

    def get(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object, replacing the one there; on return it is as durable as can be."""

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none; return whether it was written."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder, never from a cache: key to bytes."""


def open_target(url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Target:
    """Return the target for a path or URL; nothing is created.

    Raises
    ------
    ResultsMismatch
        There is a file of that name.
    """
    name = os.fspath(url)
    fs, path = filesystem_of(name, options)
    if fs.isfile(path):
        raise ResultsMismatch(f"{name} is a file; results are a folder: choose another place")
    if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
        return LocalTarget(path)
    return FsspecTarget(name, dict(options or {}))


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

    def get(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object atomically and durably."""
        path = self._root / key
        temporary = self._write_beside(path, data)
        temporary.replace(path)
        _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none, atomically."""
        path = self._root / key
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
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, and the folders that are empty then."""
        folders: set[Path] = set()
        for key in keys:
            path = self._root / key
            path.unlink(missing_ok=True)
            folders.update(path.relative_to(self._root).parents)
        for folder in sorted(folders, key=lambda f: -len(f.parts)):
            with contextlib.suppress(OSError):
                (self._root / folder).rmdir()

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder, temporary files of killed writers included."""
        top = self._root / prefix
        found = {}
        for folder, _, names in os.walk(top):
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


class FsspecTarget:
    """A folder of any filesystem that fsspec knows; a write is one whole-object put."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._options = dict(options)

    @property
    def url(self) -> str:
        """The folder's URL."""
        return self._url

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What was given for fsspec."""
        return self._options

    def _fs(self) -> tuple[Any, str]:
        fs, path = filesystem_of(self._url, self._options)
        return fs, path.rstrip("/")

    def get(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        fs, root = self._fs()
        try:
            return bytes(fs.cat_file(f"{root}/{key}"))
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object."""
        fs, root = self._fs()
        self._make_folder(fs, f"{root}/{key}")
        fs.pipe_file(f"{root}/{key}", data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none, as surely as the filesystem can."""
        fs, root = self._fs()
        path = f"{root}/{key}"
        fs.invalidate_cache()
        if fs.exists(path):
            return False
        self._make_folder(fs, path)
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return bool(fs.cat_file(path) == data)
        return True

    @staticmethod
    def _make_folder(fs: Any, path: str) -> None:
        if not path.count("/") or "gs" in fs.protocol or "s3" in fs.protocol:
            return
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        fs, root = self._fs()
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(f"{root}/{key}")

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder."""
        fs, root = self._fs()
        fs.invalidate_cache()
        found = fs.find(f"{root}/{prefix}".rstrip("/"), detail=True)
        return {name.removeprefix(f"{root}/"): info["size"] for name, info in found.items()}
