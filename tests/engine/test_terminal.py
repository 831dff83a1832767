"""Texts and names of others in terminals and pages: shown, never obeyed."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
from IPython import display as notebook
from rich.console import Console
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.dashboard.link import DashboardLink
from paninifs.engine.monitoring.display.bar import in_terminal
from paninifs.engine.monitoring.display.card import card
from paninifs.engine.monitoring.display.notebook import Notebook
from paninifs.engine.monitoring.display.notes import notes_of
from paninifs.engine.monitoring.display.standing import of_run
from paninifs.engine.monitoring.events import (
    EventStream,
    Finished,
    Indexed,
    Notice,
    Restored,
    WorkerLost,
)
from paninifs.engine.monitoring.figures import Figures
from paninifs.engine.monitoring.progress import Progress
from paninifs.engine.rendering.html import table
from paninifs.engine.rendering.terminal import plain, visible
from paninifs.storage.store.history import Timeline

CLEAR, TITLE, C1, BIDI = "\x1b[2J", "\x1b]0;mine\x07", "\x9b31m", "\u202e"
EVIL = f"[red]x[/red] :smile: {CLEAR}{TITLE}{C1}{BIDI}"
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
TAGS = """<script>alert("1")</script><img src=x onerror='alert(2)'>"""


@pytest.fixture(scope="module")
def store(inline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    rows = [{"id": EVIL, "text": EVIL}, {"id": "n", "text": None}]
    file = folder / f"[bold]{CLEAR}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "[blue]out.zarr"
    pf.submit(pf.default_graph(), pf.open_corpus(file), out, client=inline, progress=False).result()
    return file, out


@pytest.mark.parametrize(
    "arguments", [["show"], ["show", "--json"], ["status"], ["status", "--json"], ["verify"]]
)
def test_no_text_or_name_reaches_the_terminal_as_a_command(store, arguments):
    ran = CliRunner().invoke(app, [arguments[0], str(store[1]), *arguments[1:]])
    assert ran.exit_code == 0, ran.output
    assert not COMMANDS.search(ran.output)
    if "--json" in arguments and arguments[0] == "show":
        (one,) = json.loads(ran.stdout)["ranked"]
        assert (one["id"], one["text"]) == (EVIL, EVIL)  # whole, to whoever parses it
    elif arguments == ["show"]:
        assert r"[red]x[/red] :smile: \x1b[2J\x1b]0;mine\x07\x9b31m\u202e" in ran.stdout
        assert "[blue]out.zarr" in ran.stdout


def test_errors_and_what_was_set_aside_do_not_either(store, tmp_path):
    again = CliRunner().invoke(app, ["run", str(store[0]), str(tmp_path / "out.zarr")])
    assert again.exit_code == 3, again.output
    assert r"quarantined: [bold]\x1b[2J.jsonl, row 1: null text" in again.output
    none = CliRunner().invoke(app, ["show", f"/nowhere/{EVIL}"])
    assert none.exit_code == 2
    assert "[red]x[/red]" in none.output
    assert not COMMANDS.search(again.output + none.output)


@pytest.mark.documented("escapes")
def test_notes_of_a_run_do_not_either(monkeypatch):
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=False, width=300)
    listener = in_terminal(console, lambda: of_run(Progress()), notes_of)
    listener(Indexed(1, 2, (EVIL,)))
    listener(Finished(1.0))
    assert visible(EVIL) in sink.getvalue()
    assert not COMMANDS.search(sink.getvalue())


def test_scripts_of_indian_languages_keep_their_joiners():
    assert plain("क्‍ष\tन्‌\n") == "क्‍ष\tन्‌\n"


def test_pages_of_a_notebook_hold_no_tag_of_others(monkeypatch):
    pages = []
    for name in ("display", "update"):
        monkeypatch.setattr(
            notebook.DisplayHandle, name, lambda _, page, **__: pages.append(page.data)
        )
    events = EventStream()
    figures = Figures.of(Progress(state=TAGS, seconds={TAGS: 1.0}, elapsed=1.0))
    link = DashboardLink(f'http://x/"{TAGS}', TAGS)
    events.subscribe(Notebook(lambda: card(figures, Timeline(), TAGS, link), notes_of).listen)
    for event in (Indexed(1, 2, (TAGS,)), Restored(1, TAGS), Notice(TAGS), WorkerLost("w", TAGS)):
        events.publish(event)
    page = pages[-1]
    assert page.count(html.escape(TAGS)) == 9
    assert "<script" not in page
    assert "<img" not in page
    page = card(figures, Timeline(), EVIL, link) + table([(EVIL, EVIL)])
    assert page.count(html.escape(visible(EVIL))) == 3
    assert not COMMANDS.search(page)
    page = pages[-1]
    assert re.findall(r'href="([^"]*)"', page) == [html.escape(f'http://x/"{TAGS}')]
