"""`pool_size`: the number of processes that extract documents, by default."""

from __future__ import annotations

import os


def pool_size(processes: int | None) -> int:
    """Return a number of processes; for None, one per processor that this process may use."""
    if processes is not None:
        return processes
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
