"""`MonitoredRuns`: the latest reports of a scheduler's runs and climbs, kept in dask's scheduler.

`Monitor` fills it from messages; the tab and the metrics show its contents.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....storage.store.history import Series
from ..climb_figures import ClimbFigures
from ..figures import Figures
from .message import decode

if TYPE_CHECKING:
    from distributed import Scheduler

MOST_RUNS = 20
"""Maximum number of runs and climbs kept; the one silent for longest is dropped first."""


@dataclass
class MonitoredRun:
    """A run or a climb as of its latest report."""

    name: str  # on its cluster; a run's is dask's span of its tasks
    results: str
    figures: Figures | ClimbFigures
    timeline: Series[Any] = field(default_factory=Series)
    heard: float = field(default_factory=time.monotonic)  # time of the latest report

    @property
    def silence(self) -> float:
        """Seconds since the latest report."""
        return time.monotonic() - self.heard


class MonitoredRuns:
    """The runs and climbs of one scheduler.

    Attributes
    ----------
    runs : dict of str to MonitoredRun
        By name; the one with the latest report is last.
    scheduler : distributed.Scheduler, optional
        None until the plugin is started there.
    """

    def __init__(self) -> None:
        self.runs: dict[str, MonitoredRun] = {}
        self.scheduler: Scheduler | None = None

    def take(self, message: dict[str, Any], kind: str) -> None:
        """Store the report of a run or a climb."""
        figures, sample = decode(message, kind)
        name = message["run"]
        run = self.runs.pop(name, None) or MonitoredRun(name, message["results"], figures)
        run.figures, run.heard = figures, time.monotonic()
        run.timeline.add(sample)
        self.runs[run.name] = run
        if len(self.runs) > MOST_RUNS:
            del self.runs[next(iter(self.runs))]

    def block_seconds(self, run: MonitoredRun) -> dict[str, float]:
        """Return the seconds of a run's blocks, of reading and of writing, by dask's fine metrics.

        dask's metrics arrive only when a task ends. The run itself reports each shard, so the
        larger of both figures is returned.
        """
        reported = run.figures.block_seconds
        by_dask = dict.fromkeys(reported, 0.0)
        spans = self.scheduler.extensions["spans"] if self.scheduler else None
        for span in spans.spans_search_by_name.get((run.name,), ()) if spans else ():
            for (_, _, activity, unit), value in _of_tasks(span.cumulative_worker_metrics):
                if unit == "seconds" and activity in by_dask:
                    by_dask[activity] += value
        return {name: max(seconds, by_dask[name]) for name, seconds in reported.items()}


def _of_tasks(metrics: dict[tuple[Any, ...], float]) -> list[tuple[tuple[Any, ...], float]]:
    """Return the entries of dask's fine metrics that describe the execution of tasks."""
    return [(key, value) for key, value in metrics.items() if len(key) == 4 and key[0] == "execute"]
