"""What one dask task does: the shards of a partition, one by one, each marked when it is done.

Runs on a worker. It carries names and addresses, so it works on any worker; it asks before every
shard whether its driver still owns the store, so a task that outlives its run stops writing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from distributed.metrics import context_meter
from distributed.worker import get_worker

from ..storage.errors import PaniniError, RowsQuarantined
from ..storage.lease import LeaseTicket
from ..storage.rows import Stretch
from ..storage.shards import StoreLayout, commit, is_intact, read_marker
from ..storage.target import Target
from .compute import Recipe, RowRange, compute
from .events import ShardDone


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share."""

    recipe: Recipe
    target: Target
    layout: StoreLayout
    ticket: LeaseTicket
    raise_on_error: bool
    topic: str  # where finished shards are announced


@dataclass(frozen=True)
class Outcome:
    """What became of a task. An `error` is one that trying again cannot mend."""

    shards: tuple[ShardDone, ...]
    error: PaniniError | None = None


def run_task(job: Job, stretches: Sequence[Stretch], shards: Sequence[int]) -> Outcome:
    """Compute and commit the shards that are not done yet; `stretches` hold their rows.

    Raises
    ------
    OSError
        When the disk or the network fails; dask tries the task again.
    """
    done: list[ShardDone] = []
    try:
        pending = [s for s in shards if not _is_done(job, s)]
        ranges = [job.layout.bounds(shard) for shard in pending]
        job.ticket.check(job.target)
        for shard, part in zip(pending, compute(job.recipe, stretches, ranges), strict=True):
            if part.quarantined and job.raise_on_error:
                raise RowsQuarantined(f"{part.quarantined[0]} (on_error='raise')")
            job.ticket.check(job.target)
            done.append(_commit(job, shard, part))
    except PaniniError as error:
        return Outcome(tuple(done), error)
    return Outcome(tuple(done))


def _is_done(job: Job, shard: int) -> bool:
    # By an earlier try of this task; or by a task of a cancelled run, which may have written its
    # marker after this run had removed the objects: so they are looked at.
    marker = read_marker(job.target, job.layout, shard)
    return marker is not None and is_intact(job.target, marker)


def _commit(job: Job, shard: int, part: RowRange) -> ShardDone:
    began = time.perf_counter()
    marker = commit(job.target, job.layout, shard, part.arrays, part.quarantined, part.text_bytes)
    part.seconds["write"] = time.perf_counter() - began
    for label, seconds in part.seconds.items():
        context_meter.digest_metric(label, seconds, "seconds")
    worker = get_worker()
    done = ShardDone(
        shard, marker.rows, marker.quarantined, part.text_bytes, part.seconds, worker.address
    )
    worker.log_event(job.topic, asdict(done))
    return done
