"""`Task`: shards of one partition that are left to do, and in which order tasks are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...storage.corpus.index import CorpusIndex
from ...storage.rows import Stretch
from ...storage.store.lifecycle import OpenStore

TEXT_WORK = 150
"""What a text takes to compute beside its bytes, in bytes: the default graph's, by measurement."""


@dataclass(frozen=True)
class Task:
    """Shards of one partition that are to be done, and where their rows are read."""

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


def tasks_left(store: OpenStore) -> Iterator[Task]:
    """Yield what is left to do, a task a partition."""
    for partition in store.index.partitions(store.layout.shard_rows):
        numbers = range(partition.shard_start, partition.shard_stop)
        pending = tuple(shard for shard in numbers if shard not in store.done)
        if pending:
            yield task_of(store, partition.number, pending)


def task_of(store: OpenStore, partition: int, shards: tuple[int, ...]) -> Task:
    """Return the task of doing such shards of a partition."""
    start, _ = store.layout.bounds(shards[0])
    _, stop = store.layout.bounds(shards[-1])
    return Task(partition, shards, store.index.stretches(start, stop))


def longest_first(tasks: Sequence[Task], index: CorpusIndex) -> list[Task]:
    """Return tasks in the order in which they are best begun: none that is long begins late.

    By the bytes of text that are expected, or by rows where a file's are not known; of equal ones
    the first in the corpus first.
    """
    every = [one for one in index.files if one.rows and not one.problem]
    known = all(one.lengths for one in every)
    mean = {one.file: one.lengths.nbytes / one.rows for one in every if one.lengths and known}

    def work(task: Task) -> float:
        return sum(
            (one.span.stop - one.span.start) * (TEXT_WORK + mean.get(one.file, 0))
            for one in task.stretches
            if not one.problem
        )

    return sorted(tasks, key=work, reverse=True)
