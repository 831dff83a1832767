"""Disk: how much room there is where one works, and where dask puts what memory has no room for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Disk:
    """The free space of two folders, in bytes."""

    working: str  # the folder that this process works in
    working_free: int
    temporary: str  # the folder that dask's workers spill to
    temporary_free: int


def disk_room() -> Disk:
    """Return how much room there is.

    Examples
    --------
    >>> disk_room().working_free > 0
    True
    """
    from ..cluster.spilling import spill_folder

    working, temporary = Path.cwd(), spill_folder()
    return Disk(str(working), _free(working), str(temporary), _free(temporary))


def _free(folder: Path) -> int:
    return int(psutil.disk_usage(str(folder)).free)
