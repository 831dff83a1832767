"""Exports in the folder of a corpus: results, and no part of the corpus of a later run."""

from __future__ import annotations

import shutil

import pytest

import paninifs as pf
from paninifs.storage.corpus.locations.exports import RECORD_NAME
from paninifs.storage.errors import CorpusNotFound


@pytest.fixture
def submit(inline, tmp_path):
    """Make or extend a store from a folder, and return how many texts it has."""

    def run(folder, store="out.zarr", **options):
        corpus = pf.open_corpus(folder)
        submitted = pf.submit(
            pf.default_graph(), corpus, tmp_path / store, client=inline, progress=False, **options
        )
        return submitted.result().done

    return run


@pytest.fixture
def folder(tmp_path):
    """A corpus of two files, one of them in a folder below."""
    (tmp_path / "corpus" / "deep").mkdir(parents=True)
    (tmp_path / "corpus" / "a.txt").write_text("un\ndeux\n")
    (tmp_path / "corpus" / "deep" / "b.jsonl").write_text('{"text": "trois"}\n')
    return tmp_path / "corpus"


def export(tmp_path, out, **options):
    pf.export(tmp_path / "out.zarr", out, progress=False, **options)
    return out


@pytest.mark.documented("export-in-corpus")
@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz", "c.parquet", "deep/d.csv", "new/e.parquet"])
def test_an_export_is_no_part_of_the_corpus(submit, folder, tmp_path, name):
    (folder / "new").mkdir()
    assert submit(folder) == 3
    out = export(tmp_path, folder / name)
    corpus = pf.open_corpus(folder)
    assert [file.name for file in corpus.files] == ["a.txt", "deep/b.jsonl"]
    assert corpus.notes == (f"exports of results are left out, unless they are named: {out.name}",)
    assert submit(folder, extend=True) == 3
    assert submit(folder, fresh=True) == 3
    assert submit(folder, "other.zarr") == 3


def test_texts_that_are_added_beside_an_export_are_appended(submit, folder, tmp_path):
    submit(folder)
    export(tmp_path, folder / "out.csv")
    (folder / "c.txt").write_text("quatre\n")
    assert submit(folder, extend=True) == 4


def test_an_export_that_is_named_is_read(submit, folder, tmp_path):
    submit(folder)
    out = export(tmp_path, folder / "out.csv", columns=["text"])
    assert pf.open_corpus(out).index.rows == 3
    assert len(pf.open_corpus([folder, out]).files) == 3


def test_a_folder_of_exports_says_so(submit, folder, tmp_path):
    submit(folder)
    (folder / "exports").mkdir()
    export(tmp_path, folder / "exports" / "out.csv")
    with pytest.raises(CorpusNotFound, match=r"left out, unless they are named: out\.csv"):
        pf.open_corpus(folder / "exports")


def test_a_glob_leaves_an_export_out(submit, folder, tmp_path):
    (folder / "z.csv").write_text("text\nquatre\n")
    submit(folder)
    export(tmp_path, folder / "out.csv")
    assert [file.name for file in pf.open_corpus(f"{folder}/*.csv").files] == ["z.csv"]


def test_a_copied_folder_still_tells_its_exports(submit, folder, tmp_path):
    submit(folder)
    export(tmp_path, folder / "out.csv")
    shutil.copytree(folder, tmp_path / "copy")
    assert len(pf.open_corpus(tmp_path / "copy").files) == 2


def test_another_file_in_place_of_an_export_is_read(submit, folder, tmp_path):
    submit(folder)
    export(tmp_path, folder / "out.csv")
    (folder / "out.csv").write_text("text\nquatre\n")
    assert len(pf.open_corpus(folder).files) == 3


def test_an_export_written_again_is_left_out(submit, folder, tmp_path):
    submit(folder)
    export(tmp_path, folder / "out.csv")
    export(tmp_path, folder / "out.csv", columns=["id"], overwrite=True)
    assert len(pf.open_corpus(folder).files) == 2


def test_elsewhere_nothing_is_recorded(submit, folder, tmp_path):
    submit(folder)
    (tmp_path / "elsewhere").mkdir()
    out = export(tmp_path, tmp_path / "elsewhere" / "out.csv")
    assert [path.name for path in out.parent.iterdir()] == ["out.csv"]
    assert len(pf.open_corpus(out.parent).files) == 1


@pytest.mark.parametrize("record", ["", "no JSON\n", '{"name": "a.txt"}\n', "[]\n7\n", "\xff"])
def test_a_damaged_record_hides_nothing(folder, record):
    (folder / RECORD_NAME).write_bytes(record.encode("latin-1"))
    assert len(pf.open_corpus(folder).files) == 2


def test_a_report_is_no_document_of_the_corpus(submit, folder, tmp_path):
    submit(folder)
    pf.report(tmp_path / "out.zarr", folder / "report.html")
    corpus = pf.open_corpus(folder, format="document")
    assert [file.name for file in corpus.files] == ["a.txt"]
