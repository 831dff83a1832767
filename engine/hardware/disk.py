"""Free disk space: in the working folder, and where dask's workers spill to.

How much of it workers may fill is decided in `cluster.spilling`.
"""

from __future__ import annotations

import tempfile
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


def free_disk() -> Disk:
    """Return the free space of the working folder and of the spill folder.

    Examples
    --------
    >>> free_disk().working_free > 0
    True
    """
    working, temporary = Path.cwd(), spill_folder()
    return Disk(str(working), _free(working), str(temporary), _free(temporary))


def spill_folder() -> Path:
    """Return the folder that dask's workers will spill to, or its nearest existing parent."""
    import dask

    folder = Path(dask.config.get("temporary-directory") or tempfile.gettempdir()).absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())


def _free(folder: Path) -> int:
    return int(psutil.disk_usage(str(folder)).free)
