"""`ClusterSize`: how many workers, threads and how much memory a local cluster has."""

from __future__ import annotations

from dataclasses import dataclass

from ...storage.errors import UsageError
from ..hardware.memory import ram

RESIDENT_BYTES = 200 << 20
"""Memory, in bytes, of an idle worker that has imported what it needs."""


@dataclass(frozen=True)
class ClusterSize:
    """The size of a local cluster; where a field is None, dask or the machine decides."""

    workers: int | tuple[int, int] | None = None  # processes; or their minimum and maximum
    threads: int | None = None  # per worker
    memory: str | None = None  # per worker, as in "2GiB"

    def between(self, default: int) -> tuple[int, int]:
        """Return the minimum and maximum number of workers; `default` for both if none was given.

        Raises `UsageError` for an invalid number, or one that does not fit this machine's memory.

        >>> ClusterSize().between(4), ClusterSize((1, 8)).between(4)
        ((4, 4), (1, 8))
        """
        workers = default if self.workers is None else self.workers
        least, most = workers if isinstance(workers, tuple) else (workers, workers)
        if not 0 <= least <= most or most < 1:
            raise UsageError(
                f"workers={workers} must be a positive number, or a minimum (from 0) and a maximum"
            )
        memory = ram()
        available = memory.limit or memory.total
        if most > max(1, available // RESIDENT_BYTES):
            raise UsageError(
                f"{most:,} workers do not fit in this machine's memory of "
                f"{available / 2**30:.1f} GiB: each takes about {RESIDENT_BYTES >> 20} MiB before "
                f"it does any work, so at most {available // RESIDENT_BYTES:,} fit"
            )
        return least, most
