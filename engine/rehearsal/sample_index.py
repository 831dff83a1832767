"""`SampleIndex`: some rows of a corpus, indexed like a whole corpus, and how they are chosen.

Pure integers, no I/O. A run over a sample index works exactly like one over the whole corpus.
Making such runs is in `trial_run`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from heapq import heapify, heapreplace
from itertools import accumulate, pairwise

from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.partition import Partition
from ...storage.corpus.survey import Survey
from ...storage.rows import Stretch
from ..run.tasks import TEXT_WORK

RUN_ROWS = 25
"""Neighbouring rows sampled together: seeking to a row costs as much as reading these."""

MAX_RUNS = 64
"""Maximum number of groups of neighbouring rows in a sample."""

REACH_BYTES = 16 << 20
"""Bytes at the beginning of a unit that may be sampled: a unit is decoded from its beginning."""

_GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio; the fractional parts of its multiples are evenly distributed and never repeat."""

Range = tuple[int, int]
"""Rows ``[start, stop)`` of the corpus."""


@dataclass(frozen=True)
class SampleRows:
    """Some rows of a corpus, and how they are cut into tasks and shards."""

    ranges: tuple[Range, ...]  # ascending
    tasks: tuple[int, ...]  # rows per task: whole shards, except for the last task
    shard_rows: int

    @classmethod
    def in_shards(cls, ranges: Sequence[Range], shard_rows: int) -> SampleRows:
        """Cut rows into tasks of one shard each."""
        rows = sum(stop - start for start, stop in ranges)
        starts = range(0, rows, shard_rows)
        return cls(tuple(ranges), tuple(min(shard_rows, rows - at) for at in starts), shard_rows)

    @classmethod
    def in_tasks(cls, ranges: Sequence[Range], shard_rows: int) -> SampleRows:
        """Turn each range of rows into a task."""
        return cls(tuple(ranges), tuple(stop - start for start, stop in ranges), shard_rows)


