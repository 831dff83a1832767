"""The guide of collections: every reason and option is there, and its snippets run."""

from __future__ import annotations

import json
import linecache
import re

import pytest
import typer
from paths import REPOSITORY

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.collecting.outcome import FAILED, REASONS, RETRIED

GUIDE = (REPOSITORY / "deploy" / "docs" / "collect.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guide_has_every_reason_with_its_sentence():
    rows = dict(
        re.findall(r"^\| `([\w-]+)`(?: \*)? \| (?:skipped|failed): (.*) \|$", GUIDE, re.MULTILINE)
    )
    assert rows == REASONS
    failed = set(re.findall(r"^\| `([\w-]+)`(?: \*)? \| failed", GUIDE, re.MULTILINE))
    assert failed == FAILED.keys()
    assert set(re.findall(r"^\| `([\w-]+)` \* \|", GUIDE, re.MULTILINE)) == RETRIED


def test_the_guide_has_every_option_but_the_usual_ones():
    command = typer.main.get_command(app).commands["collect"]
    options = {name for one in command.params for name in one.opts if name.startswith("--")}
    usual = {"--quiet", "--verbose", "--json"}
    assert {one for one in options - usual if one not in GUIDE} == set()


@pytest.fixture
def session(tmp_path, monkeypatch):
    """The names of a session in a folder with documents."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    for name in ("a", "b", "again"):
        text = "Une lettre de Paris, du mois de mai." if name == "again" else f"Le texte {name}."
        (tmp_path / "documents" / f"{name}.txt").write_text(text, "utf-8")
    (tmp_path / "documents" / "empty.txt").write_text("")
    letters = [{"id": f"l{n}", "text": f"Cher ami {n},", "to": f"ami {n}"} for n in range(3)]
    (tmp_path / "letters.jsonl").write_text("\n".join(map(json.dumps, letters)), "utf-8")
    return {"__name__": "__main__"}


def test_every_snippet_of_the_guide_runs(session):
    assert len(SNIPPETS) == 4
    for number, snippet in enumerate(SNIPPETS):
        file = f"<snippet {number}>"
        lines = snippet.splitlines(keepends=True)
        linecache.cache[file] = (len(snippet), None, lines, file)
        exec(compile(snippet, file, "exec"), session)
    assert len(session["corpus"]) == 3
    again = pf.collect("documents/", "corpus", progress=False)
    assert again.counts == session["collection"].counts == {"kept": 3, "no-text": 1}
    assert list(pf.open_corpus("letters", id="id").head()["id"]) == ["l0", "l1", "l2"]
