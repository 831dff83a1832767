"""``paninifs dedup``: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app

TEXTS = ["le mot juste et le sens", "Le mot juste, et le sens.", "une racine", "le sens"]


@pytest.fixture
def dedup(tmp_path, monkeypatch, inline):
    """Run the command in this process, in a folder with a corpus."""
    lines = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(TEXTS))
    (tmp_path / "corpus.jsonl").write_text(lines)
    monkeypatch.chdir(tmp_path)
    from contextlib import nullcontext

    from paninifs.engine.cluster import connect

    monkeypatch.setattr(connect, "connect", lambda *_, **__: nullcontext(inline))
    return lambda *arguments: CliRunner().invoke(app, ["dedup", *arguments])


def test_it_counts_and_writes_what_is_kept(dedup, tmp_path):
    made = dedup("corpus.jsonl", "near.zarr", "--out", "kept.parquet", "--check", "10")
    assert made.exit_code == 0, made.output
    assert "1 of 4 texts, in 1 clusters (similarity at least 0.8)" in made.output
    assert "kept: 3 texts" in made.output
    assert "of a sample of 1 pairs, 100.0% reach the threshold exactly" in made.output
    kept = pq.read_table(tmp_path / "kept.parquet")
    assert kept.to_pylist() == [{"id": str(n), "text": TEXTS[n]} for n in (0, 2, 3)]


def test_it_prints_json_for_scripts_and_needs_the_corpus_once(dedup):
    dedup("corpus.jsonl", "near.zarr")
    made = dedup("near.zarr", "--json", "--out", "kept.jsonl")
    document = json.loads(made.stdout)
    assert (document["texts"], document["near_duplicates"], document["kept"]) == (4, 1, 3)
    assert document["written"] == {"file": "kept.jsonl", "texts": 3}


def test_an_existing_file_is_refused_before_anything_is_computed(dedup, tmp_path):
    (tmp_path / "kept.parquet").write_text("mine")
    made = dedup("corpus.jsonl", "near.zarr", "--out", "kept.parquet")
    assert made.exit_code == 2
    assert not (tmp_path / "near.zarr").exists()
    assert dedup("corpus.jsonl", "near.zarr", "--out", "kept.parquet", "--overwrite").exit_code == 0


def test_quarantined_rows_are_counted_and_in_the_exit_code(dedup, tmp_path):
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write('{"id": 9, "text": null}\n')
    made = dedup("corpus.jsonl", "near.zarr")
    assert made.exit_code == 3
    assert "quarantined: 1 texts" in made.output
    assert "kept: 3 texts" in made.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "2"], "threshold must be"),
        (["--memory", "little"], "memory must be"),
        (["--size", "99"], "size must be"),
        (["--out", "kept.xyz"], "xyz"),
    ],
)
def test_wrong_options_are_refused(dedup, arguments, message):
    made = dedup("corpus.jsonl", "near.zarr", *arguments)
    assert made.exit_code == 2
    assert message in made.output


def test_both_ways_find_the_same(dedup, inline):
    dedup("corpus.jsonl", "near.zarr", "--shingles", "characters", "--threshold", "0.9")
    found = pf.near_duplicates(store="near.zarr", threshold=0.9)
    assert found.labels().tolist() == [0, 0, 2, 3]
