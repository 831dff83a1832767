"""A collected corpus is read without what describes it, and without a note about that."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.storage.corpus.listing import list_files
from paninifs.storage.errors import CorpusNotFound


def parquet(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": ["a"]}), path)


def test_the_ledger_is_left_out_without_a_note(tmp_path):
    parquet(tmp_path / "corpus/part-000000.parquet")
    parquet(tmp_path / "corpus/_collection/ledger/000000.parquet")
    (tmp_path / "corpus/_collection/corpus.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "corpus"):
        found = list_files([str(folder)], None, {})
        assert [file.name for file in found.files] == ["part-000000.parquet"]
        assert found.notes == ()


def test_another_folder_of_that_name_is_noted(tmp_path):
    parquet(tmp_path / "a.parquet")
    parquet(tmp_path / "_collection/b.parquet")
    assert "_collection" in list_files([str(tmp_path)], None, {}).notes[0]


def test_a_corpus_without_texts_is_not_taken_for_a_wrong_name(tmp_path):
    (tmp_path / "corpus/_collection").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "corpus/_collection/corpus.json").write_text("{}")
    with pytest.raises(CorpusNotFound, match="corpus is a collected corpus that has no texts yet"):
        pf.open_corpus(tmp_path / "corpus")
    with pytest.raises(CorpusNotFound, match=r"no files found at .*empty; check the path"):
        pf.open_corpus(tmp_path / "empty")
