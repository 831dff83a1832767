"""The code and the figures of deploy/docs/near-duplicates.md."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import REPOSITORY

import paninifs as pf
from paninifs.graphs.blocks.band_keys import bands_for

PAGE = (REPOSITORY / "deploy/docs/near-duplicates.md").read_text("utf-8")
LONG = "a small part of something that is cut or broken off from a larger whole thing and kept"
TEXTS = [LONG, "un", "deux", LONG.upper(), "trois", f"{LONG}!", "quatre", "Deux."]


@pytest.fixture
def here(tmp_path, monkeypatch, inline):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"text": TEXTS}), "corpus.parquet")
    import distributed

    monkeypatch.setattr(pf, "connect", lambda: inline, raising=False)
    monkeypatch.setattr(distributed, "get_client", lambda: inline)
    return inline


def test_the_code_of_the_guide_runs(here, monkeypatch):
    from paninifs.engine.near_duplicates import find
    from paninifs.engine.run.submit import submit

    with_client = lambda *given, **named: submit(  # noqa: E731
        *given, **{**named, "client": here, "progress": False}
    )
    monkeypatch.setattr(find, "submit", with_client)
    monkeypatch.setattr(pf, "submit", with_client, raising=False)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(code, names)
    (shown,) = re.findall(r"^found  # (<.*>)$", PAGE, re.MULTILINE)
    assert re.sub(r"of \S*near.zarr", "of near.zarr", repr(names["found"])) == shown
    assert pq.read_table("kept.parquet").num_rows == 5


def test_the_probabilities_of_the_guide_are_right():
    rows = [line for line in PAGE.splitlines() if line.startswith(("| similarity", "| probab"))]
    similarities, percents = (re.findall(r"[\d.]+(?= [|%])", row)[-7:] for row in rows)
    bands, per_band = bands_for(0.8, 128)
    for similarity, percent in zip(similarities, percents, strict=True):
        exact = 100 * (1 - (1 - float(similarity) ** per_band) ** bands)
        assert float(percent) == pytest.approx(exact, abs=0.06 if exact < 10 else 0.6)
    assert f"({bands} bands at threshold 0.8)" in PAGE
