"""`readiness`: whether a worker can take part in a run, and its memory and threads.

Runs on workers before a run discards or computes anything; `run.preparing` sends it. What a
task does is in `task`.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil
from distributed.worker import get_worker

from ...graphs.kernels import load
from ...storage.errors import PaniniError
from .micro_batches.budget import joined_batch
from .micro_batches.micro_batch import MicroBatch
from .sent_graph import GraphKey, held_graph

# Importing `task` loads everything that a task needs, while the client still counts the corpus. So
# it is part of the resident memory that is reported, and the first task does not wait for it.
from .task import sendable, settle


@dataclass(frozen=True)
class Readiness:
    """The report of a worker: its memory and threads, or why it cannot take part."""

    problem: PaniniError | None
    resident: int = 0  # bytes held by its process
    limit: int | None = None  # bytes that it may hold; None: no known limit
    threads: int = 1
    joined: MicroBatch | None = None  # how much input a task joins at most; None: no joining


def readiness(key: GraphKey, backend: str) -> Readiness:
    """Prepare a graph and a backend on this worker; return the worker's memory and threads.

    A run calls it before it discards earlier results, and to find out whether the work fits in
    memory. The memory of the graph is included, as the process has loaded it.
    """
    settle(get_worker())
    try:
        with held_graph(key):
            return prepared(backend)
    except PaniniError as error:
        return Readiness(sendable(error))


def prepared(backend: str) -> Readiness:
    """Prepare a backend on this worker; return the worker's memory and threads.

    Raises
    ------
    PaniniError
        The worker cannot use the backend.
    """
    worker = get_worker()
    load(backend).prepare()
    return Readiness(
        problem=None,
        resident=psutil.Process().memory_info().rss,
        limit=worker.memory_manager.memory_limit,
        threads=worker.state.nthreads,
        joined=joined_batch(load(backend)),
    )
