"""`open_target`: the target for a path or URL.

Which kind of target serves which filesystem, and which guards it needs, is decided here. What every
target can do is in `target`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ResultsMismatch
from ..filesystems.filesystem import (
    DRIVE,
    LOCAL,
    OBJECT_STORES,
    filesystem_of,
    info_of,
    protocols_of,
)
from ..filesystems.redaction import shown
from ..filesystems.retry import permanent_errors, retried
from .google_drive import DriveTarget
from .guarded import ReadBackTarget, RetryingTarget
from .local import LocalTarget
from .remote import FsspecTarget
from .target import Target


def open_target(url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Target:
    """Return the target for a path or URL; nothing is created.

    Raises
    ------
    ResultsMismatch
        The path is a file.
    StorageRefused
        The target may not be accessed.
    """
    name = os.fspath(url)
    fs, path = filesystem_of(name, options)
    with permanent_errors(f"accessing {shown(name)}"):
        is_file = retried(f"accessing {name}", lambda: _is_file(fs, path))
    if is_file:
        raise ResultsMismatch(
            f"{shown(name)} is a file; results go into a folder: choose another path"
        )
    protocols = protocols_of(fs)
    if protocols & LOCAL:
        folder = LocalTarget(path)
        return RetryingTarget(ReadBackTarget(folder) if folder.slow_to_create else folder)
    remote = (DriveTarget if protocols & DRIVE else FsspecTarget)(name, options or {})
    atomic = protocols & (OBJECT_STORES | {"memory"})
    return RetryingTarget(remote if atomic else ReadBackTarget(remote))


def _is_file(fs: Any, path: str) -> bool:
    """Return whether a path is a file. ``fs.isfile`` would return False after any failure."""
    try:
        return bool(info_of(fs, path)["type"] == "file")
    except (FileNotFoundError, NotADirectoryError):
        return False
