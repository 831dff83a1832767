"""Where results land: whole objects under keys, on a local disk or behind fsspec.

Everything that the engine writes goes through `put` and `create` of one of these, so a test (or a
mirror) that wraps a target sees every write there is. What the objects mean is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..errors import ResultsMismatch
from ..filesystems.filesystem import DRIVE, LOCAL, OBJECT_STORES, filesystem_of, protocols_of
from ..filesystems.redaction import shown
from ..filesystems.retry import permanent_errors, retried
from .drive import DriveTarget
from .guarded import ReadBackTarget, RetryingTarget
from .local import LocalTarget
from .remote import FsspecTarget


class Target(Protocol):
    """A place for objects. Pickled into tasks, so it holds addresses, not connections."""

    @property
    def url(self) -> str:
        """What the user calls the place, without a password in it."""

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec needs to read the place."""

    @property
    def slow_to_create(self) -> bool:
        """Whether an object takes long to make, however small: then few large ones are better."""

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
    StorageRefused
        The place may not be looked at.
    """
    name = os.fspath(url)
    fs, path = filesystem_of(name, options)
    with permanent_errors(f"looking at {shown(name)}"):
        is_file = retried(f"looking at {name}", lambda: _is_file(fs, path))
    if is_file:
        raise ResultsMismatch(f"{shown(name)} is a file; results are a folder: choose another")
    protocols = protocols_of(fs)
    if protocols & LOCAL:
        folder = LocalTarget(path)
        return RetryingTarget(ReadBackTarget(folder) if folder.slow_to_create else folder)
    behind = (DriveTarget if protocols & DRIVE else FsspecTarget)(name, options or {})
    atomic = protocols & (OBJECT_STORES | {"memory"})
    return RetryingTarget(behind if atomic else ReadBackTarget(behind))


def _is_file(fs: Any, path: str) -> bool:
    """As ``fs.isfile``, which takes any failure for a no."""
    try:
        return bool(fs.info(path)["type"] == "file")
    except (FileNotFoundError, NotADirectoryError):
        return False