@dataclass(frozen=True, kw_only=True)
class SampleIndex(CorpusIndex):
    """The index of a corpus of which only some rows are read."""

    ranges: tuple[Range, ...] = ()  # of the corpus, ascending
    tasks: tuple[int, ...] = ()  # rows per task: whole shards, except for the last task
    survey: Survey | None = None  # locates rows whose number is only estimated

    @classmethod
    def of(cls, survey: Survey, rows: SampleRows) -> SampleIndex:
        """Return the index of some rows of a corpus."""
        whole = {field.name: getattr(survey.index, field.name) for field in fields(CorpusIndex)}
        return cls(**whole, ranges=rows.ranges, tasks=rows.tasks, survey=survey)

    @cached_property
    def _ends(self) -> list[int]:
        return [0, *accumulate(stop - start for start, stop in self.ranges)]

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return self._ends[-1]

    def partitions(self, shard_rows: int) -> list[Partition]:
        """Return the tasks as partitions, in shards of `shard_rows` rows."""
        ends = [0, *accumulate(self.tasks)]
        return [
            Partition(number, start // shard_rows, -(-stop // shard_rows), start, stop)
            for number, (start, stop) in enumerate(pairwise(ends))
        ]

    def stretches(self, start: int, stop: int) -> tuple[Stretch, ...]:
        """Return what has to be read for rows ``[start, stop)`` of the sample."""
        stretches: list[Stretch] = []
        at = bisect_right(self._ends, start) - 1
        while start < stop:
            first = self.ranges[at][0] + start - self._ends[at]
            end = min(stop, self._ends[at + 1])
            stretches += [
                replace(stretch, row=start + stretch.row - first)
                for stretch in super().stretches(first, first + end - start)
            ]
            start, at = end, at + 1
        return self.survey.readable(stretches) if self.survey else tuple(stretches)


def spread(index: CorpusIndex, rows: int) -> list[Range]:
    """Return a sample of rows, or all of them, as short row ranges spread evenly over all files.

    A unit is decoded from its beginning. So in a large unit (a compressed file, a row group of
    hundreds of megabytes) all ranges are within its first `REACH_BYTES`.

    Examples
    --------
    >>> from paninifs.storage.corpus.index import FileIndex
    >>> from paninifs.storage.rows import SourceFile, Unit
    >>> file = SourceFile(
    ...     url="a.txt", name="a.txt", size=10, version="", format="text", compression=None
    ... )
    >>> files = (FileIndex(file, (Unit(1000, 0),)),)
    >>> index = CorpusIndex(files=files, text="text", id=None, keep=())
    >>> spread(index, 50)
    [(0, 25), (793, 818)]
    """
    if rows >= index.rows:
        return [(0, index.rows)]
    runs = max(1, min(rows // RUN_ROWS, MAX_RUNS))
    starts = _unit_starts(index)
    ranges: list[Range] = []
    for run in range(runs):
        length = (run + 1) * rows // runs - run * rows // runs
        lowest, highest = run * index.rows // runs, (run + 1) * index.rows // runs
        # Not in the middle: a pattern with a regular period would be sampled always, or never.
        share = run * _GOLDEN % 1
        wanted = lowest + int(share * max(0, highest - lowest - length))
        begin = _within_reach(index, starts, wanted, length)
        if ranges:
            begin = max(begin, ranges[-1][1])
        ranges.append((begin, min(begin + length, index.rows)))
    return ranges


def _unit_starts(index: CorpusIndex) -> list[int]:
    return list(accumulate((u.rows for file in index.files for u in file.units), initial=0))


def _within_reach(index: CorpusIndex, starts: Sequence[int], row: int, length: int) -> int:
    """Return the row or, in a large unit, the row at the same relative position within reach."""
    file = index.files[bisect_right(index.starts, row) - 1]
    number = bisect_right(starts, row) - 1
    unit, rows = starts[number], starts[number + 1] - starts[number]
    mean = max(1.0, file.lengths.nbytes / file.rows if file.lengths else 1.0)
    reach = max(length, int(REACH_BYTES / mean))
    return row if rows <= reach else unit + (row - unit) * reach // rows


def leading_rows(
    partitions: Sequence[Partition], count: int, *, max_rows: int, shard_rows: int
) -> list[Range]:
    """Return the first rows of some partitions, evenly chosen, at most `max_rows` of each.

    They are whole shards of `shard_rows` rows, so a partition without a whole shard is left out.

    >>> plan = [Partition(n, n, n + 1, 10 * n, 10 * n + 10) for n in range(6)]
    >>> leading_rows(plan, 2, max_rows=10, shard_rows=5)
    [(0, 10), (30, 40)]
    """
    whole = [partition for partition in partitions if partition.rows >= shard_rows]
    count = min(count, len(whole))
    chosen = [whole[number * len(whole) // count] for number in range(count)]
    max_rows -= max_rows % shard_rows
    return [
        (one.row_start, one.row_start + min(max_rows, one.rows - one.rows % shard_rows))
        for one in chosen
    ]


def makespan(tasks: Iterable[float], threads: int) -> float:
    """Return when the last task ends, if each starts, in order, as soon as a thread is free.

    >>> makespan([3, 2, 2, 1], threads=2), makespan([5], threads=2)
    (4.0, 5.0)
    """
    free_at = [0.0] * max(1, threads)
    heapify(free_at)
    for task in tasks:
        heapreplace(free_at, free_at[0] + task)
    return max(free_at)


def work_of(index: CorpusIndex, shard_rows: int, threads: int) -> float:
    """Return the work of the busiest thread for a corpus, in bytes of text.

    Each text counts as `TEXT_WORK` bytes and its file's mean length.
    """
    mean = {one.file: one.lengths.nbytes / one.rows for one in index.files if one.lengths}
    tasks = [
        sum(
            (stretch.span.stop - stretch.span.start) * (TEXT_WORK + mean.get(stretch.file, 0.0))
            for stretch in index.stretches(task.row_start, task.row_stop)
            if not stretch.problem
        )
        for task in index.partitions(shard_rows)
    ]
    return makespan(sorted(tasks, reverse=True), threads)
