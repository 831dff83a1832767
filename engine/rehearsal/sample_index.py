"""`Excerpt`: some rows of a corpus as if they were all of it, and which rows those are.

In integers alone; a run over an excerpt takes the same way as one over the whole corpus.
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

NEIGHBOURS = 25
"""Rows of a sample that lie side by side: a place costs as much to reach as these to read."""

MOST_PLACES = 64

REACH_BYTES = 16 << 20
"""How far into a unit, which is decoded from its front, a sample goes."""

_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, without what is before the point, lie evenly and never come round."""

Range = tuple[int, int]
"""Rows ``[start, stop)`` of the corpus."""


@dataclass(frozen=True)
class Part:
    """Some rows of a corpus, and how they are cut."""

    ranges: tuple[Range, ...]  # ascending
    tasks: tuple[int, ...]  # rows of each task; whole shards, but for the last
    shard_rows: int

    @classmethod
    def in_shards(cls, ranges: Sequence[Range], shard_rows: int) -> Part:
        """Return rows that are cut into as many tasks as shards."""
        rows = sum(stop - start for start, stop in ranges)
        starts = range(0, rows, shard_rows)
        return cls(tuple(ranges), tuple(min(shard_rows, rows - at) for at in starts), shard_rows)

    @classmethod
    def in_tasks(cls, ranges: Sequence[Range], shard_rows: int) -> Part:
        """Return rows of which each range is a task."""
        return cls(tuple(ranges), tuple(stop - start for start, stop in ranges), shard_rows)


@dataclass(frozen=True)
class Excerpt(CorpusIndex):
    """The index of a corpus, of which only some rows are read."""

    ranges: tuple[Range, ...] = ()  # of the corpus, ascending
    tasks: tuple[int, ...] = ()  # rows of each task; whole shards, but for the last
    survey: Survey | None = None  # says what is read for rows that are guessed

    @classmethod
    def of(cls, survey: Survey, part: Part) -> Excerpt:
        """Return a part of a corpus."""
        known = {one.name: getattr(survey.index, one.name) for one in fields(CorpusIndex)}
        return cls(**known, ranges=part.ranges, tasks=part.tasks, survey=survey)

    @cached_property
    def _ends(self) -> list[int]:
        return [0, *accumulate(stop - start for start, stop in self.ranges)]

    @property
    def rows(self) -> int:
        """Rows of the excerpt."""
        return self._ends[-1]

    def partitions(self, size: int) -> list[Partition]:
        """Return the tasks as partitions, in shards of `size` rows."""
        ends = [0, *accumulate(self.tasks)]
        return [
            Partition(number, start // size, -(-stop // size), start, stop)
            for number, (start, stop) in enumerate(pairwise(ends))
        ]

    def stretches(self, start: int, stop: int) -> tuple[Stretch, ...]:
        """Return what has to be read for rows ``[start, stop)`` of the excerpt."""
        found: list[Stretch] = []
        at = bisect_right(self._ends, start) - 1
        while start < stop:
            first = self.ranges[at][0] + start - self._ends[at]
            end = min(stop, self._ends[at + 1])
            found += [
                replace(one, row=start + one.row - first)
                for one in super().stretches(first, first + end - start)
            ]
            start, at = end, at + 1
        return self.survey.readable(found) if self.survey else tuple(found)


def spread(index: CorpusIndex, rows: int) -> list[Range]:
    """Return so many rows of a corpus, or all, in little runs that lie evenly over all files.

    A unit is decoded from its front, so in a large one (a compressed file, a row group of hundreds
    of megabytes) they all lie in its first `REACH_BYTES`.

    Examples
    --------
    >>> from paninifs.storage.corpus.index import FileIndex
    >>> from paninifs.storage.rows import SourceFile, Unit
    >>> file = SourceFile(
    ...     url="a.txt", name="a.txt", size=10, version="", format="text", compression=None
    ... )
    >>> index = CorpusIndex((FileIndex(file, (Unit(1000, 0),)),), "text", None, ())
    >>> spread(index, 50)
    [(0, 25), (793, 818)]
    """
    if rows >= index.rows:
        return [(0, index.rows)]
    places = max(1, min(rows // NEIGHBOURS, MOST_PLACES))
    starts = _unit_starts(index)
    found: list[Range] = []
    for place in range(places):
        length = (place + 1) * rows // places - place * rows // places
        lowest, highest = place * index.rows // places, (place + 1) * index.rows // places
        # Not in the middle: what comes round at regular distances would be met always, or never.
        share = place * _GOLDEN % 1
        wanted = lowest + int(share * max(0, highest - lowest - length))
        begin = _within_reach(index, starts, wanted, length)
        if found:
            begin = max(begin, found[-1][1])
        found.append((begin, min(begin + length, index.rows)))
    return found


def _unit_starts(index: CorpusIndex) -> list[int]:
    return list(accumulate((u.rows for file in index.files for u in file.units), initial=0))


def _within_reach(index: CorpusIndex, starts: Sequence[int], row: int, length: int) -> int:
    """Return a row; where its unit is too large, one as far into that part of it that is read."""
    file = index.files[bisect_right(index.starts, row) - 1]
    number = bisect_right(starts, row) - 1
    unit, rows = starts[number], starts[number + 1] - starts[number]
    mean = max(1.0, file.lengths.nbytes / file.rows if file.lengths else 1.0)
    reach = max(length, int(REACH_BYTES / mean))
    return row if rows <= reach else unit + (row - unit) * reach // rows


def lead(partitions: Sequence[Partition], count: int, most: int, size: int) -> list[Range]:
    """Return the first rows of some partitions, evenly chosen, at most so many of each.

    They are whole shards of `size` rows, so one that has no whole shard is left out.

    >>> cut = [Partition(n, n, n + 1, 10 * n, 10 * n + 10) for n in range(6)]
    >>> lead(cut, 2, 10, 5)
    [(0, 10), (30, 40)]
    """
    whole = [one for one in partitions if one.rows >= size]
    count = min(count, len(whole))
    chosen = [whole[number * len(whole) // count] for number in range(count)]
    most -= most % size
    return [
        (one.row_start, one.row_start + min(most, one.rows - one.rows % size)) for one in chosen
    ]


def makespan(tasks: Iterable[float], lanes: int) -> float:
    """Return when the last of some tasks ends, each begun in order as soon as a lane is free.

    >>> makespan([3, 2, 2, 1], lanes=2), makespan([5], lanes=2)
    (4.0, 5.0)
    """
    free = [0.0] * max(1, lanes)
    heapify(free)
    for task in tasks:
        heapreplace(free, free[0] + task)
    return max(free)


def work_of(index: CorpusIndex, shard_rows: int, lanes: int) -> float:
    """Return what the busiest of some threads has to do for a corpus, in bytes of text.

    A text counts for some bytes of its own, see `tasks.TEXT_WORK`; of a file the mean is taken.
    """
    mean = {one.file: one.lengths.nbytes / one.rows for one in index.files if one.lengths}
    tasks = [
        sum(
            (one.span.stop - one.span.start) * (TEXT_WORK + mean.get(one.file, 0.0))
            for one in index.stretches(task.row_start, task.row_stop)
            if not one.problem
        )
        for task in index.partitions(shard_rows)
    ]
    return makespan(sorted(tasks, reverse=True), lanes)
