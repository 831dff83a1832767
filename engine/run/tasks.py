"""The remaining tasks of a run, and the order in which they are sent.

What a task does is in `worker.task`; sending tasks is in `dispatch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...storage.corpus.index import CorpusIndex
from ...storage.store.lifecycle import OpenStore
from ..worker.task import Task

TEXT_WORK = 150
"""Fixed cost of computing a text, in equivalent bytes: measured with the default graph."""


def tasks_left(store: OpenStore) -> Iterator[Task]:
    """Yield the remaining tasks, at most one per partition."""
    for partition in store.index.partitions(store.layout.shard_rows):
        numbers = range(partition.shard_start, partition.shard_stop)
        pending = tuple(shard for shard in numbers if shard not in store.done)
        if pending:
            yield task_of(store, partition.number, pending)


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
