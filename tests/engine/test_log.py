"""The display of a run in a log: lines, at first every ten seconds, then fewer."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from paninifs.engine.costs.bill import Bill, Item
from paninifs.engine.monitoring import display
from paninifs.engine.monitoring.display import log
from paninifs.engine.monitoring.display.log import in_log, pause
from paninifs.engine.monitoring.display.notes import details_of, notes_of
from paninifs.engine.monitoring.display.standing import of_run
from paninifs.engine.monitoring.events import (
    EventStream,
    Failed,
    Finished,
    Indexed,
    Planned,
    ShardDone,
)
from paninifs.engine.monitoring.progress import Progress
from paninifs.engine.monitoring.projection import Projection

PLANNED = Planned(
    rows=1000,
    shards=10,
    shard_rows=100,
    partitions=10,
    rows_done=0,
    shards_done=0,
    memory=Projection(1 << 20, 1 << 20),
)
SHARD = ShardDone(shard=0, rows=100, quarantined=0, text_bytes=1000)


def of_events(sink):
    """A listener that prints the lines of a run that has these events."""
    events, progress = EventStream(), Progress()
    events.subscribe(progress.listen)
    console = Console(file=sink, width=40)
    events.subscribe(in_log(console, lambda: of_run(progress.snapshot()), notes_of))
    return events.publish


@pytest.fixture
def logged(monkeypatch):
    """A listener that prints lines every few milliseconds, and its output."""
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.02)
    sink = io.StringIO()
    return of_events(sink), sink


def wait_for(sink, words):
    until = time.monotonic() + 5
    while words not in sink.getvalue():
        assert time.monotonic() < until, sink.getvalue()
        time.sleep(0.005)


def test_a_log_has_lines_before_and_between_shards(logged):
    listen, sink = logged
    wait_for(sink, "counting rows\n")
    listen(Indexed(1, 1000))
    listen(PLANNED)
    wait_for(sink, "running, 0 of 1,000 texts (0 %)")
    listen(SHARD)
    wait_for(sink, "running, 100 of 1,000 texts (10 %), ")
    assert " left\n" in sink.getvalue()
    listen(Finished(1.0))
    assert sink.getvalue().splitlines()[-1].startswith("finished, 100 of 1,000 texts")
    ended = sink.getvalue()
    time.sleep(0.06)
    assert sink.getvalue() == ended


@pytest.mark.parametrize("end", [Finished(0.1), Failed(ValueError())])
def test_a_short_run_logs_no_progress(end):
    sink = io.StringIO()
    listen = of_events(sink)
    for event in (Indexed(1, 1000), PLANNED, SHARD, end):
        listen(event)
    assert sink.getvalue() == ""


def test_a_run_of_a_day_logs_a_few_hundred_lines():
    age, lines = 0.0, 0
    while age < 86_400:
        age, lines = age + pause(age), lines + 1
    assert 100 < lines < 250
    assert pause(60) == 10


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_has_a_bar_and_a_pipe_has_lines(terminal, monkeypatch):
    shown = []
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    monkeypatch.setattr("rich.console.Console.is_dumb_terminal", False)
    bar, lines = "paninifs.engine.monitoring.display.bar", "paninifs.engine.monitoring.display.log"
    monkeypatch.setattr(f"{bar}.in_terminal", lambda *_: shown.append("bar") or print)
    monkeypatch.setattr(f"{lines}.in_log", lambda *_: shown.append("lines") or print)
    display.show(EventStream(), str, lambda: of_run(Progress()))
    assert shown == ["bar" if terminal else "lines"]


def finished(usd):
    item = Item("VM", 5.0, SimpleNamespace(usd=usd, units=None))
    return Finished(5.0, Bill(item, (), "2026-11-21"))


def test_memory_and_small_costs_are_details():
    assert notes_of(PLANNED) == []
    assert details_of(PLANNED)[0] == "a worker will need about 2.00 MiB"
    assert notes_of(finished(0.001)) == []
    assert details_of(finished(0.001))[0].startswith("cost: VM 5 s, $0.001")
    assert notes_of(finished(0.5))[0].startswith("cost: VM 5 s, $0.50")
