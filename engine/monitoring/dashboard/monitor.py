"""`Monitor`: dask's scheduler keeps what runs tell of themselves, for whoever looks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from ....storage.store.history import Sample, Timeline
from ..figures import Figures, known
from .telemetry import TOPIC

if TYPE_CHECKING:
    from distributed import Scheduler

MOST_RUNS = 20
"""That are kept; beyond them the one that was heard of longest ago goes."""


@dataclass
class MonitoredRun:
    """What a run has told."""

    name: str  # the span of its tasks
    results: str
    figures: Figures
    timeline: Timeline = field(default_factory=Timeline)
    heard: float = field(default_factory=time.monotonic)  # when it told something last

    @property
    def silence(self) -> float:
        """Seconds since it told something."""
        return time.monotonic() - self.heard


class Monitor(SchedulerPlugin):
    """Listens to runs, and opens the tab and the metrics.

    Attributes
    ----------
    runs : dict of str to MonitoredRun
        The one that told something last is the last.
    """

    name = "paninifs"
    idempotent = True

    def __init__(self) -> None:
        self.runs: dict[str, MonitoredRun] = {}
        self.scheduler: Scheduler | None = None

    async def start(self, scheduler: Scheduler) -> None:
        """Open the tab and the metrics, where the scheduler has a dashboard."""
        from . import prometheus
        from .hook import add_page
        from .tab import page

        self.scheduler = scheduler
        add_page(scheduler, TOPIC, lambda document: page(self, document))
        prometheus.show(self)

    def log_event(self, topic: str, msg: Any) -> None:
        """Take what a run tells of itself."""
        if topic != TOPIC:
            return
        figures = Figures.from_message(msg["figures"])
        run = self.runs.pop(msg["run"], None) or MonitoredRun(msg["run"], msg["results"], figures)
        run.figures, run.heard = figures, time.monotonic()
        run.timeline.add(known(Sample, msg["sample"]))
        self.runs[run.name] = run
        if len(self.runs) > MOST_RUNS:
            del self.runs[next(iter(self.runs))]

    async def close(self) -> None:
        """Let the metrics go; the page goes with the scheduler."""
        from . import prometheus

        prometheus.forget(self)

    def block_seconds(self, run: MonitoredRun) -> dict[str, float]:
        """Return the seconds of a run's blocks, of reading and of writing, by dask's fine metrics.

        Those come when a task has ended; until then the run has told of more, shard by shard.
        """
        told = run.figures.block_seconds
        by_dask = dict.fromkeys(told, 0.0)
        spans = self.scheduler.extensions["spans"] if self.scheduler else None
        for span in spans.spans_search_by_name.get((run.name,), ()) if spans else ():
            for (_, _, activity, unit), value in _of_tasks(span.cumulative_worker_metrics):
                if unit == "seconds" and activity in by_dask:
                    by_dask[activity] += value
        return {name: max(seconds, by_dask[name]) for name, seconds in told.items()}


def _of_tasks(metrics: dict[tuple[Any, ...], float]) -> list[tuple[tuple[Any, ...], float]]:
    """Return of dask's fine metrics those that are of the execution of tasks."""
    return [(key, value) for key, value in metrics.items() if len(key) == 4 and key[0] == "execute"]
