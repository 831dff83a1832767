"""How much dask's workers may put on disk of what they hold: never the room that results need."""

from __future__ import annotations

import warnings

import psutil
from dask.utils import format_bytes

from ...storage.errors import ScarceDisk
from ..hardware.disk import spill_folder

SHARE = 0.5
"""Of the free space, for all workers of this machine together."""

SCARCE_BYTES = 1 << 30
_LIMIT = "distributed.worker.memory.max-spill"


def spill_settings(workers: int) -> dict[str, object]:
    """Return dask's settings for spilling, with the free space that there is now.

    None where the user's own say how much. Without a limit workers fill the disk; then results
    cannot be written, and the workers are paused for good all the same.

    Warns
    -----
    ScarceDisk
        There is too little for anything worth the name.

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
            f"{folder}, where dask puts what the memory has no room for, has only "
            f"{format_bytes(free)} free; set DASK_TEMPORARY_DIRECTORY to a folder with more",
            ScarceDisk,
            stacklevel=2,
        )
    return {_LIMIT: int(SHARE * free / workers)}
