"""A collection while it goes on: bar, log, notebook's card, metrics."""

from __future__ import annotations

import io
import socket
import threading
import time
import urllib.request

import pytest
from prometheus_client import REGISTRY
from rich.console import Console

from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.engine.monitoring.collecting import collect_metrics, collect_recorder
from paninifs.engine.monitoring.collecting.collect_recorder import CollectRecorder
from paninifs.engine.monitoring.collecting.host_activity import HostActivity
from paninifs.engine.monitoring.display import log
from paninifs.engine.monitoring.display.bar import in_terminal
from paninifs.engine.monitoring.display.collect_card import collect_card
from paninifs.engine.monitoring.display.collect_display import followed
from paninifs.engine.monitoring.display.log import in_log
from paninifs.engine.monitoring.display.notes import notes_of
from paninifs.engine.monitoring.display.standing import of_collection
from paninifs.engine.monitoring.events import Failed, Finished, Notice
from paninifs.storage.errors import UsageError

ARXIV = {"source": "arxiv", "corpus": "gs://bucket/corpus"}


@pytest.fixture
def quick(monkeypatch):
    """Displays that are updated every few milliseconds."""
    monkeypatch.setattr(collect_recorder, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.02)


def halfway():
    """The progress of a collection that waits."""
    progress = CollectProgress()
    progress.listed(10, total=20)
    for _ in range(8):
        progress.decided("kept")
    progress.decided("skipped", "duplicate")
    progress.decided("failed", "not-found")
    progress.hosts(
        {
            "a.example": HostActivity(host="a.example", requests=10, waiting="rate"),
            "b.example": HostActivity(
                host="b.example",
                requests=1,
                waiting="retry-after",
                wait_seconds=70.0,
                last_error="503 <busy>",
            ),
        }
    )
    return progress


def wait_for(sink, words):
    until = time.monotonic() + 5
    while words not in sink.getvalue():
        assert time.monotonic() < until, sink.getvalue()
        time.sleep(0.01)


@pytest.mark.parametrize("listener", [in_terminal, in_log])
def test_bar_and_log_have_counts_the_wait_and_the_end(quick, listener):
    sink, progress = io.StringIO(), halfway()
    console = Console(file=sink, width=200, force_terminal=listener is in_terminal)
    with CollectRecorder(progress, **ARXIV) as recorder:
        recorder.events.subscribe(
            listener(console, lambda: of_collection(recorder.figures), notes_of)
        )
        in_words = "10 of 20 items: 8 kept, 1 skipped, 1 failed"
        wait_for(sink, in_words if listener is in_log else "10/20 items (")
        wait_for(sink, "1 failed")
        wait_for(sink, "waiting for b.example (asked to wait, 70 s) and 1 other host")
        recorder.note("robots.txt of c.example disallows its articles")
        progress.finished("limited", "the limit of 10 items is reached")
    assert "note: robots.txt of c.example disallows its articles" in sink.getvalue()
    assert "limited" in sink.getvalue().splitlines()[-1 if listener is in_log else -2]


def test_a_wait_in_which_nothing_happens_is_shown(quick):
    progress, seen = CollectProgress(), threading.Event()
    with CollectRecorder(progress, **ARXIV) as recorder:
        recorder.events.subscribe(lambda event: seen.set())
        assert seen.wait(5)  # though the collector reports nothing


def test_the_end_is_an_event_and_an_error_is_not_swallowed():
    progress, events = CollectProgress(), []
    recorder = CollectRecorder(progress, **ARXIV)
    recorder.events.subscribe(events.append)
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError
    assert isinstance(events[-1], Failed)
    assert (recorder.figures.state, recorder.figures.reason) == ("failed", "ZeroDivisionError")
    with CollectRecorder(CollectProgress(), **ARXIV) as recorder:
        recorder.note("a note")
    late = []
    recorder.events.subscribe(late.append)
    assert [type(one) for one in late] == [Notice, Finished]


def test_a_display_that_breaks_does_not_end_the_collection(quick, monkeypatch):
    progress = halfway()
    monkeypatch.setattr(progress, "snapshot", progress.snapshot)
    with CollectRecorder(progress, **ARXIV) as recorder:
        looked = threading.Event()

        def broken():
            looked.set()
            raise ZeroDivisionError

        monkeypatch.setattr(progress, "snapshot", broken)
        assert looked.wait(5)
        monkeypatch.undo()
    assert recorder.figures.kept == 8


def test_the_card_escapes_what_hosts_say_and_has_reasons():
    progress = halfway()
    with CollectRecorder(progress, **ARXIV) as recorder:
        card = collect_card(recorder.figures, recorder.series, "<corpus>")
    assert "<progress" in card
    assert 'value="0.5"' in card
    assert "&lt;corpus&gt;" in card
    assert "b.example: 503 &lt;busy&gt;" in card
    assert "duplicate 1, not-found 1" in card
    assert "<busy>" not in card


def test_without_a_total_the_card_and_the_bar_do_not_claim_a_share():
    progress = CollectProgress()
    progress.decided("kept")
    with CollectRecorder(progress, **ARXIV) as recorder:
        assert " value=" not in collect_card(recorder.figures, recorder.series, "corpus")
        assert of_collection(recorder.figures).total is None


def value(name, **labels):
    return REGISTRY.get_sample_value(f"paninifs_collection_{name}", ARXIV | labels)


def test_metrics_are_there_while_the_collection_goes_on(capsys):
    progress = halfway()
    with followed(progress, **ARXIV, progress_shown=False, verbose=False):
        assert value("items_kept_total") == 8
        assert value("items_expected") == 20
        assert value("done_ratio") == 0.5
        assert value("state", state="collecting") == 1
        assert value("host_requests_total", host="a.example") == 10
        assert value("host_waiting", host="b.example", wait="retry-after") == 1
        progress.finished()
        assert value("state", state="finished") == 1
    assert value("items_kept_total") is None
    assert capsys.readouterr() == ("", "")


def test_there_are_not_as_many_series_as_hosts():
    progress = CollectProgress()
    progress.hosts(
        {f"h{n}.example": HostActivity(host=f"h{n}.example", requests=n) for n in range(200)}
    )
    with followed(progress, **ARXIV, progress_shown=False, verbose=False):
        assert value("host_requests_total", host="h199.example") == 199
        assert value("host_requests_total", host="h1.example") is None
        assert value("hosts") == 200


def test_metrics_are_served_on_loopback_and_a_taken_port_is_an_error(free_port):
    with (
        followed(halfway(), **ARXIV, progress_shown=False, verbose=False),
        collect_metrics.serve(free_port),
    ):
        page = urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics").read().decode()
        assert "paninifs_collection_items_kept_total{" in page
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match=r"at port \d+ \(Address already in use\); choose another"),
        collect_metrics.serve(taken.getsockname()[1]),
    ):
        pass


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_lines_are_printed_where_no_bar_can_be_drawn(quick, monkeypatch, capsys):
    progress = halfway()
    with followed(progress, **ARXIV, progress_shown=True, verbose=False):
        time.sleep(0.2)
        progress.finished()
    assert "finished, 10 of 20 items" in capsys.readouterr().err
