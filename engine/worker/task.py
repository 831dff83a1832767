"""`run_task`: the work of one dask task. It computes a partition's shards and marks each as done.

It runs on a worker. A task only carries names and addresses, so that it works on any worker. Before
every shard it checks that its run still owns the store, so a task that outlives its run stops
writing. Planning and sending tasks is in `run`, whether a worker can compute at all in `readiness`.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import cloudpickle
from distributed.comm.core import CommClosedError
from distributed.core import Status
from distributed.metrics import context_meter
from distributed.worker import Worker, get_worker

from ...graphs.kernels import load
from ...storage.errors import BlockError, PaniniError, RowsQuarantined
from ...storage.rows import Stretch
from ...storage.store.lease import LeaseTicket
from ...storage.store.shards import StoreLayout, commit, is_intact, read_marker
from ...storage.targets.target import Target
from ..monitoring.events import ShardDone
from .compute import ComputeSpec, ShardBuffer, compute

_worker_logs = [
    logging.getLogger(name) for name in ("distributed.worker", "distributed.worker.state_machine")
]

MAX_WRITES = 4
"""Maximum number of shards that a task writes to the store while it computes the next one."""

WRITE_BYTES = 64 << 20
"""Maximum total bytes of such shards; a single shard may be larger. Writing is mostly waiting for
the disk or the network."""

BEGUN = "begun"
"""Key of a message, published under a run's topic, that holds the partition a worker has begun.
Messages without it are finished shards."""


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """The arguments that all tasks of a run share."""

    compute: ComputeSpec
    target: Target
    layout: StoreLayout
    ticket: LeaseTicket
    raise_on_error: bool
    max_writes: int = MAX_WRITES
    provisional: bool = False  # whether shards are quarantined until a later run retries them


@dataclass(frozen=True)
class Task:
    """Shards of one partition to compute, and the stretches of the corpus with their rows."""

    partition: int
    shards: tuple[int, ...]
    stretches: tuple[Stretch, ...]

    def __str__(self) -> str:
        """Name the files and rows, for messages."""
        first, last = self.stretches[0], self.stretches[-1]
        if first.file == last.file:
            return f"{first.file.url}, rows {first.span.start:,}-{last.span.stop - 1:,}"
        return (
            f"{first.file.url}, row {first.span.start:,}, to {last.file.url}, "
            f"row {last.span.stop - 1:,}"
        )


@dataclass(frozen=True)
class Outcome:
    """The result of a task. An `error` is one that retrying on the same worker cannot fix."""

    worker: str
    shards: tuple[ShardDone, ...]
    error: PaniniError | None = None


def shards_in_flight(layout: StoreLayout, max_writes: int = MAX_WRITES) -> int:
    """Return the maximum number of unfinished shards of a task: one computed, others written."""
    return 1 + max(1, min(max_writes, WRITE_BYTES // layout.shard_bytes))


def run_task(context: TaskContext, task: Task, topic: str) -> Outcome:
    """Compute and commit those shards of a task that are not done yet.

    Publish under `topic` that the task has begun, and each shard as soon as it is done.

    Raises
    ------
    OSError
        The disk or the network failed; dask retries the task.
    """
    worker = get_worker()
    filter_worker_log()
    worker.log_event(topic, {BEGUN: task.partition})
    writes: list[Future[ShardDone]] = []
    try:
        load(context.compute.backend).prepare()
        # Each shard is looked up just before it is computed: a task of a killed run may still be
        # running beside this one.
        layout = context.layout
        pending = (layout.bounds(shard) for shard in task.shards if not _is_done(context, shard))
        context.ticket.check(context.target)
        max_pending = shards_in_flight(layout, context.max_writes) - 1
        with ThreadPoolExecutor(max_pending, "paninifs-write") as writer:
            for buffer in compute(context.compute, task.stretches, pending):
                shard = buffer.start // layout.shard_rows
                if buffer.quarantined and context.raise_on_error:
                    raise RowsQuarantined(f"{buffer.quarantined[0]} (on_error='raise')")
                _require_trustworthy_failures(context, buffer, worker)
                if len(writes) >= max_pending:
                    writes[-max_pending].result()
                context.ticket.check(context.target)
                write = writer.submit(_commit, context, shard, buffer, topic=topic, worker=worker)
                writes.append(write)
        done = [write.result() for write in writes]
    except PaniniError as error:
        finished = tuple(w.result() for w in writes if w.exception() is None)
        return Outcome(worker.address, finished, sendable(error))
    for shard_done in done:
        for label, seconds in shard_done.seconds.items():
            context_meter.digest_metric(label, seconds, "seconds")
    return Outcome(worker.address, tuple(done))


def _require_trustworthy_failures(
    context: TaskContext, buffer: ShardBuffer, worker: Worker
) -> None:
    """Raise unless the texts that blocks failed for are why they failed.

    Raises
    ------
    BlockError
        The store has only this shard, and no text of it could be computed: the block is wrong.
    RuntimeError
        The worker is closing, so that calls fail which use threads or the network.
    """
    if not buffer.failed.entries:
        return
    if context.layout.shards == 1 and not buffer.arrays["valid"].any():
        raise buffer.failed.error
    ending = worker.status in (Status.closing, Status.closed, Status.failed)
    if ending or not threading.main_thread().is_alive():
        raise RuntimeError("a block failed while its worker was closing")


def _is_done(context: TaskContext, shard: int) -> bool:
    # An earlier try of this task may have done it, or a task of a cancelled run. The latter may
    # have written its marker after this run had removed the objects, so these are checked too.
    marker = read_marker(context.target, context.layout, shard)
    return marker is not None and not marker.provisional and is_intact(context.target, marker)


def _commit(
    context: TaskContext, shard: int, buffer: ShardBuffer, *, topic: str, worker: Worker
) -> ShardDone:
    began = time.perf_counter()
    marker = commit(
        context.target,
        context.layout,
        shard,
        arrays=buffer.arrays,
        quarantined=buffer.quarantined,
        text_bytes=buffer.text_bytes,
        forms=buffer.forms,
        provisional=context.provisional,
    )
    buffer.seconds["write"] = time.perf_counter() - began
    done = ShardDone(
        shard=shard,
        rows=marker.rows,
        quarantined=marker.quarantined,
        text_bytes=buffer.text_bytes,
        seconds=buffer.seconds,
        worker=worker.address,
        micro_batch=buffer.micro_batch,
        failed=buffer.failed.first,
    )
    worker.log_event(topic, asdict(done))
    return done


def filter_worker_log() -> None:
    """Keep the noise of a closing worker out of its log; calling it again changes nothing."""
    for log in _worker_logs:
        log.addFilter(worth_logging)


def worth_logging(record: logging.LogRecord) -> bool:
    """Return False for log records that only report that the worker is closing.

    Without this, a heartbeat while the worker closes would make a run, or Ctrl-C, end with a
    traceback from dask, and each task that is cancelled then with a warning.
    """
    if str(record.msg).startswith("Async instruction for <Task cancelled"):
        return False
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, CommClosedError) and "ConnectionPool closing" in str(error))


def sendable(error: PaniniError) -> PaniniError:
    """Return the error, without its cause if the cause cannot be pickled for the client.

    The message of a `BlockError` has all that its user needs. Its cause would show them the frames
    of the engine, and its values in full.
    """
    if isinstance(error, BlockError):
        return BlockError(*error.args)
    try:
        cloudpickle.dumps(error)
    except Exception:  # noqa: BLE001 (a user's own class may raise anything when it is pickled)
        return type(error)(*error.args)
    return error
