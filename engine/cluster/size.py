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

    def __post_init__(self) -> None:
        if self.threads is not None and not _is_count(self.threads, 1):
            raise UsageError(f"threads must be a whole number, at least 1, not {self.threads!r}")
        sign = str(self.memory or "").strip()[:1]
        if sign == "-":
            raise UsageError(f"memory must be an amount such as '2GiB', not {self.memory!r}")

    def between(self, default: int) -> tuple[int, int]:
        """Return the minimum and maximum number of workers; `default` for both if none was given.

        Raises `UsageError` for an invalid number, or one that does not fit this machine's memory.

        >>> ClusterSize().between(4), ClusterSize((1, 8)).between(4)
        ((4, 4), (1, 8))
        """
        workers = default if self.workers is None else self.workers
        least, most = workers if isinstance(workers, tuple) else (workers, workers)
        if not (_is_count(least, 0) and _is_count(most, 1) and least <= most):
            raise UsageError(
                f"workers={workers!r} must be a positive whole number, or a minimum (from 0) and a "
                "maximum"
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


def _is_count(value: object, least: int) -> bool:
    """Return whether a value is a whole number of at least `least`; a truth value is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
