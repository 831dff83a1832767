"""Corpora of data in memory: which objects, which digest, and what travels."""

from __future__ import annotations

import gc
import pickle
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from paninifs import Cleaning, open_corpus
from paninifs.storage.corpus.relocation import files_now_at
from paninifs.storage.corpus.tables import memory_file
from paninifs.storage.corpus.tables.canonical import digest_and_size
from paninifs.storage.errors import (
    ColumnNotFound,
    CorpusChanged,
    CorpusEmpty,
    CorpusNotFound,
    UsageError,
)
from paninifs.storage.rows.in_memory import held

ROWS = {"text": ["un", "", None, "déjà"], "id": ["a", "b", "c", "d"], "n": [1, 2, 3, 4]}
FRAME = pd.DataFrame(ROWS)
RECORDS = FRAME.to_dict("records")


class Dataset:
    """The part of a Hugging Face dataset that is used: a selection of the rows of a table."""

    __module__ = "datasets.arrow_dataset"

    def __init__(self, table, rows, names=None, arrow=False):
        self._table, self._rows, self._arrow = table, rows, arrow
        self.column_names = names or table.column_names

    def select_columns(self, names):
        return Dataset(self._table, self._rows, names)

    def with_format(self, kind):
        assert kind == "arrow"
        return Dataset(self._table, self._rows, self.column_names, arrow=True)

    def __getitem__(self, key):
        assert self._arrow
        return self._table.select(self.column_names).take(self._rows)[key]


def polars_frame():
    return pytest.importorskip("polars").DataFrame(ROWS)


