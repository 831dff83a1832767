"""A climb while it goes on: bar, log, notebook's card, dashboard's tab, metrics, `pf.running`."""

from __future__ import annotations

import html
import io
import json
import pickle
import re
import time
from dataclasses import replace

import pytest
from notebooks import client_of, of_cells
from rich.console import Console
from test_dashboard import address, await_figures, metrics

import paninifs as pf
from paninifs.engine.monitoring.climb_figures import ClimbFigures
from paninifs.engine.monitoring.climb_progress import ClimbProgress
from paninifs.engine.monitoring.climb_recorder import ClimbRecorder
from paninifs.engine.monitoring.dashboard.link import DashboardLink
from paninifs.engine.monitoring.dashboard.message import CLIMB_TOPIC, TOPIC, encode
from paninifs.engine.monitoring.dashboard.monitor import Monitor
from paninifs.engine.monitoring.dashboard.tab import Board
from paninifs.engine.monitoring.display import log
from paninifs.engine.monitoring.display.bar import in_terminal
from paninifs.engine.monitoring.display.climb_card import climb_card
from paninifs.engine.monitoring.display.log import in_log
from paninifs.engine.monitoring.display.notebook import Notebook
from paninifs.engine.monitoring.display.notes import notes_of
from paninifs.engine.monitoring.display.standing import of_climb
from paninifs.engine.monitoring.events import (
    Climbed,
    EventStream,
    Failed,
    Finished,
    LoadSampled,
    Notice,
)
from paninifs.engine.monitoring.figures import Figures
from paninifs.engine.monitoring.load import Load
from paninifs.engine.monitoring.progress import Progress
from paninifs.storage.errors import RunCancelled
from paninifs.storage.store.history import Series

LOAD = Load(workers=2, threads=4, cpu=1.5, memory=10, memory_limit=20, spilled=3)
NOW = ClimbProgress(
    evaluations=2000,
    evaluations_before=500,
    failed=3,
    accepted=70,
    best=0.25,
    best_candidate=1499,
    elapsed=4.0,
    elapsed_before=1.0,
    usd=0.5,
    most_evaluations=10_000,
)


def ignored(figures, sample):
    """Report nothing."""


def followed(sink, listener_of, **console):
    """The stream of a climb whose events a listener shows, as `climb` connects them."""
    events, recorder = EventStream(), ClimbRecorder(ClimbProgress(), report=ignored)
    events.subscribe(recorder.listen)
    console = Console(file=sink, width=200, **console)
    events.subscribe(listener_of(console, lambda: of_climb(recorder.progress), notes_of))
    return events


# --- in a terminal and in a log -------------------------------------------------------------------


def test_the_bar_has_evaluations_of_the_budget_their_rate_the_best_and_the_time_left():
    sink = io.StringIO()
    events = followed(sink, in_terminal, force_terminal=True)
    events.publish(Climbed(NOW))
    time.sleep(0.01)
    events.publish(Climbed(replace(NOW, evaluations=5000, elapsed=10.0)))
    events.publish(Notice("one [bold] word"))
    events.publish(Finished(10.0))
    plain = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", sink.getvalue())
    assert "5,000/10,000 evaluations (500/s), best 0.25" in plain
    assert plain.rstrip().splitlines()[-1].startswith("finished ")
    assert re.search(r"best 0\.25 0:00:\d\d", plain)
    assert "note: one [bold] word" in plain


def test_the_bar_of_a_budget_of_time_has_its_share():
    now = replace(NOW, most_evaluations=None, most_seconds=16.0)
    assert (of_climb(now).done, of_climb(now).total) == (0.25, 1.0)
    assert of_climb(now).counted == "2,000 evaluations (500/s), best 0.25"
    assert of_climb(ClimbProgress()).counted == "0 evaluations"


def test_a_log_has_the_line_of_the_progress(monkeypatch):
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.02)
    sink = io.StringIO()
    events = followed(sink, in_log)
    events.publish(Climbed(NOW))
    until = time.monotonic() + 5
    while "left\n" not in sink.getvalue():
        assert time.monotonic() < until, sink.getvalue()
        time.sleep(0.005)
    assert "running, 2,000 evaluations, best 0.25 (500 evaluations ago), 3 failed, " in (
        sink.getvalue()
    )
    assert "/s, 20 % of the budget, " in sink.getvalue()
    events.publish(Failed(RunCancelled("enough")))
    last = sink.getvalue().splitlines()[-1]
    assert last.startswith("stopped, 2,000 evaluations, ")
    assert last.endswith(": enough, 20 % of the budget")


