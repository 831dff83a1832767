"""`Projection`: the peak memory of a worker, as expected before the run starts computing.

`run.worker_memory` computes it, `display` shows it, and it is compared with the limit before work
begins. The memory that workers actually hold is in `load`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dask.utils import format_bytes

from ...storage.errors import RunFailed
from ...storage.rows import SourceFile

USABLE_SHARE = 0.8
"""Share of its memory limit that a worker may fill; above it, dask pauses the worker."""


@dataclass(frozen=True)
class LongRecord:
    """A record larger than a batch."""

    file: SourceFile
    row: int  # in the file, from 0
    nbytes: int  # bytes of the record
    taken: int  # bytes that the thread reading it needs


@dataclass(frozen=True)
class Projection:
    """Expected peak memory of a worker, in bytes, and its limit."""

    resident: int  # held while idle
    working: int  # held in addition while all threads work
    limit: int | None = None  # None: unknown
    longest: LongRecord | None = None  # included in `working`

    @property
    def nbytes(self) -> int:
        """The peak."""
        return self.resident + self.working

    def __str__(self) -> str:
        """Return peak and limit in words.

        >>> str(Projection(300 << 20, 100 << 20, 2 << 30))
        '400.00 MiB of its 2.00 GiB'
        """
        of = "" if self.limit is None else f" of its {format_bytes(self.limit)}"
        return f"{format_bytes(self.nbytes)}{of}"

    def require_fit(self) -> None:
        """Raise `RunFailed` if the peak does not fit the limit, naming what takes the memory."""
        if self.limit is None or self.nbytes <= USABLE_SHARE * self.limit:
            return
        reason = (
            f"it holds {format_bytes(self.resident)} when idle, and its threads take "
            f"{format_bytes(self.working)} together"
        )
        record = self.longest
        if record and 2 * record.taken > self.working:
            reason = (
                f"{record.file.url}, row {record.row:,} (from 0), has "
                f"{format_bytes(record.nbytes)} in one piece, and reading it takes "
                f"{format_bytes(record.taken)} (removing it from the corpus helps too)"
            )
        raise RunFailed(
            f"a worker would hold about {format_bytes(self.nbytes)}, but may only hold "
            f"{USABLE_SHARE:.0%} of its {format_bytes(self.limit)}: {reason}. This run computed "
            "nothing; give each worker more memory (--memory, or fewer --workers, --threads), and "
            "run again"
        )
