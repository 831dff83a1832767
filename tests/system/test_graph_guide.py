"""Every snippet of the guide "Your own graph" runs."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf

GUIDE = Path(pf.__file__).parent / "deploy" / "docs" / "graph.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """The names of a session in a folder with the guide's corpus, on the test's own cluster."""
    texts = ["le mot dit la racine", "the word", "un été", "śabda", "une autre phrase ici"] * 20
    columns = {
        "id": [f"t{n}" for n in range(100)],
        "text": texts,
        "lang": ["fr", "en", "fr", "sa", None] * 20,
    }
    pq.write_table(pa.table(columns), tmp_path / "sentences.parquet")
    monkeypatch.chdir(tmp_path)
    with pf.connect("threads", quiet=True) as client:
        monkeypatch.setattr(pf, "connect", lambda: client)
        yield {"__name__": "__main__"}


def test_every_snippet_of_the_guide_runs(session):
    assert len(SNIPPETS) > 8
    for number, snippet in enumerate(SNIPPETS):
        file = f"<snippet {number}>"
        lines = snippet.splitlines(keepends=True)
        linecache.cache[file] = (len(snippet), None, lines, file)
        exec(compile(snippet, file, "exec"), session)
    assert session["summary"].ran == {"n_accents": 40}
    assert "strongest" not in pf.open_results("results.zarr")
    relative = pf.open_results("relative.zarr").relative.values
    assert (relative.max(), len(relative)) == (1, 100)