TABLES = {
    "pandas": lambda: FRAME,
    "pandas, object": lambda: FRAME.astype({"text": object, "n": "int8"}),
    "pandas, category": lambda: FRAME.astype({"text": "category"}),
    "pandas, another index": lambda: FRAME.set_axis([7, 7, 8, 9]),
    "polars": polars_frame,
    "polars, lazy": lambda: polars_frame().lazy(),
    "duckdb": lambda: pytest.importorskip("duckdb").from_arrow(pa.table(ROWS)),
    "Table": lambda: pa.table(ROWS),
    "Table, views": lambda: pa.table({**ROWS, "text": pa.array(ROWS["text"], pa.string_view())}),
    "Table, chunks": lambda: pa.concat_tables([pa.table(ROWS)[:1], pa.table(ROWS)[1:]]),
    "RecordBatch": lambda: pa.table(ROWS).to_batches()[0],
    "Dataset": lambda: Dataset(pa.concat_tables([pa.table(ROWS)] * 2), [4, 1, 6, 3]),
    "dict of columns": lambda: ROWS,
    "dict of arrays": lambda: {**ROWS, "n": np.arange(1, 5, dtype=np.int16)},
    "list of dicts": lambda: RECORDS,
    "list of dicts, ragged": lambda: [{**RECORDS[0], "more": 1}, *RECORDS[1:]],
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_is_the_same_corpus(kind):
    corpus = open_corpus(TABLES[kind](), keep=["n"])
    assert corpus.files[0].digest == open_corpus(FRAME, keep=["n"]).files[0].digest
    assert [column.kind for column in corpus.index.keep] == ["int64"]
    found = corpus.frame.compute()
    assert [None if text is pd.NA else text for text in found.text] == ROWS["text"]
    assert found.id.tolist() == ROWS["id"]
    assert found.n.tolist() == ROWS["n"]


SERIES = {
    "Series": lambda: FRAME.text.rename("body"),
    "Index": lambda: pd.Index(ROWS["text"]),
    "polars": lambda: polars_frame()["text"],
    "array": lambda: pa.array(ROWS["text"]),
    "chunks": lambda: pa.chunked_array([ROWS["text"][:1], ROWS["text"][1:]]),
}


@pytest.mark.parametrize("kind", SERIES)
def test_every_series_is_a_corpus_of_texts(kind):
    expected = open_corpus(texts=ROWS["text"])
    for corpus in (open_corpus(SERIES[kind]()), open_corpus(texts=SERIES[kind]())):
        assert corpus.files[0].digest == expected.files[0].digest
        assert (len(corpus), corpus.text, corpus.index.id) == (4, "text", None)
    assert open_corpus(SERIES[kind](), text="quote").head(1).quote.tolist() == ["un"]


def test_only_the_columns_that_are_read_travel():
    frame = FRAME.assign(other=[object()] * 4)  # of which Arrow can make nothing
    assert open_corpus(frame, keep=["n"]).files[0] == open_corpus(FRAME, keep=["n"]).files[0]
    assert open_corpus(FRAME).files[0].digest != open_corpus(FRAME, keep=["n"]).files[0].digest


def test_texts_are_cleaned_and_structs_have_columns():
    clean = Cleaning(whitespace=True)
    assert open_corpus(texts=[" un  mot "], clean=clean).head().text.tolist() == ["un mot"]
    table = pa.table({"translation": [{"fr": "un", "de": "eins"}], "id": ["a"]})
    corpus = open_corpus(table, text="translation.fr", keep=["translation.de"])
    assert corpus.frame.compute().iloc[0].tolist() == ["un", "a", "eins"]


# --- the digest -----------------------------------------------------------------------------------


def digest(**columns):
    return digest_and_size(pa.table(columns))[0]


def test_the_digest_is_of_the_values():
    # This digest stands in stores: it must never change.
    known = "183234765928839b7d51927aa2f7f5471353890b3971bfe270df00f2fb4475be"
    assert digest(text=["un", None], n=[1, 2]) == f"values:{known}"
    assert digest(text=["ab", "c"]) != digest(text=["a", "bc"])
    assert digest(text=["a", None]) != digest(text=["a", ""])
    assert digest(text=["a"]) != digest(body=["a"])
    assert digest(n=[1]) != digest(n=[1.0])
    assert digest(n=[True]) != digest(n=[1])
    assert digest(s=[{"a": 1}]) != digest(s=[{"b": 1}])
    nan = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    assert digest(x=nan) == digest(x=[float("nan")])
    whole = pa.array(["un", "deux", None, "trois"])
    assert digest(text=whole.slice(1, 2)) == digest(text=["deux", None])
    assert digest(d=pa.array([0], pa.date32())) != digest(d=pa.array([1], pa.date32()))


def test_the_size_depends_on_the_values_alone(monkeypatch):
    before = open_corpus(FRAME).files[0]
    monkeypatch.setattr(memory_file, "ROW_GROUP_ROWS", 1)  # as another version of Arrow may write
    after = open_corpus(FRAME.copy()).files[0]
    assert (before.size, before.url) == (after.size, after.url)


def test_a_small_corpus_has_several_tasks():
    index = open_corpus(texts=[f"{n}" for n in range(5000)]).index
    assert len(index.partitions(512)) > 4
    # Stores know rows by these numbers: they must never change.
    assert [(unit.rows, unit.offset) for unit in index.files[0].units][:2] == [(1024, 0), (1024, 1)]


# --- what is refused ------------------------------------------------------------------------------

REFUSED = {
    "no such column": (FRAME, {"text": "body"}, ColumnNotFound, r"no column 'body'.*text= names"),
    "no kept column": (FRAME, {"keep": ["m"]}, ColumnNotFound, "no column 'm'; the data have: te"),
    "no rows": (FRAME[:0], {}, CorpusEmpty, "have no rows"),
    "a format": (FRAME, {"format": "csv"}, UsageError, "format='csv' is for files"),
    "a delimiter": (FRAME, {"delimiter": ";"}, UsageError, "delimiter=';' is for csv"),
    "mixed values": ({"text": ["un", 2]}, {}, UsageError, "column 'text' cannot be read: "),
    "mixed bytes": ({"text": ["\ud800", 2]}, {}, UsageError, "column 'text' cannot be read: "),
    "uneven": ({"text": ["un"], "id": [1, 2]}, {}, UsageError, "rows: text 1, id 2"),
    "twice": (FRAME.set_axis(["text", "text", "n"], axis=1), {}, UsageError, "several columns"),
    "both": (FRAME, {"texts": ["un"]}, UsageError, "not both"),
    "a text": (None, {"texts": "un"}, UsageError, r"texts must be a list of strings: open_corpus"),
    "numbers": (None, {"texts": ["un", 2]}, UsageError, "but item 1 is of type int"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_corpus_is_refused(why):
    given, options, error, words = REFUSED[why]
    with pytest.raises(error, match=words):
        open_corpus(given, **options)


def test_a_column_of_numbers_is_refused_as_in_a_file(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    messages = []
    for given in (FRAME, tmp_path / "a.parquet"):
        with pytest.raises(ColumnNotFound) as refused:
            len(open_corpus(given, text="n"))
        messages.append(str(refused.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (FRAME, r"paninifs\.stage\(df, "),
        (pa.table(ROWS), r"parquet\.write_table"),
        (ROWS, "to_parquet"),
    ],
)
def test_what_is_too_large_becomes_files(monkeypatch, given, advice):
    monkeypatch.setattr(memory_file, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match=rf"4 rows take more than 0 MiB, .*{advice}"):
        open_corpus(given)


def test_half_a_surrogate_pair_costs_only_its_row():
    corpus = open_corpus(texts=["un", "a\ud800", None])
    assert corpus.frame.text.isna().compute().tolist() == [False, True, True]


# --- lists of strings -----------------------------------------------------------------------------

LONG = "Le chat dort sur le lit."


@pytest.mark.parametrize(
    "texts", [[LONG, "Il pleut."], (LONG,), ["a\nb", "un"], ["x" * 300], [LONG, "a.txt\nb", "a\0"]]
)
def test_a_list_that_can_only_be_texts_is_taken_for_them(texts):
    corpus = open_corpus(texts)
    assert corpus.frame.compute().text.tolist() == list(texts)
    assert any("was taken for" in note and "texts=" in note for note in corpus.notes)


@pytest.mark.parametrize(
    "names", [["un", "deux"], [LONG, "a.txt"], [LONG, "data/mine"], [LONG, "gs://b/c"], [LONG, "*"]]
)
def test_a_list_that_may_be_names_is_never_taken_for_texts(names):
    with pytest.raises(CorpusNotFound):
        open_corpus(names)


def test_a_list_with_a_file_is_a_list_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mon corpus de textes").mkdir()
    (tmp_path / "mon corpus de textes" / "a.txt").write_text("un\n")
    assert len(open_corpus(["mon corpus de textes"])) == 1
    with pytest.raises(CorpusNotFound):
        open_corpus([LONG, "mon corpus de textes"])


# --- where the bytes are --------------------------------------------------------------------------


def test_tasks_carry_no_bytes():
    corpus = open_corpus(texts=[f"{n} {n * n}" for n in range(20_000)])
    sent = pickle.dumps(corpus.index.stretches(0, 20_000))
    assert len(sent) < 2000 < len(corpus.files[0].content.data)
    assert pickle.loads(sent)[0].file.content is corpus.files[0].content


def test_bytes_are_kept_as_long_as_the_corpus_and_missed_by_name():
    corpus = open_corpus(texts=["un", "deux"])
    index, opener, url = corpus.index, corpus.opener, corpus.files[0].url
    sent = pickle.dumps(index.files[0].file)
    assert held(url) is not None
    del corpus, index
    gc.collect()
    assert held(url) is None
    file = pickle.loads(sent)
    with pytest.raises(CorpusChanged, match=f"{url}: the texts lay in memory .* the same data"):
        opener.check(file)
    again = open_corpus(texts=["un", "deux"])
    opener.check(file)
    assert opener.fetch(file) == again.files[0].content.data


def test_data_are_recognized_or_refused_by_name():
    index = open_corpus(FRAME, keep=["n"]).index
    (file,) = files_now_at(polars_frame(), index, {})
    assert file.content is not None
    other = FRAME.assign(text=["un", "", None, "deja"])
    (file,) = files_now_at(other, index, {})
    with pytest.raises(CorpusChanged, match="in-memory: these data are not the ones"):
        open_corpus(FRAME).opener.check(file)


def test_no_package_is_imported_to_tell():
    before = set(sys.modules)
    with pytest.raises(UsageError):
        open_corpus(object())
    assert not {"polars", "datasets", "cudf", "duckdb"} & (set(sys.modules) - before)
