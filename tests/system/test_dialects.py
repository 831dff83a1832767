"""Whole runs over files of another dialect: every later command reads them as the run did."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.events import Notice
from paninifs.graphs.kernels import reference
from paninifs.storage.errors import ResultsMismatch
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.local import LocalTarget

WRITTEN = {"delimiter": ";", "quote": "'", "encoding": "auto"}
TEXTS = [f"l'été n° {n} ; où naît « l'âme » d'une fée éloignée, très âgée" for n in range(40)]


def csv_of(texts, encoding):
    rows = [f"{n};'{text.replace(chr(39), 2 * chr(39))}'\n" for n, text in enumerate(texts)]
    return ("id;text\n" + "".join(rows)).encode(encoding)


@pytest.fixture
def corpus(tmp_path):
    pytest.importorskip("chardet")
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.csv").write_bytes(csv_of(TEXTS, "cp1252"))
    (folder / "b.csv").write_bytes(csv_of(TEXTS, "utf-16"))
    return folder


@pytest.fixture
def submit(inline, tmp_path):
    def run(corpus, **options):
        options = {"client": inline, "progress": False, "shard_rows": 16} | options
        return pf.submit(pf.default_graph(), corpus, tmp_path / "out.zarr", **options).result()

    return run


def digests(store):
    return pf.open_results(store).digest.values


def expected(times):
    return reference.digest(pf.PackedText.from_strings(TEXTS * times))


@pytest.mark.slow("four runs")
def test_a_store_is_resumed_extended_verified_and_exported(submit, corpus, tmp_path, monkeypatch):
    store = tmp_path / "out.zarr"
    assert submit(pf.open_corpus(corpus, **WRITTEN)).done == 80
    np.testing.assert_array_equal(digests(store), expected(2))
    before = read_manifest(LocalTarget(store))

    # A resumed run believes the index, also if another detector would say something else.
    (store / "_run" / "done" / "00000001.json").unlink()
    import chardet

    monkeypatch.setattr(chardet, "detect", lambda *_, **__: {"encoding": "cp037"})
    assert submit(pf.open_corpus(corpus, **WRITTEN)).done == 80
    np.testing.assert_array_equal(digests(store), expected(2))
    assert read_manifest(LocalTarget(store)).fingerprint == before.fingerprint
    monkeypatch.undo()

    (corpus / "c.csv").write_bytes(csv_of(TEXTS, "utf-8"))
    assert submit(pf.open_corpus(corpus, **WRITTEN), extend=True).done == 120
    np.testing.assert_array_equal(digests(store), expected(3))

    assert "the delimiter ';', the quote \"'\" and the encoding 'auto'" in str(pf.cite(store))
    assert pf.verify(store).passed
    assert pf.export(store, columns=["text"], progress=False).text.tolist() == TEXTS * 3
    shown = CliRunner().invoke(app, ["show", str(store), "--top", "2", "--json"])
    assert {row["text"] for row in json.loads(shown.output)["ranked"]} <= set(TEXTS)

    with pytest.raises(ResultsMismatch, match="dialect → encoding was auto and is cp1252"):
        submit(pf.open_corpus(corpus, **WRITTEN | {"encoding": "cp1252"}))


def test_lines_that_quotes_swallowed_keep_their_rows(submit, tmp_path):
    lines = [f"{n}\t{chr(34) if n % 7 == 0 else ''}text {n}\n" for n in range(50)]
    (tmp_path / "a.tsv").write_text("id\ttext\n" + "".join(lines))
    corpus = pf.open_corpus(tmp_path / "a.tsv")
    first = submit(corpus, shard_rows=8)
    assert first.rows == first.done + first.quarantined
    (tmp_path / "out.zarr" / "_run" / "done" / "00000002.json").unlink()
    assert submit(corpus, shard_rows=8) == first
    assert pf.verify(tmp_path / "out.zarr").passed
    plain = pf.open_corpus(tmp_path / "a.tsv", quote=None)
    assert submit(plain, shard_rows=8, fresh=True).done == 50


def test_the_shell_has_the_same_options(corpus, tmp_path):
    store = tmp_path / "out.zarr"
    options = ["--delimiter", ";", "--quote", "'", "--encoding", "auto"]
    command = ["run", str(corpus), str(store), *options, "--cluster", "threads", "--json"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    np.testing.assert_array_equal(digests(store), expected(2))
    asked = CliRunner().invoke(app, ["advise", str(corpus), *options, "--json"])
    assert asked.exit_code == 0, asked.output
    refused = CliRunner().invoke(app, ["advise", str(corpus), "--delimiter", "::"])
    assert refused.exit_code == 2


def test_quotes_are_ordinary_characters_in_a_shell(tmp_path):
    (tmp_path / "a.tsv").write_text('text\tid\n"un\t1\ndeux"\t2\n')
    command = ["run", str(tmp_path / "a.tsv"), str(tmp_path / "o"), "--quote", "none"]
    ran = CliRunner().invoke(app, [*command, "--cluster", "threads"])
    assert ran.exit_code == 0, ran.output
    np.testing.assert_array_equal(
        digests(tmp_path / "o"), reference.digest(pf.PackedText.from_strings(['"un', 'deux"']))
    )


@pytest.mark.documented("not-utf-8")
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_another_encoding_is_noted_early(inline, tmp_path, name):
    (tmp_path / name).write_bytes("text\nun\ndeux\nété\n".encode("cp1252"))
    corpus = pf.open_corpus(tmp_path / name)
    notes = []
    run = pf.submit(pf.default_graph(), corpus, tmp_path / "s.zarr", client=inline, progress=False)
    run.events.subscribe(lambda event: isinstance(event, Notice) and notes.append(event.text))
    run.result()
    (note,) = notes
    assert "texts are not UTF-8" in note
    assert "--encoding cp1252, encoding='cp1252'" in note


@pytest.mark.parametrize("options", [{"encoding": "latin-1"}, {}])
def test_files_in_their_encoding_are_not_noted(inline, tmp_path, options):
    encoding = options.get("encoding", "utf-8")
    (tmp_path / "a.csv").write_bytes("text\nun\nété\n".encode(encoding))
    corpus = pf.open_corpus(tmp_path / "a.csv", **options)
    notes = []
    run = pf.submit(pf.default_graph(), corpus, tmp_path / "s.zarr", client=inline, progress=False)
    run.events.subscribe(lambda event: isinstance(event, Notice) and notes.append(event.text))
    run.result()
    assert notes == []
