"""`readiness`: whether a worker can use a backend, and how much memory and how many threads it has.

Runs on workers before a run discards or computes anything; `run.wait_for_workers` sends it. What a
task does is in `task`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cloudpickle
import psutil
from distributed.comm.core import CommClosedError
from distributed.worker import get_worker

from ...graphs.kernels import load
from ...storage.errors import PaniniError
from .budget import joined_batch
from .micro_batch import MicroBatch

_worker_log = logging.getLogger("distributed.worker")


@dataclass(frozen=True)
class Readiness:
    """The report of a worker: its memory and threads, or why it cannot use the backend."""

    problem: PaniniError | None
    resident: int = 0  # bytes held by its process
    limit: int | None = None  # bytes that it may hold; None: no known limit
    threads: int = 1
    joined: MicroBatch | None = None  # how much input a task joins at most; None: no joining


def readiness(backend: str) -> Readiness:
    """Prepare a backend on this worker; return the worker's memory and threads.

    A run calls it before it discards earlier results, and to find out whether the work fits in
    memory.
    """
    worker = get_worker()
    filter_worker_log()
    try:
        load(backend).prepare()
    except PaniniError as error:
        return Readiness(sendable(error))
    return Readiness(
        problem=None,
        resident=psutil.Process().memory_info().rss,
        limit=worker.memory_manager.memory_limit,
        threads=worker.state.nthreads,
        joined=joined_batch(load(backend)),
    )


def filter_worker_log() -> None:
    """Keep the noise of a closing worker out of its log; calling it again changes nothing."""
    _worker_log.addFilter(worth_logging)


def worth_logging(record: logging.LogRecord) -> bool:
    """Return False for log records that only report that the worker is closing.

    A heartbeat during the closing would end a run, or Ctrl-C, with a traceback from dask.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, CommClosedError) and "ConnectionPool closing" in str(error))


def sendable(error: PaniniError) -> PaniniError:
    """Return the error, without its cause if the cause cannot be pickled for the client."""
    try:
        cloudpickle.dumps(error)
    except Exception:  # noqa: BLE001 (a user's own class may raise anything when it is pickled)
        return type(error)(*error.args)
    return error
