"""Prometheus metrics of a scheduler's runs and climbs, served at the scheduler's ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..climb_figures import ClimbFigures
from ..figure_declaration import declared
from ..figures import Figures
from .monitored_runs import MonitoredRun, MonitoredRuns


@dataclass(frozen=True)
class _Kind:
    """What has metrics: their prefix, the label that names it, and the states that it may be in."""

    figures: type  # of figures
    prefix: str
    label: str
    states: tuple[str, ...]


_ENDED = ("finished", "stopped", "failed")
_RUN = _Kind(Figures, "paninifs_", "run", ("staging", "indexing", "running", *_ENDED))
_CLIMB = _Kind(ClimbFigures, "paninifs_climb_", "climb", ("running", *_ENDED))


class RunsCollector:
    """Collects the metrics of the runs and climbs of every scheduler of this process."""

    def __init__(self) -> None:
        self.schedulers: list[MonitoredRuns] = []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with a value for each run or climb."""
        for kind in (_RUN, _CLIMB):
            runs = [
                run
                for monitored in self.schedulers
                for run in monitored.runs.values()
                if isinstance(run.figures, kind.figures)
            ]
            yield from _metrics(kind, runs)
            yield _states(kind, runs)
        yield self._blocks()

    def _blocks(self) -> Metric:
        blocks = CounterMetricFamily(
            "paninifs_block_seconds",
            "Seconds spent in a block, waiting for reads, or writing; of all threads",
            labels=("run", "results", "block"),
        )
        for monitored in self.schedulers:
            for run in monitored.runs.values():
                for name, seconds in monitored.block_seconds(run).items():
                    blocks.add_metric((run.name, run.results, name), seconds)
        return blocks


def _metrics(kind: _Kind, runs: list[MonitoredRun]) -> Iterator[Metric]:
    for one in declared(kind.figures):
        if one.metric is None:
            continue
        family = CounterMetricFamily if one.metric.counter else GaugeMetricFamily
        name = f"{kind.prefix}{one.metric.name}"
        metric = family(name, one.metric.help, labels=(kind.label, "results"))
        for run in runs:
            value = one.value_in(run.figures)
            if value is not None:
                metric.add_metric((run.name, run.results), float(value))
        yield metric


def _states(kind: _Kind, runs: list[MonitoredRun]) -> Metric:
    states = GaugeMetricFamily(
        f"{kind.prefix}state",
        f"1 for the state that a {kind.label} is in",
        labels=(kind.label, "results", "state"),
    )
    for run in runs:
        for state in kind.states:
            states.add_metric((run.name, run.results, state), run.figures.state == state)
    return states


_collector = RunsCollector()


def show(monitored: MonitoredRuns) -> None:
    """Add the metrics of a scheduler's runs and climbs."""
    if not _collector.schedulers:
        REGISTRY.register(_collector)
    _collector.schedulers.append(monitored)


def forget(monitored: MonitoredRuns) -> None:
    """Remove the metrics of a scheduler's runs and climbs."""
    _collector.schedulers.remove(monitored)
    if not _collector.schedulers:
        REGISTRY.unregister(_collector)
