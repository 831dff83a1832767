"""`paninifs run --graph` and `--add` as users see them: real runs, resumed from elsewhere."""

from __future__ import annotations

import json
import shutil

import pytest
from test_cli import SMALL, THREADS, paninifs

import paninifs as pf

BLOCKS = """
import numpy as np
import paninifs as pf
from lengths import count

@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    return np.array([count(one) for one in text.to_strings()], "int32")

@pf.map_block(fields=[pf.Field("long", "bool")])
def long(n_words):
    return n_words > 2

graph = pf.Graph((n_words, long))
"""
LENGTHS = "def count(text):\n    return len(text.split())\n"
TEXTS = [" ".join(["word"] * (at % 5)) for at in range(600)]


@pytest.fixture
def home(tmp_path):
    """A folder with a corpus, and one with blocks beside it."""
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in TEXTS))
    (tmp_path / "code").mkdir()
    (tmp_path / "code/my_blocks.py").write_text(BLOCKS)
    (tmp_path / "code/lengths.py").write_text(LENGTHS)
    return tmp_path


def words_in(store):
    return pf.open_results(store).n_words.values.tolist()


def test_a_run_that_ends_with_a_reduction_is_no_complete_one(home):
    """It once said that the store was already complete, and so did one that adds a reduction."""
    most = "most = pf.reduce_block(name='most')(lambda results: results.n_words.max('text'))"
    (home / "code/most.py").write_text(f"{BLOCKS}\n{most}\n")
    command = ["run", "c.jsonl", "out.zarr", *THREADS, "--add", "code/most.py:n_words"]
    added = ["--add", "code/most.py:most"]
    said = [paninifs(*command, *more, cwd=home).stdout for more in ([], added, added)]
    assert ["already complete" in one for one in said] == [False, False, True]
    assert [" done, 0 quarantined, in " in one for one in said] == [True, True, False]


def test_a_run_of_a_file_resumes_from_another_directory(home, tmp_path_factory):
    ran = paninifs(
        *("run", "c.jsonl", "out.zarr", "--graph", "code/my_blocks.py:graph", "--json"),
        *(*SMALL, "--shard-rows", "256"),
        cwd=home,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["done"] == 600
    assert words_in(home / "out.zarr") == [at % 5 for at in range(600)]

    marker = min((home / "out.zarr/_run/done").iterdir())
    marker.unlink()  # as if the run had been stopped
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.move(home / "code", moved)
    run = ["run", home / "c.jsonl", home / "out.zarr", *THREADS, "--json", "--graph"]
    again = paninifs(*run, "my_blocks.py:graph", cwd=moved)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 600
    assert marker.exists()
    assert paninifs(*run, f"{moved}/my_blocks.py:graph", cwd="/").returncode == 0
    assert paninifs(*run, "my_blocks:graph", cwd=moved).returncode == 0

    (moved / "lengths.py").write_text(LENGTHS.replace("len(", "1 + len("))
    refused = paninifs(*run, "my_blocks.py:graph", cwd=moved)
    assert refused.returncode == 2
    assert "n_words" in refused.stderr
    assert "--fresh" in refused.stderr
    assert "block 'long'" not in refused.stderr


def test_worker_processes_import_a_neighbour_that_cannot_be_sent(home):
    (home / "code/lengths.py").write_text(f"import threading\nlock = threading.Lock()\n{LENGTHS}")
    (home / "code/my_blocks.py").write_text(
        BLOCKS.replace("from lengths import count", "import lengths").replace(
            "count(", "lengths.count("
        )
    )
    run = ["run", "c.jsonl", "out.zarr", "--graph", "code/my_blocks.py:graph", *SMALL]
    ran = paninifs(*run, cwd=home)
    assert ran.returncode == 0, ran.stderr
    assert words_in(home / "out.zarr") == [at % 5 for at in range(600)]


def test_blocks_are_added_to_the_default_graph(home):
    added = ["--add", "code/my_blocks.py:n_words", "--add", "code/my_blocks.py:long"]
    ran = paninifs("run", "c.jsonl", "out.zarr", *added, *THREADS, cwd=home)
    assert ran.returncode == 0, ran.stderr
    results = pf.open_results(home / "out.zarr")
    assert results.long.values.tolist() == [at % 5 > 2 for at in range(600)]
    assert results.dhatu.shape == (600, 9)


def test_a_sample_of_a_graph_of_ones_own(home):
    ran = paninifs(
        *("run", "c.jsonl", "out.zarr", "--graph", "code/my_blocks.py:graph", "--sample", "100"),
        *THREADS,
        cwd=home,
    )
    assert ran.returncode == 0, ran.stderr
    assert "paninifs run c.jsonl out.zarr --graph code/my_blocks.py:graph" in ran.stdout
    assert not (home / "out.zarr").exists()


def test_a_graph_that_the_corpus_does_not_fit_is_refused_before_anything_is_done(home):
    ran = paninifs(
        *("run", "c.jsonl", "out.zarr", "--graph", "code/my_blocks.py:grpah", *THREADS), cwd=home
    )
    assert ran.returncode == 2
    assert "did you mean 'graph'?" in ran.stderr
    assert not (home / "out.zarr").exists()
