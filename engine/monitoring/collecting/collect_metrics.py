"""Prometheus metrics of the collections of this process.

They are in the default registry of `prometheus_client`: a dask scheduler in the same process serves
them at its ``/metrics``, and `serve` serves them alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ....storage.errors import UsageError
from ..figure_declaration import declared
from .collect_figures import CollectFigures
from .collect_recorder import CollectRecorder
from .host_activity import WAITS

MOST_HOSTS = 50
"""Maximum number of hosts with metrics of their own, which bounds the number of series."""

STATES = ("collecting", "finished", "limited", "stopped", "failed")

_PREFIX = "paninifs_collection_"
_LABELS = ("source", "corpus")


class CollectionsCollector:
    """Collects the metrics of every collection of this process."""

    def __init__(self) -> None:
        self.recorders: list[CollectRecorder] = []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with a value for each collection."""
        now = [(one.source, one.corpus, one.figures) for one in [*self.recorders]]
        for one in declared(CollectFigures):
            if one.metric is None:
                continue
            family = CounterMetricFamily if one.metric.counter else GaugeMetricFamily
            metric = family(f"{_PREFIX}{one.metric.name}", one.metric.help, labels=_LABELS)
            for source, corpus, figures in now:
                value = one.value_in(figures)
                if value is not None:
                    metric.add_metric((source, corpus), float(value))
            yield metric
        yield _states(now)
        yield from _hosts(now)


_Now = list[tuple[str, str, CollectFigures]]


def _states(now: _Now) -> Metric:
    states = GaugeMetricFamily(
        f"{_PREFIX}state", "1 for the state that a collection is in", labels=(*_LABELS, "state")
    )
    for source, corpus, figures in now:
        for state in STATES:
            states.add_metric((source, corpus, state), figures.state == state)
    return states


def _hosts(now: _Now) -> Iterator[Metric]:
    labels = (*_LABELS, "host")
    requests = CounterMetricFamily(f"{_PREFIX}host_requests", "Requests to a host", labels=labels)
    received = CounterMetricFamily(
        f"{_PREFIX}host_received_bytes", "Bytes received from a host", labels=labels
    )
    waits = GaugeMetricFamily(
        f"{_PREFIX}host_waiting", "1 for what a host's requests await", labels=(*labels, "wait")
    )
    for source, corpus, figures in now:
        busiest = sorted(figures.hosts, key=lambda one: (-one.requests, one.host))[:MOST_HOSTS]
        for one in busiest:
            requests.add_metric((source, corpus, one.host), one.requests)
            received.add_metric((source, corpus, one.host), one.received_bytes)
            for wait in WAITS:
                waits.add_metric((source, corpus, one.host, wait), one.waiting == wait)
    yield from (requests, received, waits)


_collector = CollectionsCollector()
_lock = threading.Lock()  # collections may begin and end in several threads


@contextmanager
def measured(recorder: CollectRecorder) -> Iterator[None]:
    """Export the metrics of a collection within the block."""
    with _lock:
        if not _collector.recorders:
            REGISTRY.register(_collector)
        _collector.recorders.append(recorder)
    try:
        yield
    finally:
        with _lock:
            _collector.recorders.remove(recorder)
            if not _collector.recorders:
                REGISTRY.unregister(_collector)


@contextmanager
def serve(port: int) -> Iterator[None]:
    """Serve this process's metrics at ``http://127.0.0.1:PORT/metrics``.

    Raises
    ------
    UsageError
        The port is in use, or must not be used.
    """
    try:
        server, thread = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at port {port} ({error.strerror}); choose another one"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
