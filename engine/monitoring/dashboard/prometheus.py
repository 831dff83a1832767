"""Prometheus metrics of a scheduler's runs, served at the scheduler's ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..figure_declaration import declared
from ..figures import Figures
from .monitored_runs import MonitoredRuns

_STATES = ("staging", "indexing", "running", "finished", "stopped", "failed")


class RunsCollector:
    """Collects the metrics of the runs of every scheduler of this process."""

    def __init__(self) -> None:
        self.schedulers: list[MonitoredRuns] = []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with a value for each run."""
        runs = [run for monitored in self.schedulers for run in monitored.runs.values()]
        for one in declared(Figures):
            if one.metric is None:
                continue
            kind = CounterMetricFamily if one.metric.counter else GaugeMetricFamily
            name = f"paninifs_{one.metric.name}"
            metric = kind(name, one.metric.help, labels=("run", "results"))
            for run in runs:
                value = one.value_in(run.figures)
                if value is not None:
                    metric.add_metric((run.name, run.results), float(value))
            yield metric
        yield from self._labelled()

    def _labelled(self) -> Iterator[Metric]:
        blocks = CounterMetricFamily(
            "paninifs_block_seconds",
            "Seconds spent in a block, waiting for reads, or writing; of all threads",
            labels=("run", "results", "block"),
        )
        states = GaugeMetricFamily(
            "paninifs_state", "1 for the state that a run is in", labels=("run", "results", "state")
        )
        for monitored in self.schedulers:
            for run in monitored.runs.values():
                for name, seconds in monitored.block_seconds(run).items():
                    blocks.add_metric((run.name, run.results, name), seconds)
                for state in _STATES:
                    states.add_metric((run.name, run.results, state), run.figures.state == state)
        yield blocks
        yield states


_collector = RunsCollector()


def show(monitored: MonitoredRuns) -> None:
    """Add the metrics of a scheduler's runs."""
    if not _collector.schedulers:
        REGISTRY.register(_collector)
    _collector.schedulers.append(monitored)


def forget(monitored: MonitoredRuns) -> None:
    """Remove the metrics of a scheduler's runs."""
    _collector.schedulers.remove(monitored)
    if not _collector.schedulers:
        REGISTRY.unregister(_collector)