# --- the recorder ---------------------------------------------------------------------------------


def test_the_time_of_a_climb_goes_on_between_its_reports():
    recorder = ClimbRecorder(ClimbProgress(), report=ignored)
    recorder.listen(Climbed(NOW))
    sooner = recorder.progress.elapsed
    time.sleep(0.01)
    assert 4.0 <= sooner < recorder.progress.elapsed
    recorder.listen(Finished(1.0))
    assert recorder.progress == replace(NOW, state="finished")


def test_samples_are_taken_now_and_then_and_at_the_end(monkeypatch):
    told = []
    recorder = ClimbRecorder(ClimbProgress(), report=lambda *now: told.append(now))
    for evaluations in (100, 200, 300):
        recorder.listen(Climbed(replace(NOW, evaluations=evaluations)))
    recorder.listen(Notice("whatever"))
    assert [sample.evaluations for sample in recorder.series.samples] == [100]
    monkeypatch.setattr("paninifs.engine.monitoring.climb_recorder.EVERY_SECONDS", 0.0)
    recorder.listen(LoadSampled(LOAD))  # all that comes while a batch takes long
    recorder.listen(Finished(1.0))
    assert [sample.evaluations for sample in recorder.series.samples] == [100, 300, 300]
    assert [sample.memory for sample in recorder.series.samples] == [None, 10, 10]
    assert [figures.evaluations for figures, _ in told] == [100, 300]
    assert [figures.load for figures, _ in told] == [None, LOAD]


def test_a_report_that_fails_does_not_disturb_the_climb():
    def torn(*_):
        raise OSError("the scheduler went away")

    recorder = ClimbRecorder(ClimbProgress(), report=torn)
    recorder.listen(Climbed(NOW))
    assert recorder.figures.evaluations == 2000


# --- figures and card -----------------------------------------------------------------------------


def test_figures_come_through_a_message_as_they_were():
    figures = ClimbFigures.of(NOW, LOAD)
    sent = json.loads(json.dumps(figures.to_message()))
    assert ClimbFigures.from_message(sent) == figures
    later = figures.to_message() | {"of a later version": 1}
    later["load"] |= {"of a later version": 1}
    assert ClimbFigures.from_message(pickle.loads(pickle.dumps(later))) == figures
    assert dict(figures.in_words()) == {
        "evaluations": "2,000, 500 of them earlier",
        "rate": "500 evaluations/s",
        "best score": "0.25, candidate 1,499",
        "stagnation": "500 evaluations since the best",
        "accepted": "70 states",
        "failed": "3 without a score",
        "budget": "10,000 evaluations",
        "time left": "16 s",
        "time": "4 s",
        "processor": "1.5 of 4 threads, 2 workers",
        "memory": "10 B of 20 B",
        "spilled to disk": "3 B",
        "cost so far": "$0.50",
    }


def test_a_figure_that_is_not_known_or_not_worth_a_word_is_not_shown():
    ended = ClimbProgress(state="finished", evaluations=5, most_seconds=3.0)
    words = dict(ClimbFigures.of(ended).in_words())
    assert words["best score"] == "no candidate has a score yet"
    assert not {"failed", "cost so far", "time left", "processor", "reason"} & set(words)
    failed = replace(ended, state="failed", reason="it tore")
    assert dict(ClimbFigures.of(failed).in_words())["reason"] == "it tore"


def series_of(*best):
    samples = [
        ClimbFigures.of(replace(NOW, elapsed=float(at), best=score), LOAD).sample()
        for at, score in enumerate(best)
    ]
    return Series(samples)


def test_the_card_has_a_bar_figures_and_the_best_score_over_time():
    link = DashboardLink("http://x/paninifs")
    page = climb_card(ClimbFigures.of(NOW, LOAD), series_of(None, -1.0, -1.0, 1.0), "r", link)
    assert '<progress max="1" value="0.2" aria-label="budget spent">' in page
    assert "running, 2,000 evaluations, best 0.25 &rarr; <code>r</code>" in page
    assert 'href="http://x/paninifs"' in page
    assert ">stagnation</th>" in page
    assert 'points="0.0,48.0 180.0,48.0 360.0,4.0"' in page
    assert "best score, over 2 s; from -1 to 1" in page
    assert "NaN" not in climb_card(ClimbFigures.of(NOW), series_of(None), "r", link)


