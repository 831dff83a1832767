"""A target on any filesystem of fsspec, where each object is written by a single call.

A Drive has a target of its own in `google_drive`, and a local folder in `local`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..filesystems.failures import is_missing
from ..filesystems.filesystem import OBJECT_STORES, files_below, filesystem_of, protocols_of
from ..filesystems.redaction import shown
from .one_by_one import put_each
from .safe_keys import confined

_DELETES = 16
"""Number of objects deleted at once: each takes a request, and there may be tens of thousands."""


class FsspecTarget:
    """A folder on any filesystem of fsspec."""

    grouped = False
    """Objects are written one by one."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._options = dict(options)

    @property
    def url(self) -> str:
        """The folder's URL, without a password."""
        return shown(self._url)

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """The options given for fsspec."""
        return self._options

    @property
    def slow_to_create(self) -> bool:
        """False for an object store; most other filesystems create objects one by one."""
        fs, _ = self._fs()
        return not protocols_of(fs) & (OBJECT_STORES | {"memory"})

    def _fs(self) -> tuple[Any, str]:
        fs, path = filesystem_of(self._url, self._options)
        return fs, path.rstrip("/")

    def _object(self, key: str) -> tuple[Any, str]:
        fs, root = self._fs()
        return fs, f"{root}/{confined(key, self.url)}"

    def get(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
        fs, path = self._object(key)
        try:
            return bytes(fs.cat_file(path))
        except FileNotFoundError as error:
            if not is_missing(error):
                raise
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object."""
        fs, path = self._object(key)
        self._make_folder(fs, path)
        fs.pipe_file(path, data)

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects, each by itself, step by step."""
        put_each(self.put, steps)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist.

        Atomic on an object store, which checks a precondition; elsewhere as safe as the filesystem
        allows.
        """
        fs, path = self._object(key)
        self._make_folder(fs, path)
        fs.invalidate_cache()  # some filesystems look there to see whether the object exists
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    @staticmethod
    def _make_folder(fs: Any, path: str) -> None:
        if path.count("/") and not protocols_of(fs) & OBJECT_STORES:
            fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        fs, root = self._fs()
        # All keys are checked before any object is removed.
        paths = [f"{root}/{confined(key, self.url)}" for key in keys]

        def remove(path: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(path)

        with ThreadPoolExecutor(_DELETES) as pool:
            list(pool.map(remove, paths))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder."""
        fs, root = self._fs()
        found = files_below(fs, f"{root}/{confined(prefix, self.url)}".rstrip("/"))
        return {name.removeprefix(f"{root}/"): info["size"] for name, info in found.items()}
