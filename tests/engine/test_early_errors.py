"""Errors that `paninifs run` finds before it starts a cluster, which takes seconds."""

from __future__ import annotations

import inline
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.storage.corpus import counting

CORPUS = '{"text": "un", "lang": "fr"}\n'


@pytest.fixture
def run_command(tmp_path, monkeypatch):
    """Run the command in a folder with a corpus and a finished store; no cluster may be started."""
    (tmp_path / "c.jsonl").write_text(CORPUS)
    (tmp_path / "other.jsonl").write_text(CORPUS * 2)
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    options = {"client": inline.InlineClient(), "progress": False}
    pf.submit(pf.default_graph(), pf.open_corpus("other.jsonl"), "other.zarr", **options).result()

    def connect(*_, **__):
        raise AssertionError("a cluster was started")

    monkeypatch.setattr("paninifs.engine.cluster.connect.connect", connect)
    return lambda *arguments: CliRunner().invoke(app, ["run", "c.jsonl", *arguments])


@pytest.mark.parametrize("sample", [[], ["--sample", "10"]])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["r.zarr", "--shard-rows", "100"], "power of two"),
        (["r.zarr", "--text", "txt"], "no column 'txt'"),
        (["r.zarr", "--id", "key"], "no column 'key'"),
        (["r.zarr", "--keep", "year"], "no column 'year'"),
        (["r.zarr", "--backend", "abacus"], "abacus"),
        (["r.zarr", "--fresh", "--extend"], "choose one of the two"),
        (["r.zarr", "--mirror", "r.zarr"], "must be different targets"),
        (["other.zarr"], "was begun with"),
        (["r.zarr", "--mirror", "other.zarr"], "was begun with"),
        (["file"], "is a file"),
    ],
)
def test_errors_are_found_before_a_cluster_is_started(arguments, said, sample, run_command):
    ended = run_command(*arguments, *sample)
    assert ended.exit_code == 2, ended.output
    assert said in " ".join(ended.output.split())


def test_a_corpus_is_counted_once(run_command, monkeypatch):
    counted = []
    outline = counting._outline
    monkeypatch.setattr(
        counting, "_outline", lambda *given: counted.append(given) or outline(*given)
    )
    monkeypatch.setattr(
        "paninifs.engine.cluster.connect.connect", lambda *_, **__: inline.InlineClient()
    )
    assert run_command("r.zarr", "--json").exit_code == 0
    assert len(counted) == 1
