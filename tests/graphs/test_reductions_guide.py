"""The code in deploy/docs/reductions.md runs, and prints what its comments say."""

from __future__ import annotations

import re

from paths import REPOSITORY

import paninifs as pf


def test_the_code_of_the_guide_runs(capsys):
    page = (REPOSITORY / "deploy/docs/reductions.md").read_text("utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(code, names)
    printed = capsys.readouterr().out
    assert re.search(r"fr +1\.55\nsa +2\.05\n", printed)
    assert printed.endswith("2.1\n")
    assert len(names["graph"].stages()[0].blocks) == 4


def test_the_guide_lists_every_ready_made_reduction():
    page = (REPOSITORY / "deploy/docs/reductions.md").read_text("utf-8")
    homes = {name for name, home in pf._HOME.items() if home.startswith(".graphs.reductions.")}
    for name in homes - {"ReduceBlock"}:
        assert f"pf.{name}" in page
