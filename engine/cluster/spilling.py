"""How much dask's workers may spill to disk: never the space that results need."""

from __future__ import annotations

import warnings

import psutil
from dask.utils import format_bytes

from ...storage.errors import ScarceDisk
from ..hardware.disk import spill_folder

SHARE = 0.5
"""Share of the free disk space, for all workers of this machine together."""

SCARCE_BYTES = 1 << 30
"""Free bytes below which the user is warned."""

_LIMIT = "distributed.worker.memory.max-spill"


def spill_settings(workers: int) -> dict[str, object]:
    """Return dask's settings for spilling, from the disk space that is free now.

    Empty if the user has set a limit. Without a limit workers fill the disk; then results cannot be
    written, and the workers stay paused anyway.

    Warns
    -----
    ScarceDisk
        There is too little free space to spill to.

    >>> sorted(spill_settings(workers=2))
    ['distributed.worker.memory.max-spill']
    """
    import dask

    if dask.config.get(_LIMIT, False) is not False:
        return {}
    folder = spill_folder()
    free = psutil.disk_usage(str(folder)).free
    if free < SCARCE_BYTES:
        warnings.warn(
            f"{folder}, where dask spills what does not fit in memory, has only "
            f"{format_bytes(free)} free; set DASK_TEMPORARY_DIRECTORY to a folder with more",
            ScarceDisk,
            stacklevel=2,
        )
    return {_LIMIT: int(SHARE * free / workers)}
