"""The memory budget of micro-batches: a device's free memory, or a share of the worker's limit.

The rest of a task's memory, batches being read and shards, is estimated in `run.worker_memory`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import psutil

from ....graphs.kernels import Kernels
from .micro_batch import MicroBatch

SHARE = 1 / 8
"""Share of a worker's memory limit for the micro-batches of all its threads."""

JOINED = 2
"""Micro-batches that are joined before they are cut, so that larger ones can be tried too."""

JOINED_COPIES = 6
"""Joined batches in memory: one that is read, one that waits, one that is joined and cut, and the
micro-batches in flight, at most six."""

MAX_SCALE = 2.0
"""Largest multiple of a device's own micro-batch; with larger ones, results only wait."""


def memory_budget(kernels: Kernels) -> int:
    """Return the bytes that one worker thread may use, on the device or else on the host."""
    free = kernels.free_memory()
    return _host_share() if free is None else free // _current_worker().threads


def worker_limit() -> int | None:
    """Return the memory limit of the dask worker that calls, in bytes; None if there is none."""
    return _current_worker().limit


def max_scale(kernels: Kernels) -> float:
    """Return the largest multiple of a backend's own micro-batch that a worker may use.

    On the host it is 1, because micro-batches larger than a read batch gain nothing.
    """
    if kernels.IN_FLIGHT == 1:
        return 1.0
    _, text_bytes = kernels.MICRO_BATCH
    scale = _host_share() / (JOINED_COPIES * JOINED * text_bytes)
    return min(MAX_SCALE, 2.0 ** math.floor(math.log2(scale)))


def joined_batch(kernels: Kernels) -> MicroBatch | None:
    """Return how much input a task joins at most; None for a backend that needs no joining."""
    if kernels.IN_FLIGHT == 1:
        return None
    return MicroBatch(*kernels.MICRO_BATCH).times(JOINED * max_scale(kernels))


def in_flight(kernels: Kernels) -> int:
    """Return how many micro-batches a task has in flight: its share of what keeps a device busy.

    At least two on a device, so that one is on its way while another is computed.
    """
    if kernels.IN_FLIGHT == 1:
        return 1
    return max(2, -(-kernels.IN_FLIGHT // _current_worker().threads))


@dataclass(frozen=True)
class _Worker:
    """Threads and memory limit of a dask worker; the defaults are for any other process."""

    threads: int = 1
    limit: int | None = None  # bytes that it may hold; None: no known limit


def _host_share() -> int:
    worker = _current_worker()
    return int(SHARE * (worker.limit or psutil.virtual_memory().available)) // worker.threads


def _current_worker() -> _Worker:
    distributed = sys.modules.get("distributed.worker")  # not imported: this is not a worker
    if distributed is None:
        return _Worker()
    try:
        worker = distributed.get_worker()
    except ValueError:
        return _Worker()
    return _Worker(worker.state.nthreads, worker.memory_manager.memory_limit)
