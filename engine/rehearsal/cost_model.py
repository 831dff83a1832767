"""`fit_cost_model`: the time of a run as a fixed part and a part per unit of work.

The model is fitted to trial runs of two lengths. If the sample takes a few seconds, it is the
longer one. Otherwise whole shards of the real plan are timed: enough to take a few seconds, or all.
How a trial run is made is in `trial_run`, which rows it covers in `sample_index`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.partition import Partition
from .sample_index import SampleRows, leading_rows, spread
from .trial_run import TrialRun, TrialRunner

SECONDS = 2.0
"""Approximate duration of the longer trial runs, in seconds."""

LONGER = 1.5
"""Factor applied to their planned length, because part of a short run is its fixed time."""

ROUNDS = 3
"""Number of times that each trial run is made, in turn."""

TEXT_SECONDS = 3e-6
"""Guessed thread seconds to read and write a text, used to choose the size of trial runs."""


@dataclass(frozen=True)
class CostModel:
    """How long runs take on certain workers."""

    fixed: float  # seconds that every run takes
    per_unit: float  # seconds per unit of the busiest thread's work; see `work_of`

    def seconds(self, work: float) -> float:
        """Return how long a run takes.

        >>> CostModel(fixed=0.5, per_unit=2e-8).seconds(100_000_000)
        2.5
        """
        return self.fixed + self.per_unit * work


def run_sample(trials: TrialRunner, index: CorpusIndex, rows: int, threads: int) -> TrialRun:
    """Run a sample of `rows` rows, spread over the corpus, from reading to writing."""
    ranges = spread(index, rows)
    sampled = sum(stop - start for start, stop in ranges)
    return trials.run(SampleRows.in_shards(ranges, _power_of_two(sampled / (2 * threads))))


def fit_cost_model(
    trials: TrialRunner, index: CorpusIndex, shard_rows: int, sample_run: TrialRun, threads: int
) -> tuple[CostModel, TrialRun]:
    """Fit a cost model to trial runs; return it with the longest of them.

    Parameters
    ----------
    shard_rows : int
        Rows per shard of the store that the whole corpus will have.
    sample_run : TrialRun
        From `run_sample`.
    threads : int
        Threads of all workers.
    """
    tasks = index.partitions(shard_rows)
    busy = min(threads, len(tasks))
    if index.rows <= _rows_in_time(sample_run) * busy:
        return _time_everything(trials, tasks, shard_rows)
    few = _one_wave(tasks, busy, shard_rows, _rows_in_time(sample_run))
    if few.shard_rows < shard_rows:
        # The sample passes short ranges to the blocks one by one, which is slower.
        contiguous = trials.run(few)
        if _rows_in_time(contiguous) < shard_rows:
            return _time_slow_texts(trials, index, sample_run, busy)
        few = _one_wave(tasks, busy, shard_rows, _rows_in_time(contiguous))
    first = trials.run(few)
    times = LONGER * SECONDS / first.seconds
    if times * first.summary.rows >= index.rows:
        return _time_everything(trials, tasks, shard_rows)
    many = _several_waves(tasks, busy, few, max(2, int(times)))
    pairs = [(trials.run(few), trials.run(many)) for _ in range(ROUNDS)]
    return _fit([short for short, _ in pairs], [long for _, long in pairs]), pairs[0][1]


def _rows_in_time(trial: TrialRun) -> int:
    """Estimate, from a trial run, how many texts one thread computes in `SECONDS`."""
    text_seconds = TEXT_SECONDS + sum(trial.block_seconds.values()) / trial.summary.rows
    return max(1, int(SECONDS / text_seconds))


def _time_everything(
    trials: TrialRunner, tasks: Sequence[Partition], shard_rows: int
) -> tuple[CostModel, TrialRun]:
    """Time runs over the whole corpus, which is small."""
    ranges = [(task.row_start, task.row_stop) for task in tasks]
    runs = [trials.run(SampleRows.in_tasks(ranges, shard_rows)) for _ in range(ROUNDS)]
    return CostModel(statistics.median(run.seconds for run in runs), 0.0), runs[0]


def _one_wave(tasks: Sequence[Partition], count: int, shard_rows: int, max_rows: int) -> SampleRows:
    """Return the first rows of `count` tasks of a plan: at most a shard of each."""
    rows = min(shard_rows, _power_of_two(min(max_rows, tasks[0].rows)))
    return SampleRows.in_tasks(leading_rows(tasks, count, max_rows=rows, shard_rows=rows), rows)


def _several_waves(
    tasks: Sequence[Partition], count: int, few: SampleRows, times: int
) -> SampleRows:
    """Return `times` as many rows as `few`: more of each task, then more tasks."""
    rows = few.shard_rows
    longest = max(1, max(task.rows for task in tasks) // rows)
    shards = min(times, longest)
    ranges = leading_rows(
        tasks, count * -(-times // shards), max_rows=shards * rows, shard_rows=rows
    )
    return SampleRows.in_tasks(ranges, rows)


def _time_slow_texts(
    trials: TrialRunner, index: CorpusIndex, sample_run: TrialRun, threads: int
) -> tuple[CostModel, TrialRun]:
    """Time texts so slow that a shard takes long: the sample, or enough for a few seconds."""
    enough = _rows_in_time(sample_run) * threads
    if sample_run.summary.rows < enough:
        sample_run = run_sample(trials, index, enough, threads)
    few_rows = max(1, sample_run.summary.rows // 16)
    few = [run_sample(trials, index, few_rows, threads) for _ in range(ROUNDS)]
    return _fit(few, [sample_run]), sample_run


def _fit(short_runs: list[TrialRun], long_runs: list[TrialRun]) -> CostModel:
    """Return the cost model that explains the median times of short and of long runs."""
    short, long = (
        statistics.median(run.seconds for run in runs) for runs in (short_runs, long_runs)
    )
    more = long_runs[0].work - short_runs[0].work
    per_unit = max(0.0, long - short) / more if more > 0 else 0.0
    return CostModel(max(0.0, long - per_unit * long_runs[0].work), per_unit)


def _power_of_two(rows: float) -> int:
    """Return the largest power of two that is at most `rows`, and at least 1."""
    return 1 << max(0, int(rows).bit_length() - 1)
