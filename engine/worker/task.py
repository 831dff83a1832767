"""`run_task`: the work of one dask task. It computes a partition's shards and marks each as done.

It runs on a worker. A task only carries names and addresses, so that it works on any worker; the
graph is fetched once per process, by `sent_graph`. A task that outlives its run stops writing, as
`shard_writer` checks that the run still owns the store. Planning and sending tasks is in `run`,
whether a worker can compute at all in `readiness`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import cloudpickle
from distributed.comm.core import CommClosedError
from distributed.core import Status
from distributed.metrics import context_meter
from distributed.utils import sync
from distributed.worker import Worker, get_worker

from ...graphs.kernels import load
from ...storage.corpus.tables.frame_parts import frame_rows
from ...storage.errors import (
    BackendUnavailable,
    BlockError,
    PaniniError,
    RowsQuarantined,
    UnfitWorker,
)
from ...storage.rows import SourceFile, Stretch
from ...storage.rows.frame_rows import FrameContent
from ...storage.store.leases.lease import LeaseTicket
from ...storage.store.shards import StoreLayout, is_intact, read_marker
from ...storage.targets.target import Target
from ..hardware.python import PROFILING_DEADLOCKS
from ..monitoring.events import AWAITED, ShardDone, TextsComputed
from .compute import compute
from .micro_batches.micro_batch import MicroBatch
from .sent_graph import GraphKey, held_graph, loads, this_worker
from .shard_writer import MAX_WRITES, ShardWriter
from .values.compute_spec import ComputeSpec
from .values.shard_buffer import ShardBuffer
from .values.worker_process import WorkerProcess, delay_if_useless, this_process

_worker_logs = [
    logging.getLogger(name) for name in ("distributed.worker", "distributed.worker.state_machine")
]

BEGUN, RUNNING, COMPUTED = "begun", "running", "computed"
"""Keys of messages, published under a run's topic, that hold the partition a worker has begun, the
block, with its texts, that it is about to run, and the `TextsComputed` of a shard that is not done.
Messages with none of them are finished shards."""

REPORT_SECONDS = 1.0
"""Seconds between a task's reports of texts computed."""


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """The arguments that all tasks of a run share."""

    compute: ComputeSpec
    target: Target
    layout: StoreLayout
    ticket: LeaseTicket
    raise_on_error: bool


@dataclass(frozen=True, kw_only=True)
class TaskMode:
    """How a task is carried out; the default is as fast as possible."""

    micro_batch: MicroBatch | None = None  # None: as the run's `ComputeSpec` says
    max_writes: int = MAX_WRITES
    provisional: bool = False  # whether shards are quarantined until a later run retries them
    announces_blocks: bool = False  # whether to report each block before it runs


@dataclass(frozen=True)
class Task:
    """Shards of one partition to compute, and the stretches of the corpus with their rows."""

    partition: int
    shards: tuple[int, ...]
    stretches: tuple[Stretch, ...]

    @property
    def partitions(self) -> tuple[SourceFile, ...]:
        """The partitions of a dask frame that the task reads, in their order."""
        read = (one.file for one in self.stretches if one.file.in_frame and not one.problem)
        return tuple(dict.fromkeys(read))

    def including(self, parts: Sequence[Any]) -> Task:
        """Return the task with the frames of its partitions, as dask has brought them."""
        known = dict(zip(self.partitions, parts, strict=True)) if parts else {}
        rows = {file: FrameContent(cache(partial(frame_rows, known[file]))) for file in known}
        stretches = (
            replace(one, file=replace(one.file, content=rows.get(one.file)))
            for one in self.stretches
        )
        return replace(self, stretches=tuple(stretches))

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
    """The result of a task. An `error` is one that retrying in the same process cannot fix."""

    process: WorkerProcess
    shards: tuple[ShardDone, ...]
    error: PaniniError | None = None
    waited: float = 0.0  # seconds in which nothing was computed because shards were being written


def run_task(
    key: GraphKey, context: bytes, task: Task, mode: TaskMode, topic: str, *parts: Any
) -> Outcome:
    """Compute and commit those shards of a task that are not done yet.

    Publish under `topic` that the task has begun, how far it is, and each shard as soon as it is
    done.

    Parameters
    ----------
    key : GraphKey
        Where the graph is found.
    context : bytes
        The `TaskContext`, pickled without the graph.
    *parts
        The partitions of the task; see `Task.partitions`. None if it reads no texts.

    Raises
    ------
    OSError
        The disk or the network failed; dask retries the task.
    """
    settle(get_worker())
    try:
        with held_graph(key) as graph:
            return _outcome(loads(context, graph), task.including(parts), mode, topic)
    except UnfitWorker as error:
        delay_if_useless(error, topic)
        return Outcome(this_process(), (), sendable(error))


