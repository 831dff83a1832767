"""The figures of a scheduler's runs as metrics for Prometheus, on its ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from .monitor import Monitor

_STATES = ("indexing", "running", "finished", "failed")


class Runs:
    """Tells Prometheus of the runs of every scheduler of this process."""

    def __init__(self) -> None:
        self.monitors: list[Monitor] = []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with a value for each run."""
        runs = [run for monitor in self.monitors for run in monitor.runs.values()]
        for kind, name, path, told in _METRICS:
            metric = kind(f"paninifs_{name}", told, labels=("run", "results"))
            for run in runs:
                value = _value(run.figures, path)
                if value is not None:
                    metric.add_metric((run.name, run.results), value)
            yield metric
        yield from self._labelled()

    def _labelled(self) -> Iterator[Metric]:
        blocks = CounterMetricFamily(
            "paninifs_block_seconds",
            "Seconds that a block took, or waiting for what is read, or writing; of all threads",
            labels=("run", "results", "block"),
        )
        states = GaugeMetricFamily(
            "paninifs_state", "1 for the state that a run is in", labels=("run", "results", "state")
        )
        for monitor in self.monitors:
            for run in monitor.runs.values():
                for name, seconds in monitor.block_seconds(run).items():
                    blocks.add_metric((run.name, run.results, name), seconds)
                for state in _STATES:
                    states.add_metric((run.name, run.results, state), run.figures.state == state)
        yield blocks
        yield states


_METRICS: tuple[tuple[type[GaugeMetricFamily] | type[CounterMetricFamily], str, str, str], ...] = (
    (GaugeMetricFamily, "texts", "rows", "Texts of the corpus"),
    (CounterMetricFamily, "texts_done", "rows_done", "Texts done, by earlier runs too"),
    (CounterMetricFamily, "texts_quarantined", "quarantined", "Texts that the run has set aside"),
    (CounterMetricFamily, "text_bytes", "text_bytes", "Bytes of text that the run has computed"),
    (GaugeMetricFamily, "shards", "shards", "Shards of the store"),
    (CounterMetricFamily, "shards_done", "shards_done", "Shards done, by earlier runs too"),
    (CounterMetricFamily, "tasks_begun_again", "retries", "Tasks that had to be begun again"),
    (GaugeMetricFamily, "elapsed_seconds", "elapsed", "Seconds since the work was cut up"),
    (GaugeMetricFamily, "left_seconds", "seconds_left", "Seconds to the end, at this rate"),
    (GaugeMetricFamily, "texts_per_second", "texts_per_second", "Texts a second, on average"),
    (GaugeMetricFamily, "text_bytes_per_second", "bytes_per_second", "Bytes of them a second"),
    (GaugeMetricFamily, "micro_batch_texts", "micro_batch_texts", "Texts a block gets at once"),
    (GaugeMetricFamily, "workers", "load.workers", "Workers"),
    (GaugeMetricFamily, "worker_threads", "load.threads", "Threads of all workers"),
    (GaugeMetricFamily, "worker_threads_busy", "load.cpu", "Threads of the workers at work"),
    (GaugeMetricFamily, "worker_memory_bytes", "load.memory", "Bytes that all workers hold"),
    (GaugeMetricFamily, "worker_spilled_bytes", "load.spilled", "Bytes they have put on disk"),
    (GaugeMetricFamily, "device_busy_ratio", "load.device", "Share of time the devices compute"),
    (GaugeMetricFamily, "device_memory_bytes", "load.device_memory", "Bytes taken of theirs"),
)
"""Kind, name, which of the `Figures` it is, and what Prometheus tells of it."""


def _value(figures: Any, path: str) -> float | None:
    """Return one of a run's figures; None where nobody knows."""
    for name in path.split("."):
        figures = None if figures is None else getattr(figures, name)
    return None if figures is None else float(figures)


_runs = Runs()


def show(monitor: Monitor) -> None:
    """Show a scheduler's runs."""
    if not _runs.monitors:
        REGISTRY.register(_runs)
    _runs.monitors.append(monitor)


def forget(monitor: Monitor) -> None:
    """Show a scheduler's runs no longer."""
    _runs.monitors.remove(monitor)
    if not _runs.monitors:
        REGISTRY.unregister(_runs)
