"""How much memory micro-batches may take: what a device has left, or a share of the worker's.

What a task holds beside them, batches that are read and shards, is `memory`'s business.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import psutil

from ...graphs.kernels import Kernels
from .micro_batch import MicroBatch

SHARE = 1 / 8
"""Of what a worker may hold, for all of its threads' micro-batches."""

JOINED_COPIES = 5
"""How many times the text that is joined is in memory: as batches, joined, and so again for what is
computed meanwhile; and as much as is on its way to the device and waits for it."""

MOST_TIMES = 8.0
"""How many times what suits a device a micro-batch may hold: from there on results only wait."""


def room(kernels: Kernels) -> int:
    """Return the bytes that there are where a backend computes, for one of the worker's threads."""
    left = kernels.room()
    return _share() if left is None else left // _worker_of().threads


def most_times(kernels: Kernels) -> float:
    """Return how many times a backend's own size a micro-batch may become.

    Where the host computes, no more than is read at once anyway: it gains nothing by more.
    """
    if kernels.IN_FLIGHT == 1:
        return 1.0
    _, text_bytes = kernels.MICRO_BATCH
    times = _share() / (JOINED_COPIES * kernels.IN_FLIGHT * text_bytes)
    return min(MOST_TIMES, 2.0 ** math.floor(math.log2(times)))


def joined(kernels: Kernels) -> MicroBatch | None:
    """Return how much a task joins at most of what it reads; None where it joins nothing."""
    if kernels.IN_FLIGHT == 1:
        return None
    return MicroBatch(*kernels.MICRO_BATCH).times(kernels.IN_FLIGHT * most_times(kernels))


@dataclass(frozen=True)
class _Worker:
    """What this process is to dask."""

    threads: int = 1
    limit: int | None = None  # bytes that it may hold; None: nobody says, or it is no worker


def _share() -> int:
    worker = _worker_of()
    return int(SHARE * (worker.limit or psutil.virtual_memory().available)) // worker.threads


def _worker_of() -> _Worker:
    distributed = sys.modules.get("distributed.worker")  # where nobody imported it there is none
    if distributed is None:
        return _Worker()
    try:
        worker = distributed.get_worker()
    except ValueError:
        return _Worker()
    return _Worker(worker.state.nthreads, worker.memory_manager.memory_limit)
