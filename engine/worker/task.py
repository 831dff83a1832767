"""What one dask task does: the shards of a partition, one by one, each marked when it is done.

Runs on a worker. It carries names and addresses, so it works on any worker; it asks before every
shard whether its driver still owns the store, so a task that outlives its run stops writing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import cloudpickle
import psutil
from distributed.comm.core import CommClosedError
from distributed.metrics import context_meter
from distributed.worker import Worker, get_worker

from ...graphs.kernels import load
from ...storage.errors import PaniniError, RowsQuarantined
from ...storage.rows import Stretch
from ...storage.store.lease import LeaseTicket
from ...storage.store.shards import StoreLayout, commit, is_intact, read_marker
from ...storage.targets.target import Target
from ..monitoring.events import ShardDone
from .budget import joined
from .compute import Recipe, RowRange, compute
from .micro_batch import MicroBatch

_worker_log = logging.getLogger("distributed.worker")

MAX_WRITES = 4
WRITE_BYTES = 64 << 20
"""Shards that a task may have on their way to the store while it computes the next: so many, and so
many bytes. Most of a write is waiting for the disk or the network."""


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share."""

    recipe: Recipe
    target: Target
    layout: StoreLayout
    ticket: LeaseTicket
    raise_on_error: bool
    max_writes: int = MAX_WRITES
    provisional: bool = False  # its shards are set aside for now: a later run tries them again


@dataclass(frozen=True)
class Outcome:
    """What became of a task. An `error` is one that trying again on that worker cannot mend."""

    worker: str
    shards: tuple[ShardDone, ...]
    error: PaniniError | None = None


@dataclass(frozen=True)
class Readiness:
    """What a worker says of itself once it is ready to work, or why it cannot be."""

    problem: PaniniError | None
    resident: int = 0  # bytes that its process holds
    limit: int | None = None  # bytes that it may hold; None: nobody says
    threads: int = 1
    joined: MicroBatch | None = None  # so much of what is read is joined; None: nothing


def tells_news(record: logging.LogRecord) -> bool:
    """Whether a record of a worker's log is worth reading: that it is being closed is not.

    A heartbeat that meets the closing would end a run, or Ctrl-C, with a traceback of dask's.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, CommClosedError) and "ConnectionPool closing" in str(error))


def readiness(backend: str) -> Readiness:
    """Make a backend ready on this worker; return what it takes.

    Asked before results are discarded for a run that then could not begin, and to tell whether
    the work fits the memory.
    """
    worker = get_worker()
    _worker_log.addFilter(tells_news)  # once, however often it is added
    try:
        load(backend).prepare()
    except PaniniError as error:
        return Readiness(_sendable(error))
    resident = psutil.Process().memory_info().rss
    limit, threads = worker.memory_manager.memory_limit, worker.state.nthreads
    return Readiness(None, resident, limit, threads, joined(load(backend)))


def shards_in_flight(layout: StoreLayout, max_writes: int = MAX_WRITES) -> int:
    """Return how many shards a task has unfinished at most: one computed, the others written."""
    return 1 + max(1, min(max_writes, WRITE_BYTES // layout.shard_bytes))


BEGUN = "begun"
"""Of a message under a run's topic: the partition that a worker has taken up. Others are shards."""


def run_task(
    job: Job, partition: int, stretches: Sequence[Stretch], shards: Sequence[int], topic: str
) -> Outcome:
    """Compute and commit a partition's shards that are not done yet; `stretches` hold their rows.

    Under `topic` it is told that the task has begun, and each shard as soon as it is done.

    Raises
    ------
    OSError
        When the disk or the network fails; dask tries the task again.
    """
    worker = get_worker()
    _worker_log.addFilter(tells_news)
    worker.log_event(topic, {BEGUN: partition})
    writes: list[Future[ShardDone]] = []
    try:
        load(job.recipe.backend).prepare()
        # Each is looked for just before it is computed: a task of a run that was killed may go on
        # for a while beside this one.
        pending = (job.layout.bounds(shard) for shard in shards if not _is_done(job, shard))
        job.ticket.check(job.target)
        in_hand = shards_in_flight(job.layout, job.max_writes) - 1
        with ThreadPoolExecutor(in_hand, "paninifs-write") as writer:
            for part in compute(job.recipe, stretches, pending):
                shard = part.start // job.layout.shard_rows
                if part.quarantined and job.raise_on_error:
                    raise RowsQuarantined(f"{part.quarantined[0]} (on_error='raise')")
                if len(writes) >= in_hand:
                    writes[-in_hand].result()
                job.ticket.check(job.target)
                writes.append(writer.submit(_commit, job, shard, part, topic, worker))
        done = [write.result() for write in writes]
    except PaniniError as error:
        kept = tuple(w.result() for w in writes if w.exception() is None)
        return Outcome(worker.address, kept, _sendable(error))
    for shard_done in done:
        for label, seconds in shard_done.seconds.items():
            context_meter.digest_metric(label, seconds, "seconds")
    return Outcome(worker.address, tuple(done))


def _sendable(error: PaniniError) -> PaniniError:
    """Return the error without its cause, where that holds what cannot be sent to the client."""
    try:
        cloudpickle.dumps(error)
    except Exception:  # noqa: BLE001 (whatever a user's own class does when it is pickled)
        return type(error)(*error.args)
    return error


def _is_done(job: Job, shard: int) -> bool:
    # By an earlier try of this task; or by a task of a cancelled run, which may have written its
    # marker after this run had removed the objects: so they are looked at.
    marker = read_marker(job.target, job.layout, shard)
    return marker is not None and not marker.provisional and is_intact(job.target, marker)


def _commit(job: Job, shard: int, part: RowRange, topic: str, worker: Worker) -> ShardDone:
    began = time.perf_counter()
    marker = commit(
        job.target,
        job.layout,
        shard,
        part.arrays,
        part.quarantined,
        part.text_bytes,
        part.forms,
        job.provisional,
    )
    part.seconds["write"] = time.perf_counter() - began
    done = ShardDone(
        shard=shard,
        rows=marker.rows,
        quarantined=marker.quarantined,
        text_bytes=part.text_bytes,
        seconds=part.seconds,
        worker=worker.address,
        micro_batch=part.micro_batch,
    )
    worker.log_event(topic, asdict(done))
    return done