def test_the_card_of_a_climb_that_failed_at_once_says_why():
    tags = "<script>alert(1)</script>"
    failed = ClimbProgress(state="failed", reason=tags)
    page = climb_card(ClimbFigures.of(failed), Series(), tags, DashboardLink(""))
    assert page.count(html.escape(tags)) == 2
    assert "<script" not in page
    assert "<table" not in page


def test_a_notebook_is_not_updated_at_every_report(monkeypatch):
    pages = []
    monkeypatch.setattr("IPython.display.DisplayHandle.display", lambda *_, **__: None)
    monkeypatch.setattr("IPython.display.DisplayHandle.update", lambda _, page: pages.append(page))
    shown = Notebook(lambda: "card", notes_of)
    for _ in range(5):
        shown.listen(Climbed(NOW))
    assert not pages
    shown.listen(Finished(1.0))
    assert len(pages) == 1


# --- what the scheduler keeps ---------------------------------------------------------------------


def message(name="climb", **figures):
    made = ClimbFigures.of(replace(NOW, **figures), LOAD)
    return encode(name, f"s.zarr/climbs/{name}", made, made.sample())


def of_run(name="run"):
    figures = Figures.of(Progress(state="running", rows=10, elapsed=1.0, seconds={"read": 1.0}))
    return encode(name, f"{name}.zarr", figures, figures.sample())


def charts(board):
    return [figure.title.text for figure in board._grid.children]


def test_climbs_and_runs_are_chosen_from_one_list():
    monitor = Monitor()
    board = Board(monitor)
    monitor.log_event(TOPIC, of_run())
    board.update()
    assert "texts per second" in charts(board)
    assert board._bars in board._left.children
    monitor.log_event(CLIMB_TOPIC, message(elapsed=4.0, best=-2.0))
    monitor.log_event(CLIMB_TOPIC, message(elapsed=6.0, evaluations=3000))
    board.update()
    assert charts(board) == [
        "evaluations per second",
        "best score",
        "memory held and spilled by the workers",
        "busy threads",
    ]
    drawn = {name: list(one) for name, one in source(board, "best").data.items()}
    assert drawn == {"seconds": [4.0, 6.0], "best": [-2.0, 0.25]}
    assert list(source(board, "evaluations").data["evaluations"]) == [0.0, 500.0]
    assert board._bars not in board._left.children
    assert "aria-valuenow='30.0'" in board._shown
    assert "aria-label='budget spent'" in board._shown
    assert [words for _, words in board._choice.options] == [
        "the newest",
        "s.zarr/climbs/climb (running)",
        "run.zarr (running)",
    ]
    board._choice.value = "run"
    board.update()
    assert "texts per second" in charts(board)
    assert "best score" not in charts(board)


def source(board, line):
    return next(one._source for one in board._charts if line in one._lines)


def test_the_axis_of_the_best_score_may_go_below_zero():
    starts = {one.figure.title.text: one.figure.y_range.start for one in Board(Monitor())._charts}
    assert starts.pop("best score") != 0
    assert set(starts.values()) == {0}


def test_a_climb_that_fell_silent_is_said_to_be():
    monitor = Monitor()
    board = Board(monitor)
    monitor.log_event(CLIMB_TOPIC, message())
    monitor.runs["climb"].heard -= 60
    board.update()
    assert "No report for 60 s" in board._shown


def test_a_scheduler_of_an_older_version_hears_nothing_that_it_cannot_read():
    assert CLIMB_TOPIC != TOPIC  # it reads all that comes under TOPIC as a run's figures
    monitor = Monitor()
    monitor.log_event(f"{TOPIC}-of a later version", {"else": 1})
    assert not monitor.runs


# --- climbs that go on ----------------------------------------------------------------------------


@pytest.fixture
def climb(client, tmp_path):
    """Begin a climb over masks that goes on until the function that it returns is called."""

    def begin(name="ones", **options):
        options = {"client": client, "progress": False, "neighbours": 16} | options
        return pf.climb(slowly, pf.Masks(12), tmp_path / "s.zarr", name=name, **options)

    return begin


@pf.objective(vectorized=True)
def slowly(masks):
    time.sleep(0.05)
    return masks.sum(axis=1)


def test_running_lists_climbs_too(climb):
    going = climb(seconds=60)
    assert pf.running() == [going]
    going.cancel()
    with pytest.raises(RunCancelled):
        going.result()
    assert pf.running() == []
    assert going.status().state == "stopped"
    assert going.status().reason.startswith("cancelled; ")


