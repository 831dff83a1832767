"""Parquet in practice: nested and encoded texts, and schemas that change between files."""

import io

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paninifs import default_graph, open_corpus, open_results, submit
from paninifs.engine.results.verify import verify
from paninifs.storage.corpus import partition
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.formats.parquet import values as decoded
from paninifs.storage.rows import Column


def rows_of(corpus):
    """Return the columns of a corpus, and its faults as (file, first row, rows, reason)."""
    index = corpus.index
    columns = {name: [] for name in (index.text, *(c.name for c in index.selection.others))}
    faults = []
    for stretch in index.stretches(0, index.rows):
        for rows in read_stretch(stretch, corpus.opener, index.selection):
            columns[index.text] += rows.text.to_pylist()
            for name, values in rows.columns.items():
                columns[name] += values.to_pylist()
            faults += [(stretch.file.name, f.row, f.rows, f.reason) for f in rows.faults]
    return columns, faults


def write(folder, **tables):
    for name, columns in tables.items():
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


# --- how a text may be stored ---------------------------------------------------------------------

STORED = {
    "string": lambda texts: pa.array(texts, pa.string()),
    "large_string": lambda texts: pa.array(texts, pa.large_string()),
    "binary": lambda texts: pa.array([t and t.encode() for t in texts], pa.binary()),
    "large_binary": lambda texts: pa.array([t and t.encode() for t in texts], pa.large_binary()),
    "dictionary": lambda texts: pa.array(texts, pa.string()).dictionary_encode(),
    "dictionary of large_string": lambda t: pa.array(t, pa.large_string()).dictionary_encode(),
}

VIEWS = {
    "string_view": lambda texts: pa.array(texts, pa.string_view()),
    "binary_view": lambda texts: pa.array([t and t.encode() for t in texts], pa.binary_view()),
}
try:
    pq.write_table(pa.table({"text": VIEWS["string_view"]([])}), io.BytesIO())
except pa.ArrowNotImplementedError:  # older pyarrow cannot write it
    pass
else:
    STORED |= VIEWS


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize("how", STORED)
def test_row_groups_are_split_across_partitions(tmp_path, glosses, monkeypatch, how, nested):
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    texts = [record["text"] for record in glosses]
    parts = []
    for first in range(0, 2000, 700):  # one at a time: Arrow does not slice nested views
        column = STORED[how](texts[first : first + 700])
        if nested:
            column = pa.StructArray.from_arrays(
                [pa.array(range(len(column))), column], ["n", "text"]
            )
        parts.append(pa.table({"article" if nested else "text": column}))
    with pq.ParquetWriter(tmp_path / "a.parquet", parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    corpus = open_corpus(tmp_path, text="article.text" if nested else "text")
    frame = corpus.frame
    assert frame.npartitions > 2
    parts = dask.compute(*frame.to_delayed(), scheduler="sync")
    assert [text for part in parts for text in part.iloc[:, 0].tolist()] == texts
    for start in (0, 1, 699, 700, 1399):
        (rows,) = (
            r
            for s in corpus.index.stretches(start, start + 1)
            for r in read_stretch(s, corpus.opener, corpus.index.selection)
        )
        assert rows.text.to_pylist() == texts[start : start + 1]


@pytest.mark.parametrize("how", STORED)
def test_a_missing_text_is_a_bad_row_however_it_is_stored(tmp_path, how):
    write(tmp_path, a={"text": STORED[how](["a", None, ""])})
    columns, faults = rows_of(open_corpus(tmp_path))
    assert columns["text"] == ["a", None, ""]
    assert faults == [("a.parquet", 1, 1, "null text")]


# --- nested columns -------------------------------------------------------------------------------

PAIRS = [
    {"id": "1", "translation": {"en": "dog", "fr": "chien", "meta": {"score": 0.5, "n": 1}}},
    {"id": "2", "translation": {"en": "cat", "fr": None, "meta": None}},
    {"id": "3", "translation": None},
    {"id": "4", "translation": {"en": "cow", "fr": "vache", "meta": {"score": None, "n": 4}}},
]


def test_a_leaf_is_named_by_its_path_as_text_id_or_kept_column(tmp_path):
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "a.parquet", row_group_size=3)
    corpus = open_corpus(
        tmp_path,
        text="translation.fr",
        id="translation.meta.n",
        keep=["translation.meta.score", "translation.en", "id"],
    )
    assert corpus.index.id == Column("translation.meta.n", "int64")
    assert corpus.index.keep[0] == Column("translation.meta.score", "float64")
    columns, faults = rows_of(corpus)
    assert columns == {
        "translation.fr": ["chien", None, None, "vache"],
        "translation.meta.n": [1, None, None, 4],
        "translation.meta.score": [0.5, None, None, None],
        "translation.en": ["dog", "cat", None, "cow"],
        "id": ["1", "2", "3", "4"],
    }
    assert [fault[1:] for fault in faults] == [(1, 1, "null text"), (2, 1, "null text")]
    frame = corpus.frame.compute(scheduler="sync")
    assert frame["translation.fr"].isna().tolist() == [False, True, True, False]


