"""The remaining tasks of a run, and the order in which they are sent.

What a task does is in `worker.task`; sending tasks is in `dispatch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from ...storage.corpus.index import CorpusIndex
from ...storage.rows import Stretch
from ...storage.store.lifecycle import OpenStore
from ..worker.micro_batches.budget import JOINED
from ..worker.micro_batches.micro_batch import MicroBatch
from ..worker.task import Task

TEXT_WORK = 150
"""Fixed cost of computing a text, in equivalent bytes: measured with the default graph."""

TASK_SECONDS = 20.0
"""Seconds of work of slow blocks in one task. A partition of more work is cut further, so that
other workers take part: reading its beginning again takes a fraction of a second."""

TASK_BATCHES = 6
"""Joined batches of a task on a device: the first and the last leave some of its places empty."""

LEAST_PER_THREAD = 2
"""Tasks that joining leaves for each thread, if there are enough."""

REREAD_BYTES = 64 << 20
"""Most bytes of a file that can only be read from its beginning, for its partition to be cut."""


def tasks_left(store: OpenStore, text_seconds: float = 0.0) -> Iterator[Task]:
    """Yield the remaining tasks: one per partition, or several if slow blocks make it long.

    Parameters
    ----------
    text_seconds : float
        Seconds per text of slow blocks.
    """
    shard_seconds = text_seconds * store.layout.shard_rows
    most = max(1, int(TASK_SECONDS / shard_seconds)) if shard_seconds else store.layout.shards
    numbers = count()
    for partition in store.index.partitions(store.layout.shard_rows):
        shards = range(partition.shard_start, partition.shard_stop)
        pending = tuple(shard for shard in shards if shard not in store.done)
        if not pending:
            continue
        whole = task_of(store, next(numbers), pending)
        if len(pending) <= most or not all(map(_is_cheap, whole.stretches)):
            yield whole
            continue
        for first in range(0, len(pending), most):
            yield task_of(store, next(numbers), pending[first : first + most])


def joined_tasks(
    store: OpenStore, tasks: Sequence[Task], joined: MicroBatch, threads: int
) -> list[Task]:
    """Join tasks of consecutive shards, so that each keeps a device busy for a while.

    Every thread of the cluster still has tasks, unless they would become smaller than a
    micro-batch.

    Parameters
    ----------
    joined : MicroBatch
        How much a task joins before it is computed.
    threads : int
        Threads of all workers.
    """
    known = [file for file in store.index.files if file.lengths and file.rows]
    texts = sum(file.rows for file in known)
    mean = sum(file.lengths.nbytes for file in known if file.lengths) / max(1, texts)
    batch = min(joined.rows, int(joined.text_bytes / mean) if mean else joined.rows)
    share = store.layout.rows // (LEAST_PER_THREAD * max(1, threads))
    most = max(batch // JOINED, min(share, TASK_BATCHES * batch))
    found: list[Task] = []
    for task in tasks:
        last = found[-1] if found else None
        if last is not None and last.shards[-1] + 1 == task.shards[0]:
            start, _ = store.layout.bounds(last.shards[0])
            _, stop = store.layout.bounds(task.shards[-1])
            if stop - start <= most:
                found[-1] = task_of(store, last.partition, (*last.shards, *task.shards))
                continue
        found.append(task)
    return found


def _is_cheap(stretch: Stretch) -> bool:
    """Return whether a stretch can be read from its middle at little cost."""
    file = stretch.file
    from_its_beginning = file.compression is not None or file.dialect.encoding is not None
    return not from_its_beginning or file.size <= REREAD_BYTES


def task_of(store: OpenStore, partition: int, shards: tuple[int, ...]) -> Task:
    """Return the task that computes the given shards of a partition."""
    start, _ = store.layout.bounds(shards[0])
    _, stop = store.layout.bounds(shards[-1])
    return Task(partition, shards, store.index.stretches(start, stop))


def longest_first(tasks: Sequence[Task], index: CorpusIndex) -> list[Task]:
    """Return tasks sorted by expected work, so that no long task starts late.

    Tasks are compared by the expected bytes of text, or by rows if the bytes are unknown for a
    file. Tasks with equal work stay in corpus order.
    """
    readable = [file for file in index.files if file.rows and not file.problem]
    known = all(file.lengths for file in readable)
    mean = {f.file: f.lengths.nbytes / f.rows for f in readable if f.lengths and known}

    def work(task: Task) -> float:
        return sum(
            (stretch.span.stop - stretch.span.start) * (TEXT_WORK + mean.get(stretch.file, 0))
            for stretch in task.stretches
            if not stretch.problem
        )

    return sorted(tasks, key=work, reverse=True)
