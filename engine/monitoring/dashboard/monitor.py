"""`Monitor`: the scheduler plugin that receives reports, and adds tab and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from .message import TOPIC, TOPICS
from .monitored_runs import MonitoredRuns

if TYPE_CHECKING:
    from distributed import Scheduler


class Monitor(MonitoredRuns, SchedulerPlugin):
    """Keeps the runs and climbs of the scheduler that it is installed on; see `MonitoredRuns`."""

    name = "paninifs"
    idempotent = True

    async def start(self, scheduler: Scheduler) -> None:
        """Add the tab and the metrics, if the scheduler has a dashboard."""
        from . import prometheus
        from .hook import add_page
        from .tab import page

        self.scheduler = scheduler
        add_page(scheduler, TOPIC, lambda document: page(self, document))
        prometheus.show(self)

    def log_event(self, topic: str, msg: Any) -> None:
        """Receive the report of a run or a climb."""
        for kind, reported in TOPICS.items():
            if topic == reported:
                self.take(msg, kind)

    async def close(self) -> None:
        """Remove the metrics; the tab ends with the scheduler."""
        from . import prometheus

        prometheus.forget(self)