def test_only_the_leaf_is_read(tmp_path, monkeypatch):
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "a.parquet")
    seen = []
    original = decoded.column_of
    monkeypatch.setattr(
        decoded, "column_of", lambda batch, path: seen.append(batch) or original(batch, path)
    )
    rows_of(open_corpus(tmp_path, text="translation.fr"))
    assert [field.name for field in seen[0].schema.field("translation").type] == ["fr"]


def test_a_non_null_leaf_is_missing_where_its_struct_is(tmp_path):
    always = pa.struct([pa.field("fr", pa.string(), nullable=False)])
    table = pa.table({"translation": pa.array([{"fr": "chien"}, None, {"fr": ""}], always)})
    write(tmp_path, a=table)
    columns, _ = rows_of(open_corpus(tmp_path, text="translation.fr"))
    assert columns["translation.fr"] == ["chien", None, ""]


def test_a_column_with_the_dotted_name_itself_comes_first(tmp_path):
    nested = pa.array([{"body": "nested", "lang": "a"}])
    write(tmp_path, a={"article": nested, "article.body": ["literal"]})
    corpus = open_corpus(tmp_path, text="article.body", keep=["article.lang"])
    assert rows_of(corpus)[0] == {"article.body": ["literal"], "article.lang": ["a"]}


def test_a_name_may_have_dots_within_a_struct(tmp_path):
    write(tmp_path, a={"meta": pa.array([{"dc.title": "t"}]), "text": ["x"]})
    assert rows_of(open_corpus(tmp_path, text="meta.dc.title"))[0]["meta.dc.title"] == ["t"]


def test_a_missing_column_is_reported_with_existing_leaves(tmp_path):
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "a.parquet")
    with pytest.raises(ColumnNotFound, match=r"no column 'text'; .*translation\.fr, translation\."):
        open_corpus(tmp_path).index  # noqa: B018
    with pytest.raises(ColumnNotFound, match=r"'translation' holds struct<.*, not text; in it are"):
        open_corpus(tmp_path, text="translation").index  # noqa: B018
    with pytest.raises(ColumnNotFound, match=r"no column 'de'; .*translation\.en"):
        open_corpus(tmp_path, text="translation.en", keep=["de"]).index  # noqa: B018


@pytest.mark.parametrize("text", ["sentences", "pages.text"])
def test_lists_of_texts_are_refused_by_name(tmp_path, text):
    lists = pa.array([["a", "b"], []])
    nested = pa.StructArray.from_arrays([lists], ["text"])
    write(tmp_path, a={"sentences": lists, "pages": nested, "lang": ["x", "y"]})
    with pytest.raises(ColumnNotFound, match=rf"column '{text}' holds list<.*>, not text$"):
        open_corpus(tmp_path, text=text).index  # noqa: B018


# --- schemas that change from file to file --------------------------------------------------------