def test_a_climb_that_ended_has_all_its_figures(climb):
    going = climb(evaluations=640)
    summit = going.result()
    now, last = going.status(), going.timeline.samples[-1]
    assert (now.state, now.evaluations, now.best) == ("finished", 640, summit.score)
    assert (last.evaluations, last.best, last.seconds) == (640, summit.score, round(now.elapsed, 3))
    assert last.threads == going.figures.load.threads
    assert "finished, 640 evaluations, best 12" in going._repr_html_()
    again = climb(evaluations=640)
    again.result()
    assert again.status().evaluations_before == 640


def test_metrics_are_the_climbs_own_figures(climb, client):
    going = climb(seconds=60)
    results = going._spec.target.url
    while going.status().evaluations < 64 or going.figures.load is None:
        time.sleep(0.05)
    time.sleep(1.5)
    told = metrics(client)
    assert told[(results, "paninifs_climb_state", "running")] == 1
    assert told[(results, "paninifs_climb_evaluations_total")] >= 64
    assert 0 < told[(results, "paninifs_climb_budget_spent_ratio")] < 1
    going.cancel()
    going.wait()
    time.sleep(1.0)
    told, figures = metrics(client), going.figures
    assert told[(results, "paninifs_climb_state", "stopped")] == 1
    assert told[(results, "paninifs_climb_evaluations_total")] == figures.evaluations
    assert told[(results, "paninifs_climb_best_score")] == figures.best
    assert told[(results, "paninifs_climb_stagnation_evaluations")] == figures.stagnation
    assert told[(results, "paninifs_climb_workers")] == figures.load.workers
    assert ((results, "paninifs_climb_cost_usd") in told) == (figures.usd is not None)


def test_the_tab_says_what_the_climb_says_of_itself(climb, client, look):
    going = climb(seconds=120)
    page = look(address(client, f"/{TOPIC}"))
    told = await_figures(page, lambda figures: "processor" in figures)
    assert told["figures"]["budget"] == "2 min"
    assert "of them" not in told["figures"]["evaluations"]
    page.locator(".bk-Figure").nth(3).wait_for()
    going.cancel()
    going.wait()
    told = await_figures(page, lambda figures: "reason" in figures)
    assert told["figures"]["evaluations"] == f"{going.status().evaluations:,}"
    assert page.locator("h3").inner_text().endswith("/climbs/ones: stopped")
    assert going.dashboard_link.endswith(f"/{TOPIC}")
    assert look.complaints == []


def test_a_scheduler_that_lacks_this_package_is_told_of_and_does_the_climb(climb, monkeypatch):
    monkeypatch.setattr(
        "paninifs.engine.climbing.climb.install", lambda client: "dask's dashboard has no tab"
    )
    going, said = climb(evaluations=32), []
    going.events.subscribe(said.append)
    assert going.result().evaluations == 32
    assert Notice("dask's dashboard has no tab") in said
    assert going.dashboard_link.endswith("/status")


def test_progress_is_shown_unless_declined(climb, monkeypatch):
    shown = []
    monkeypatch.setattr("paninifs.engine.climbing.climb.show", lambda *given: shown.append(given))
    climb(evaluations=32).result()
    assert shown == []
    going = climb("other", evaluations=32, progress=True)
    going.result()
    [(events, card, standing)] = shown
    assert events is going.events
    assert "finished, 32 evaluations" in card()
    assert standing().counted.startswith("32/32 evaluations")


NOTEBOOK = """
import paninifs as pf
client = pf.connect("threads", workers=1, quiet=True)
# %%
@pf.objective(vectorized=True)
def ones(masks): return masks.sum(axis=1)
climb = pf.climb(ones, pf.Masks(12), "s.zarr", seconds=2)
# %%
climb
# %%
summit = climb.result()
# %%
client.close()
"""


def test_a_notebook_shows_the_climb_while_it_goes_on_and_as_a_value(tmp_path):
    notebook = of_cells(NOTEBOOK.split("# %%\n"))
    client_of(notebook, tmp_path).execute()
    for cell in (1, 2):
        (shown,) = notebook.cells[cell].outputs
        page = shown.data["text/html"]  # replaced in place, up to the end
        assert '<progress max="1" value="1" aria-label="budget spent">' in page
        assert re.search("finished, [0-9,]+ evaluations, best 12 ", page)
