"""`measured_pace`: how long runs take, told from trials: what each takes anyway, and what a text.

Where the sample itself takes some seconds, it is the longer of two trials; else whole shards of
the real plan are, as many as take some seconds, or all there are.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.partition import Partition
from .sample_index import Part, lead, spread
from .trial_run import Trial, Trials

SECONDS = 2.0
"""What the longer of the trials is to take, about."""

LONGER = 1.5
"""More than that, for part of the short ones is what a run takes anyway."""

ROUNDS = 3
"""How often each is made, in turn."""

TEXT_SECONDS = 3e-6
"""Of a thread, for reading and writing a text; a guess, so that trials are of a good size."""


@dataclass(frozen=True)
class Pace:
    """How long runs take, on some workers."""

    once: float  # seconds, however much there is to do
    each: float  # seconds for a unit of the busiest thread's work, see `excerpt.work_of`

    def seconds(self, work: float) -> float:
        """Return how long a run takes.

        >>> Pace(once=0.5, each=2e-8).seconds(100_000_000)
        2.5
        """
        return self.once + self.each * work


def look(trials: Trials, index: CorpusIndex, rows: int, lanes: int) -> Trial:
    """Take a spread sample of so many texts the whole way."""
    ranges = spread(index, rows)
    sampled = sum(stop - start for start, stop in ranges)
    return trials.run(Part.in_shards(ranges, _power_of_two(sampled / (2 * lanes))))


def measured_pace(
    trials: Trials, index: CorpusIndex, shard_rows: int, looked: Trial, lanes: int
) -> tuple[Pace, Trial]:
    """Return the pace of runs, and the longest of the trials that say so.

    Parameters
    ----------
    shard_rows : int
        Of the store that the whole corpus is going to have.
    looked : Trial
        Of a spread sample; see `look`.
    lanes : int
        Threads of all workers.
    """
    tasks = index.partitions(shard_rows)
    busy = min(lanes, len(tasks))
    if index.rows <= _rows_in_time(looked) * busy:
        return _all_of_it(trials, tasks, shard_rows)
    few = _wave(tasks, busy, shard_rows, _rows_in_time(looked))
    if few.shard_rows < shard_rows:
        # Little runs of texts are given to the blocks one by one, which takes longer.
        beside = trials.run(few)
        if _rows_in_time(beside) < shard_rows:
            return _slow(trials, index, looked, busy)
        few = _wave(tasks, busy, shard_rows, _rows_in_time(beside))
    first = trials.run(few)
    longer = LONGER * SECONDS / first.seconds
    if longer * first.summary.rows >= index.rows:
        return _all_of_it(trials, tasks, shard_rows)
    many = _waves(tasks, busy, few, max(2, int(longer)))
    found = [(trials.run(few), trials.run(many)) for _ in range(ROUNDS)]
    return _fit([short for short, _ in found], [long for _, long in found]), found[0][1]


def _rows_in_time(trial: Trial) -> int:
    """Return how many texts a thread does in `SECONDS`, as a trial has it."""
    each = TEXT_SECONDS + sum(trial.block_seconds.values()) / trial.summary.rows
    return max(1, int(SECONDS / each))


def _all_of_it(trials: Trials, tasks: Sequence[Partition], shard_rows: int) -> tuple[Pace, Trial]:
    """Time a corpus that is done in a moment."""
    ranges = [(one.row_start, one.row_stop) for one in tasks]
    found = [trials.run(Part.in_tasks(ranges, shard_rows)) for _ in range(ROUNDS)]
    return Pace(statistics.median(one.seconds for one in found), 0.0), found[0]


def _wave(tasks: Sequence[Partition], count: int, shard_rows: int, most: int) -> Part:
    """Return the beginnings of some tasks of a plan, one a thread: a shard, or less, of each."""
    size = min(shard_rows, _power_of_two(min(most, tasks[0].rows)))
    return Part.in_tasks(lead(tasks, count, size, size), size)


def _waves(tasks: Sequence[Partition], count: int, few: Part, times: int) -> Part:
    """Return so many times as much: more of each task, then more tasks."""
    size = few.shard_rows
    longest = max(1, max(one.rows for one in tasks) // size)
    shards = min(times, longest)
    ranges = lead(tasks, count * -(-times // shards), shards * size, size)
    return Part.in_tasks(ranges, size)


def _slow(trials: Trials, index: CorpusIndex, looked: Trial, lanes: int) -> tuple[Pace, Trial]:
    """Time texts of which a shard takes long: the sample, or as many as take some seconds."""
    enough = _rows_in_time(looked) * lanes
    if looked.summary.rows < enough:
        looked = look(trials, index, enough, lanes)
    few = [look(trials, index, max(1, looked.summary.rows // 16), lanes) for _ in range(ROUNDS)]
    return _fit(few, [looked]), looked


def _fit(few: list[Trial], many: list[Trial]) -> Pace:
    """Return the pace at which both took as long as they did."""
    short, long = (statistics.median(one.seconds for one in each) for each in (few, many))
    more = many[0].work - few[0].work
    each = max(0.0, long - short) / more if more > 0 else 0.0
    return Pace(max(0.0, long - each * many[0].work), each)


def _power_of_two(rows: float) -> int:
    """Return the largest power of two that is no more than so many rows, and at least 1."""
    return 1 << max(0, int(rows).bit_length() - 1)