def test_texts_of_every_kind_make_one_corpus(tmp_path):
    write(
        tmp_path,
        **{f"f{n}": {"text": make([f"t{n}", f"u{n}"])} for n, make in enumerate(STORED.values())},
    )
    corpus = open_corpus(tmp_path)
    expected = [f"{letter}{n}" for n in range(len(STORED)) for letter in "tu"]
    assert rows_of(corpus) == ({"text": expected}, [])
    assert corpus.frame.compute(scheduler="sync").text.tolist() == expected


def test_columns_move_come_and_go(tmp_path):
    write(
        tmp_path,
        a={"text": ["t0"], "lang": ["san"], "year": [1]},
        b={"new": [0.5], "year": [2], "text": ["t1"]},
        c={"lang": ["fra"], "text": ["t2"], "article": pa.array([{"text": "no"}])},
    )
    columns, faults = rows_of(open_corpus(tmp_path, keep=["lang", "year", "new"]))
    assert faults == []
    assert columns == {
        "text": ["t0", "t1", "t2"],
        "lang": ["san", None, "fra"],
        "year": [1, 2, None],
        "new": [None, 0.5, None],
    }


INT, FLOAT, BOOL, TEXT = pa.int64(), pa.float64(), pa.bool_(), pa.string()


@pytest.mark.parametrize(
    ("arrays", "kind", "values"),
    [
        ([pa.array([7]), pa.array([8], pa.uint32())], "int64", [7, 8]),
        ([pa.array([7]), pa.array([0.5])], "float64", [7.0, 0.5]),
        ([pa.array([0.5], pa.float32()), pa.array([7], pa.int8())], "float64", [0.5, 7.0]),
        ([pa.array([7]), pa.array(["7a"])], "string", ["7", "7a"]),
        ([pa.array([7]), None, pa.array(["7a"])], "string", ["7", None, "7a"]),
        ([pa.array([7]), pa.array([0.5]), pa.array(["x"])], "string", ["7", "0.5", "x"]),
        ([pa.array([True]), pa.array([False])], "bool", [True, False]),
        ([pa.array([True]), pa.array([7])], "string", ["true", "7"]),
        ([pa.array([7]), pa.nulls(2), pa.array([8])], "int64", [7, None, None, 8]),
        ([pa.nulls(1), pa.array([True])], "bool", [None, True]),
        ([pa.nulls(1), pa.array([7]), pa.array([0.5])], "float64", [None, 7.0, 0.5]),
        ([pa.nulls(1), pa.nulls(1)], "string", [None, None]),
        ([pa.array(["a"]).dictionary_encode(), pa.array(["b"])], "string", ["a", "b"]),
        ([pa.array([2**64 - 1], pa.uint64()), pa.array([7])], "string", [str(2**64 - 1), "7"]),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_a_kept_column_whose_type_changes(tmp_path, arrays, kind, values, nested):
    for n, array in enumerate(arrays):
        texts = pa.array(["t"] * (1 if array is None else len(array)))
        columns = {"text": texts}
        if array is not None:
            wrapped = pa.StructArray.from_arrays([array], ["n"]) if nested else array
            columns["meta" if nested else "n"] = wrapped
        write(tmp_path, **{f"f{n}": columns})
    name = "meta.n" if nested else "n"
    corpus = open_corpus(tmp_path, keep=[name])
    assert corpus.index.keep == (Column(name, kind),)
    columns, faults = rows_of(corpus)
    assert (columns[name], faults) == (values, [])
    frame = corpus.frame.compute(scheduler="sync")
    assert [None if value is pd.NA else value for value in frame[name]] == values


def test_an_integer_among_floats_is_the_nearest_float(tmp_path):
    write(tmp_path, a={"text": ["t"], "n": [2**53 + 1]}, b={"text": ["u"], "n": [0.5]})
    columns, faults = rows_of(open_corpus(tmp_path, keep=["n"]))
    assert (columns, faults) == ({"text": ["t", "u"], "n": [float(2**53), 0.5]}, [])


@pytest.mark.parametrize(
    ("first", "second", "ids"),
    [
        (pa.array([7]), pa.array(["x"]), ["7", "x"]),
        (pa.array([7]), pa.array([8.5]), ["7", "8.5"]),
        (pa.array([7]), pa.nulls(1), [7, None]),
        (pa.nulls(1), pa.array(["x"]), [None, "x"]),
    ],
    ids=["int, string", "int, float", "int, null", "null, string"],
)
def test_an_id_whose_type_changes(tmp_path, first, second, ids):
    write(tmp_path, a={"text": ["t"], "id": first}, b={"text": ["u"], "id": second})
    assert rows_of(open_corpus(tmp_path))[0]["id"] == ids


def test_a_file_of_missing_texts_loses_only_its_own_rows(tmp_path):
    write(tmp_path, a={"text": ["t"]}, b={"text": pa.nulls(2)})
    columns, faults = rows_of(open_corpus(tmp_path))
    assert columns["text"] == ["t", None, None]
    assert sum(rows for _, _, rows, _ in faults) == 2


def test_leaves_and_changing_schemas_reach_the_store(tmp_path, inline):
    (tmp_path / "corpus").mkdir()
    articles = [{"body": "un", "score": 1, "none": None}, None, {"body": "deux", "score": None}]
    later = [{"none": "z", "score": 0.5, "body": "trois"}]
    coded = pa.StructArray.from_arrays([pa.array(["quatre"]).dictionary_encode()], ["body"])
    write(
        tmp_path / "corpus",
        a={"article": pa.array(articles), "id": [1, 2, 3], "n": [1, 2, 3]},
        b={"id": ["x"], "n": pa.nulls(1), "article": pa.array(later)},
        c={"article": coded},
    )
    keep = ["article.score", "article.none", "n"]
    corpus = open_corpus(tmp_path / "corpus", text="article.body", keep=keep)
    store = str(tmp_path / "results.zarr")
    summary = submit(default_graph(), corpus, store, client=inline, progress=False).result()
    assert (summary.done, summary.quarantined, summary.null_ids) == (4, 1, 1)
    found = open_results(store)
    assert found.id.values.tolist() == ["1", "2", "3", "x", ""]
    assert found.valid.values.tolist() == [True, False, True, True, True]
    np.testing.assert_array_equal(found.article_score, [1.0, np.nan, np.nan, 0.5, np.nan])
    assert found.article_score_valid.values.tolist() == [True, False, False, True, False]
    assert found.article_none.values.tolist() == ["", "", "", "z", ""]
    assert found.n.values.tolist() == [1, 2, 3, 0, 0]
    assert verify(store).passed


def test_a_folder_in_the_layout_of_hugging_face(tmp_path, glosses):
    here = tmp_path / "dataset"
    texts = [record["text"] for record in glosses[:90]]
    for n, name in enumerate(
        ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")
    ):
        (here / "data").mkdir(parents=True, exist_ok=True)
        part = [{"sentence": text, "idx": i} for i, text in enumerate(texts[30 * n :][:30])]
        pq.write_table(pa.Table.from_pylist(part), here / f"data/{name}.parquet")
    (here / "README.md").write_text("---\nlicense: mit\n---\n")
    (here / "dataset_infos.json").write_text("{}")
    (here / ".gitattributes").write_text("*.parquet filter=lfs\n")
    metadata = here / ".cache/huggingface/download/data"
    metadata.mkdir(parents=True)
    (metadata / "train-00000-of-00002.parquet.metadata").write_text("0\n")
    (metadata / "left.parquet").write_bytes(b"half")
    corpus = open_corpus(here, text="sentence", keep=["idx"])
    assert [file.name for file in corpus.files] == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    columns, faults = rows_of(corpus)
    assert faults == []
    assert columns["sentence"] == texts[60:] + texts[:60]
    assert columns["idx"] == [*range(30)] * 3
    assert len(corpus.ignored) == 2