def _outcome(context: TaskContext, task: Task, mode: TaskMode, topic: str) -> Outcome:
    worker = get_worker()
    worker.log_event(topic, {BEGUN: task.partition})
    writer = ShardWriter(
        context.target,
        context.layout,
        context.ticket,
        topic,
        max_writes=mode.max_writes,
        provisional=mode.provisional,
    )
    spec = context.compute
    if mode.micro_batch is not None:
        spec = replace(spec, micro_batch=mode.micro_batch)
    begun = partial(announce, worker, topic) if mode.announces_blocks else None
    try:
        _prepare(spec.backend)
        # Each shard is looked up just before it is computed: a task of a killed run may still be
        # running beside this one.
        layout = context.layout
        pending = (layout.bounds(shard) for shard in task.shards if not _is_done(context, shard))
        context.ticket.check(context.target)
        with writer:
            reporter = _Reporter(worker, topic, layout.shard_rows)
            for buffer in compute(spec, task.stretches, pending, begun, reporter.computed):
                shard = buffer.start // layout.shard_rows
                if buffer.quarantined and context.raise_on_error:
                    raise RowsQuarantined(f"{buffer.quarantined[0]} (on_error='raise')")
                _require_trustworthy_failures(buffer, worker)
                writer.write(shard, buffer)
        writer.require_written()
    except PaniniError as error:
        delay_if_useless(error, topic)
        return Outcome(this_process(), tuple(writer.done), sendable(error))
    for shard_done in writer.done:
        for label, seconds in shard_done.seconds.items():
            context_meter.digest_metric(label, seconds, "seconds")
    context_meter.digest_metric(AWAITED, writer.waited, "seconds")
    return Outcome(this_process(), tuple(writer.done), waited=writer.waited)


def _prepare(backend: str) -> None:
    """Prepare a backend, unless an earlier task of this process has done so."""
    try:
        load(backend).prepare()
    except BackendUnavailable as error:  # for example, after its GPU failed and it was restarted
        raise UnfitWorker(f"{this_worker()} cannot use the backend {backend!r}: {error}") from error


class _Reporter:
    """Reports the texts computed of a shard, of a task that takes longer than `REPORT_SECONDS`."""

    def __init__(self, worker: Worker, topic: str, shard_rows: int) -> None:
        self._worker, self._topic, self._shard_rows = worker, topic, shard_rows
        self._reported = time.monotonic()

    def computed(self, buffer: ShardBuffer) -> None:
        """Report, unless the last report was a moment ago."""
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            report = TextsComputed(
                shard=buffer.start // self._shard_rows,
                rows=buffer.rows_computed,
                text_bytes=buffer.text_bytes,
            )
            self._worker.log_event(self._topic, {COMPUTED: asdict(report)})


def _require_trustworthy_failures(buffer: ShardBuffer, worker: Worker) -> None:
    """Raise `RuntimeError` if blocks failed while the worker closes.

    Calls that use threads or the network fail then, whatever the text.
    """
    ending = worker.status in (Status.closing, Status.closed, Status.failed)
    if buffer.failed.entries and (ending or not threading.main_thread().is_alive()):
        raise RuntimeError("a block failed while its worker was closing")


def _is_done(context: TaskContext, shard: int) -> bool:
    # An earlier try of this task may have done it, or a task of a cancelled run. The latter may
    # have written its marker after this run had removed the objects, so these are checked too.
    marker = read_marker(context.target, context.layout, shard)
    return (
        marker is not None and not marker.provisional and is_intact(context.target, marker.objects)
    )


def announce(worker: Worker, topic: str, block: str, where: str) -> None:
    """Report that a block begins, and wait until the scheduler has the report."""
    sync(worker.loop, worker.scheduler.log_event, topic=topic, msg={RUNNING: [block, where]})


def settle(worker: Worker) -> None:
    """Prepare a worker, which the user may have started; calling it again changes nothing.

    The noise of a closing worker is kept out of its log, and dask's profiler is stopped where it
    can deadlock the process.
    """
    for log in _worker_logs:
        log.addFilter(worth_logging)
    if PROFILING_DEADLOCKS:
        callbacks = getattr(worker, "periodic_callbacks", {})
        for name in ("profile", "profile-cycle"):
            if name in callbacks and callbacks[name].is_running():
                worker.loop.add_callback(callbacks[name].stop)


def worth_logging(record: logging.LogRecord) -> bool:
    """Return False for log records that only report that the worker is closing.

    Without this, a heartbeat while the worker or the scheduler closes would make a run, or Ctrl-C,
    end with a traceback from dask, and each task that is cancelled then with a warning. A worker
    that loses its scheduler logs that by itself.
    """
    if str(record.msg).startswith("Async instruction for <Task cancelled"):
        return False
    error = record.exc_info[1] if record.exc_info else None
    closing = ("ConnectionPool closing", "ConnectionPool.heartbeat_worker")
    return not (isinstance(error, CommClosedError) and any(one in str(error) for one in closing))


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
