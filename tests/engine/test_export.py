"""`export`: one row per row of the corpus, with its text, its own columns and its results."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.results.export import export as module
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import ColumnNotFound, CorpusChanged, ResultsNotFound, UsageError
from paninifs.storage.formats import row_builder as building
from paninifs.storage.formats.parquet import decoder
from paninifs.storage.rows import rows as storage_rows
from paninifs.storage.store import shards

SCALARS = ("variance", "entropy", "ambiguity", "ambiguity_normalised")
CLUSTER = ["--workers", "1"]


@pytest.fixture
def run(inline, tmp_path):
    """Make a store from existing files."""

    def make(urls, graph=None, out=None, shard_rows=16, **options):
        corpus = pf.open_corpus(urls, **options)
        out = out or tmp_path / "out.zarr"
        graph = graph or pf.default_graph()
        pf.submit(graph, corpus, out, client=inline, shard_rows=shard_rows, progress=False).result()
        return out

    return make


@pytest.fixture(params=[None, 7], ids=["at once", "in small pieces"])
def pieces(request, monkeypatch):
    """Set how much is read and written at once."""
    if request.param:
        monkeypatch.setattr(shards, "_RANGE_ROWS", 40)
        monkeypatch.setattr(building, "BATCH_ROWS", 7)
        monkeypatch.setattr(module, "_GROUP_ROWS", 20)


def frame(store, **options):
    """Return an export as columns of Python values."""
    made = pf.export(store, progress=False, **options)
    return {name: pa.array(made[name]).to_pylist() for name in made.columns}


def as_csv(values):
    """Return Python values as they appear in CSV."""
    words = {None: "", True: "true", False: "false"}
    return [words[v] if v is None or isinstance(v, bool) else str(v) for v in values]


HARD = ["", "two\nlines", 'a "quote", a comma', "dhātu\0🙂", "\r\n", "=1+1", " x "]


def hard_rows(count, first=0):
    """Return rows with difficult texts and ids, and with missing values."""
    return [
        {
            "id": None if n % 11 == 3 else f"{n:03d}",
            "text": None if n % 13 == 5 else HARD[n % 7] + (f" {n}" if n % 3 else ""),
            "lang": None if n % 5 == 0 else HARD[n % 7],
            "year": None if n % 4 == 0 else n,
            "valid": f"mine {n}",
        }
        for n in range(first, first + count)
    ]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=9)


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            values = list(row.values())
            broken = row["text"] is None  # CSV has no null text: its record is ragged
            writer.writerow(values[:2] if broken else values)


WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet, "csv": write_csv}


@pytest.fixture(params=WRITERS)
def store(request, run, tmp_path):
    """Make a store of three files and one that cannot be read; return the input rows."""
    name = request.param
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = []
    for number, count in enumerate([30, 1, 40]):
        part = hard_rows(count, len(rows))
        WRITERS[name](folder / f"{number}.{name}", part)
        rows += part
    (folder / "broken.parquet").write_bytes(b"PAR1 no")
    if name == "csv":  # no nulls, only strings, and nothing from a ragged record
        for row in rows:
            ragged = row["text"] is None
            row.update({k: None if ragged else "" if v is None else str(v) for k, v in row.items()})
    if name == "jsonl":
        for row in rows:
            row["year"] = None if row["year"] is None else str(row["year"])
    return run(folder, keep=["lang"]), rows


def check_fields(store, found):
    """Compare fields with those that xarray reads, bit for bit."""
    with pf.open_results(store) as opened:
        results = opened.load()
    valid = results.valid.values
    assert found["valid"] == valid.tolist()
    expected = {name: results[name].values for name in SCALARS}
    for field, dim in (("dhatu", "dhatu_name"), ("prime_base", "prime")):
        for label in results[dim].values.tolist():
            expected[f"{field}_{label}"] = results[field].sel({dim: label}).values
    for name, values in expected.items():
        masked = [v if ok else None for v, ok in zip(values.tolist(), valid, strict=True)]
        assert found[name] == masked, name
    digests = [bytes(digest).hex() for digest in results.digest.values]
    assert found["digest"] == [d if ok else None for d, ok in zip(digests, valid, strict=True)]


def check_rows(found, rows):
    for name in ("id", "text", "lang", "year"):
        assert found[name] == [row[name] for row in rows], name
    assert found["valid_corpus"] == [row["valid"] for row in rows]
    reasons = found["reason"]
    assert [reason is None for reason in reasons] == [row["text"] is not None for row in rows]
    assert all("null text" in r or "2 values where" in r for r in reasons if r)


def test_a_frame_has_every_row_with_its_text_columns_and_results(store, pieces):
    found = frame(store[0])
    assert list(found)[:5] == ["id", "text", "lang", "year", "valid_corpus"]
    assert list(found)[5:8] == ["digest", "dhatu_RELATE", "dhatu_MODAL"]
    assert list(found)[-2:] == ["valid", "reason"]
    check_rows(found, store[1])
    check_fields(store[0], found)


def test_a_parquet_file_holds_the_same(store, pieces, tmp_path):
    told = pf.export(store[0], tmp_path / "o.parquet", progress=False)
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.to_pydict() == frame(store[0])
    assert told == module.Exported(
        str(tmp_path / "o.parquet"),
        71,
        sum(r["text"] is not None for r in store[1]),
        tuple(table.column_names),
        1,
    )


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "O.CSV"])
def test_a_csv_file_holds_the_same(store, pieces, tmp_path, name):
    pf.export(store[0], tmp_path / name, progress=False)
    data = (tmp_path / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith("gz") else data).decode()
    header, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    expected = frame(store[0])
    assert header == list(expected)
    for at, (column, values) in enumerate(expected.items()):
        read = [record[at] for record in records]
        if values and any(isinstance(value, float) for value in values):
            numbers = [np.float32(word).item() if word else None for word in read]
            assert numbers == values, column
        else:
            assert read == as_csv(values), column


def test_csv_distinguishes_null_from_empty_string(run, tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [{"text": "a", "b": ""}, {"text": "a", "b": None}])
    store = run(tmp_path / "c.jsonl")
    pf.export(store, tmp_path / "o.csv", columns=["b", "text"], progress=False)
    assert (tmp_path / "o.csv").read_text() == 'b,text\n"","a"\n,"a"\n'


def test_column_name_may_contain_quotes(run, tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [{"text": "a", 'say "b", c': "d"}])
    store = run(tmp_path / "c.jsonl")
    for name in ("o.csv", "o.csv.gz"):
        pf.export(store, tmp_path / name, columns=['say "b", c'], progress=False)
    assert (tmp_path / "o.csv").read_text() == '"say ""b"", c"\n"d"\n'
    assert (
        gzip.decompress((tmp_path / "o.csv.gz").read_bytes()) == (tmp_path / "o.csv").read_bytes()
    )


def doubled_names(path):
    values = [pa.array(["un"]), pa.array(["x"]), pa.array(["y"])]
    pq.write_table(pa.Table.from_arrays(values, names=["text", "lang", "lang"]), path)


ODD_NAMES = {
    "latin.csv": (
        lambda path: path.write_bytes("text,pr\u00e9nom\nun,x\n".encode("latin-1")),
        {"pr\\xe9nom": "x"},
    ),
    "half.jsonl": (
        lambda path: path.write_text('{"text": "un", "\\ud800k": 1}\n'),
        {"\\ud800k": "1"},
    ),
    "doubled.parquet": (doubled_names, {"lang": "x", "lang_1": "y"}),
}


@pytest.mark.documented("odd-column-name")
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_with_odd_names_are_exported(run, tmp_path, name, ending):
    make, expected = ODD_NAMES[name]
    make(tmp_path / name)
    store = run(tmp_path / name)
    out = tmp_path / f"o.{ending}"
    pf.export(store, out, progress=False)
    made = pq.read_table(out) if ending == "parquet" else pa.csv.read_csv(out)
    (row,) = made.to_pylist()
    assert {key: str(row[key]) for key in expected} == expected


def test_a_damaged_column_is_exported_as_missing(run, tmp_path):
    table = pa.table({"text": ["un"] * 50, "lang": [f"lang {row}" for row in range(50)]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, use_dictionary=False, compression="none")
    store, before = run(path), path.stat()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(b"lang 0") - 4)
        file.write(b"\xff" * 4)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    made = frame(store)
    assert (made["text"], made["lang"]) == (["un"] * 50, [None] * 50)


def test_columns_of_parquet_are_numbers_strings_and_json(run, tmp_path):
    when = dt.datetime(2024, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    struct = pa.struct([("fr", pa.string()), ("en", pa.struct([("x", pa.int8())]))])
    first = pa.table(
        {
            "small": pa.array([1, None], pa.int16()),
            "half": pa.array([0.5, None], pa.float32()),
            "is": pa.array([True, None]),
            "text": ["un", "deux"],
            "when": pa.array([when, None], pa.timestamp("us", "UTC")),
            "tags": pa.array([["à", "b"], None]),
            "inner": pa.array([{"fr": "oui", "en": {"x": 1}}, None], struct),
            "none": pa.nulls(2),
            "mixed": [1, 2],
            "raw": pa.array([b"ok", b"\xff"]),
            "word": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    second = pa.table({"other": [1.5], "mixed": ["x"], "text": ["trois"], "small": [2.5]})
    pq.write_table(first, tmp_path / "a.parquet")
    pq.write_table(second, tmp_path / "b.parquet")
    found = frame(run(str(tmp_path / "*.parquet")))
    assert list(found)[:14] == [
        "id",
        "text",
        "small",
        "half",
        "is",
        "when",
        "tags",
        "none",
        "mixed",
        "raw",
        "word",
        "inner.fr",
        "inner.en.x",
        "other",
    ]
    assert {name: found[name] for name in list(found)[:14]} == {
        "id": [0, 1, 2],
        "text": ["un", "deux", "trois"],
        "small": [1.0, None, 2.5],
        "half": [0.5, None, None],
        "is": [True, None, None],
        "when": ["2024-02-03 04:05:06.000000Z", None, None],
        "tags": ['["à", "b"]', None, None],
        "none": [None] * 3,
        "mixed": ["1", "2", "x"],
        "raw": ["ok", None, None],
        "word": ["a", "b", None],
        "inner.fr": ["oui", None, None],
        "inner.en.x": [1, None, None],
        "other": [None, None, 1.5],
    }  # fmt: skip


def test_kept_struct_columns_keep_their_names(run, tmp_path):
    table = pa.table({"t": [{"fr": "oui", "n": 3}, {"fr": "non", "n": None}]})
    pq.write_table(table, tmp_path / "a.parquet")
    store = run(tmp_path / "a.parquet", text="t.fr", keep=["t.n"])
    for text in (True, False):
        found = frame(store, text=text)
        assert found["t.n"] == [3, None]
        assert ("text" in found) is text
        assert "t.fr" not in found


@pf.map_block(
    fields=[
        pf.Field("grid", "float16", (2, 3), dims=("side", "place"), labels={"side": ("l", "r")}),
        pf.Field("word", "string"),
        pf.Field("reason", "int64"),
        pf.Field("dhatu_RELATE", "uint8"),
    ]
)
def own(text):
    rows = len(text)
    return (
        np.arange(6 * rows, dtype="float16").reshape(rows, 2, 3),
        np.array([one[:1] for one in text.to_strings()], object),
        np.full(rows, 2**62 + 1),
        np.full(rows, 200, "uint8"),
    )


def test_user_fields_are_spread_over_distinct_columns(run, tmp_path):
    rows = [
        {
            "text": "à",
            "dhatu": "d",
            "digest": "e",
            "grid_l_0": "f",
            "valid_corpus": "g",
            "valid": "h",
        },
        {"text": None, "lang": "fr"},
    ]
    write_jsonl(tmp_path / "c.jsonl", rows)
    store = run(tmp_path / "c.jsonl", pf.default_graph() + own, keep=["lang"])
    found = frame(store)
    for side, first in (("l", 0), ("r", 3)):
        assert [found[f"grid_{side}_{place}"] for place in range(3)] == [
            [first + place, None] for place in range(3)
        ]
    assert str(pf.export(store, progress=False)["grid_l_0"].dtype) == "float[pyarrow]"
    assert found["word"] == ["à", None]
    assert found["reason_result"] == [2**62 + 1, None]
    assert found["reason"] == [None, "null text"]
    assert found["dhatu_RELATE_result"] == [200, None]
    assert found["dhatu_RELATE"][0] == pf.peek("à").dhatu["RELATE"]
    own_columns = ["dhatu_corpus", "digest_corpus", "grid_l_0_corpus", "valid_corpus"]
    assert [found[name][0] for name in own_columns] == ["d", "e", "f", "g"]
    assert found["valid_corpus_corpus"] == ["h", None]
    assert list(frame(store, columns=["grid", "word"])) == [
        *(f"grid_{side}_{place}" for side in "lr" for place in range(3)),
        "word",
    ]


def test_columns_are_selected_by_name_or_field_in_order(store):
    found = frame(store[0], columns=["year", "dhatu_FEEL", "dhatu", "id"])
    assert list(found)[:3] == ["year", "dhatu_FEEL", "dhatu_RELATE"]
    assert (len(found), list(found)[-1]) == (11, "id")
    assert found["id"] == [row["id"] for row in store[1]]
    with pytest.raises(
        ColumnNotFound, match="no column 'nope' to export; choose from: id, text, lan"
    ):
        pf.export(store[0], columns=["nope"])
    with pytest.raises(UsageError, match=r"columns=\['id'\]"):
        pf.export(store[0], columns="id")


@pytest.mark.parametrize("how", [{"text": False}, {"columns": ["id", "lang", "digest", "reason"]}])
def test_store_alone_is_exported_without_the_corpus(store, tmp_path, how):
    shutil.rmtree(tmp_path / "corpus")
    with pytest.raises(CorpusChanged, match=r"no longer exists.* --no-text .* what is in"):
        pf.export(store[0], progress=False)
    with pytest.raises(CorpusChanged, match="--no-text"):
        pf.export(store[0], progress=False, columns=["text"])
    found = frame(store[0], **how)
    assert not {"text", "year"} & set(found)
    for name in ("id", "lang"):
        assert found[name] == [row[name] for row in store[1]]
    assert [reason is None for reason in found["reason"]] == [
        row["text"] is not None for row in store[1]
    ]


def test_corpus_columns_are_missing_without_the_corpus(store):
    with pytest.raises(ColumnNotFound, match="no column 'year'"):
        pf.export(store[0], columns=["id", "year"], text=False)


def test_changed_corpus_file_is_refused_without_output(run, tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [{"text": "one"}])
    store = run(tmp_path / "c.jsonl")
    write_jsonl(tmp_path / "c.jsonl", [{"text": "another"}])
    with pytest.raises(CorpusChanged, match="changed after it was indexed"):
        pf.export(store, tmp_path / "o.csv", columns=["text"], progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.jsonl", "out.zarr"]


def test_computed_row_that_cannot_be_read_is_an_error(store, monkeypatch):
    before = storage_rows.Rows.cleaned

    def losing(rows, cleaning):
        return storage_rows.Rows.lost(
            rows.start, rows.start + len(rows), "gone", storage_rows.ColumnSelection("text")
        )

    monkeypatch.setattr(storage_rows.Rows, "cleaned", losing)
    with pytest.raises(CorpusChanged, match="row 0: was computed but can no longer be read: gon"):
        pf.export(store[0], columns=["text"], progress=False)
    monkeypatch.setattr(storage_rows.Rows, "cleaned", before)


def test_rows_not_computed_yet_have_a_reason(run, tmp_path):
    rows = [{"text": None if n == 3 else f"t{n}", "lang": "fr"} for n in range(50)]
    write_jsonl(tmp_path / "c.jsonl", rows)
    store = run(tmp_path / "c.jsonl", keep=["lang"])
    for array in store.glob("*/c"):
        shard = array / "1"
        if shard.exists():
            shutil.rmtree(shard) if shard.is_dir() else shard.unlink()
    done = [n // 16 != 1 for n in range(50)]
    for text in (True, False):
        found = frame(store, text=text)
        assert found["id"] == list(range(50))
        assert found["valid"] == [ok and n != 3 for n, ok in enumerate(done)]
        assert found["reason"] == [
            "null text" if n == 3 else None if ok else "not computed yet"
            for n, ok in enumerate(done)
        ]
        assert [v is not None for v in found["entropy"]] == found["valid"]
    assert found["lang"] == ["fr" if ok else None for ok in done]
    assert frame(store)["lang"] == ["fr"] * 50


@pytest.mark.parametrize("run_rows", [1, 40, 131_072])
def test_every_row_of_a_bad_run_has_its_reason(run, tmp_path, monkeypatch, run_rows):
    rows = [{"text": None if 5 <= n < 40 else f"t{n}"} for n in range(100)]
    write_jsonl(tmp_path / "c.jsonl", rows)
    store = run(tmp_path / "c.jsonl")
    monkeypatch.setattr(shards, "_RANGE_ROWS", run_rows)
    found = frame(store, columns=["reason"])
    assert found["reason"] == ["null text" if 5 <= n < 40 else None for n in range(100)]


@pytest.mark.parametrize("nbytes", [1, 999, 1 << 40])
def test_pieces_are_whole_shards(nbytes):
    layout = shards.StoreLayout((), 1000, 16, "")
    runs = list(layout.read_ranges(nbytes))
    assert [row for start, stop in runs for row in range(start, stop)] == list(range(1000))
    assert all(start % 16 == 0 for start, _ in runs)
    assert len(runs) == (63 if nbytes == 1 << 40 else 1)


def test_kept_column_has_its_stored_kind(run, inline, tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"text": "un", "n": None}])
    store = run(str(tmp_path / "*.parquet"), keep=["n"])
    write_parquet(tmp_path / "b.parquet", [{"text": "deux", "n": 7}])
    corpus = pf.open_corpus(str(tmp_path / "*.parquet"), keep=["n"])
    graph = pf.default_graph()
    pf.submit(graph, corpus, store, client=inline, extend=True, progress=False).result()
    assert frame(store)["n"] == frame(store, text=False)["n"] == [None, "7"]


def test_column_with_mixed_kinds_becomes_strings(run, tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"text": "un", "n": 7}])
    rows = [{"text": f"t{n}"} for n in range(120)] + [{"text": "x", "n": "later"}]
    write_jsonl(tmp_path / "b.jsonl", rows)
    found = frame(run(tmp_path, shard_rows=64))
    assert found["n"] == ["7", *[None] * 120, "later"]


def test_replaced_corpus_file_is_refused(run, tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"text": "un", "n": 7}])
    store = run(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(bytes((tmp_path / "a.parquet").stat().st_size))
    with pytest.raises(CorpusChanged, match="changed after it was indexed"):
        pf.export(store, progress=False)


def test_list_columns_limit_rows_read_at_once(tmp_path, monkeypatch):
    table = pa.table({"text": ["un"] * 400, "tags": [[str(n)] * 9 for n in range(400)]})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False)
    index = pf.open_corpus(tmp_path / "a.parquet").index
    wanted = storage_rows.ColumnSelection("text", (storage_rows.Column("tags", "string"),))
    monkeypatch.setattr(decoder, "BATCH_BYTES", 5000)
    (stretch,) = index.stretches(0, 400)
    batches = list(read_stretch(stretch, pf.open_corpus(tmp_path / "a.parquet").opener, wanted))
    assert max(map(len, batches)) < 100
    assert batches[0].columns["tags"][1].as_py() == json.dumps(["1"] * 9)


def test_exported_text_is_the_hashed_one(run, tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [{"text": " <b>a</b>  word "}, {"text": "x"}])
    clean = pf.Cleaning(markup=True, whitespace=True, min_chars=2, duplicates=True)
    found = frame(run(tmp_path / "c.jsonl", clean=clean))
    assert found["text"] == ["a word", None]
    assert found["duplicate"] == [False, None]
    assert found["reason"] == [None, "1 character, fewer than the 2 asked for"]
    assert found["digest"][0] == pf.peek("a word").digest


@pytest.mark.parametrize("format", ["text", "document"])
def test_files_without_columns_have_texts_and_ids(run, tmp_path, format):
    (tmp_path / "docs").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "docs" / name).write_text(f"{name}\nend\n")
    found = frame(run(tmp_path / "docs", format=format), columns=["id", "text", "valid"])
    if format == "text":
        assert found["text"] == ["a.txt", "end", "b.txt", "end"]
        assert found["id"] == [0, 1, 2, 3]
    else:
        assert found["text"] == ["a.txt\nend\n", "b.txt\nend\n"]
        assert found["id"] == ["a.txt", "b.txt"]


def test_existing_file_is_kept_without_overwrite(store, tmp_path):
    out = tmp_path / "o.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match="already exists; --overwrite"):
        pf.export(tmp_path / "none.zarr", out, progress=False)  # refused before the store is opened
    with pytest.raises(UsageError, match="already exists; --overwrite"):
        pf.export(store[0], out, progress=False)
    assert out.read_text() == "mine"
    pf.export(store[0], out, columns=["id"], overwrite=True, progress=False)
    assert out.read_text().startswith("id\n")


@pytest.mark.slow("half a second for each of eighteen")
@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.parquet"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_stopped_export_keeps_the_existing_file(store, tmp_path, monkeypatch, name, stop):
    monkeypatch.setattr(shards, "_RANGE_ROWS", 16)
    monkeypatch.setattr(module, "_GROUP_ROWS", 1)
    made = []

    def slow(tables):
        for table in tables:
            if made:
                assert len(list(tmp_path.glob(".exporting-*"))) == 1
                raise stop
            made.append(table)
            yield table

    before = module._grouped
    monkeypatch.setattr(module, "_grouped", lambda tables: slow(before(tables)))
    (tmp_path / name).write_text("mine")
    there = sorted(tmp_path.iterdir())
    with pytest.raises((KeyboardInterrupt, OSError)):
        pf.export(store[0], tmp_path / name, overwrite=True, progress=False)
    assert made
    assert sorted(tmp_path.iterdir()) == there
    assert (tmp_path / name).read_text() == "mine"


def test_file_created_during_export_is_kept(store, tmp_path, monkeypatch):
    before = module._grouped

    def appearing(tables):
        (tmp_path / "o.csv").write_text("mine")
        return before(tables)

    monkeypatch.setattr(module, "_grouped", appearing)
    with pytest.raises(UsageError, match="already exists"):
        pf.export(store[0], tmp_path / "o.csv", progress=False)
    assert (tmp_path / "o.csv").read_text() == "mine"
    assert not list(tmp_path.glob(".exporting-*"))


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        ("o.xlsx", None, "ends in .csv, .csv.gz, .jsonl, .jsonl.gz, .parquet"),
        ("o.csv", "xlsx", "one of csv, csv.gz, jsonl, jsonl.gz, parquet"),
        ("none/o.csv", None, "the folder .* does not exist"),
        ("corpus", "csv", "is a folder"),
        ("gs://me:pw@bucket/o.csv", None, "export writes to this machine only"),
    ],
)
def test_unwritable_file_is_refused_before_reading(tmp_path, monkeypatch, out, format, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    with pytest.raises(UsageError, match=words) as caught:
        pf.export(tmp_path / "none.zarr", out, format=format, progress=False)
    assert "pw" not in str(caught.value)


def test_missing_store_is_refused(tmp_path):
    with pytest.raises(ResultsNotFound):
        pf.export(tmp_path / "none.zarr")


def test_a_store_behind_a_url_is_exported(run, tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [{"text": "un"}, {"text": None}])
    found = frame(run(tmp_path / "c.jsonl", out="memory://export/out.zarr"))
    assert (found["text"], found["valid"]) == (["un", None], [True, False])


@pytest.mark.slow("exports 48 MB, twice")
def test_memory_does_not_grow_with_pieces(run, tmp_path, monkeypatch):
    texts = [f"{n} " + "x" * 6000 for n in range(4_000)]
    write_jsonl(tmp_path / "c.jsonl", [{"text": text, "more": text[::-1]} for text in texts])
    store = run(tmp_path / "c.jsonl", shard_rows=64)
    monkeypatch.setattr(module, "_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(shards, "_RANGE_ROWS", 512)
    most = 0
    before = module._pieces

    def watched(source, made):
        nonlocal most
        for piece in before(source, made):
            most = max(most, pa.total_allocated_bytes())
            yield piece

    monkeypatch.setattr(module, "_pieces", watched)
    pa.default_memory_pool().release_unused()
    least = pa.total_allocated_bytes()
    for name in ("o.parquet", "o.csv"):
        pf.export(store, tmp_path / name, progress=False)
        assert most - least < 24e6  # of 48 MB, half of it texts
    assert pq.read_table(tmp_path / "o.parquet")["text"].to_pylist() == texts


def test_command_prints_file_rows_and_columns(store, tmp_path):
    out = tmp_path / "o.csv"
    arguments = ["export", str(store[0]), str(out), "--columns", "id,year", "--columns", "dhatu"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    quarantined = sum(row["text"] is None for row in store[1])
    assert f"rows: 71, {quarantined} of them without results" in ran.output
    assert "1 file(s) could not be read" in ran.output
    assert out.read_text().startswith("id,year,dhatu_RELATE,dhatu_MODAL")
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, "--overwrite" in again.output) == (2, True)
    ran = CliRunner().invoke(app, [*arguments, "--overwrite", "--no-text", "--json"])
    assert (ran.exit_code, "no column 'year'" in ran.output) == (2, True)
    ran = CliRunner().invoke(app, ["export", str(store[0]), str(out), "--overwrite", "--json"])
    assert json.loads(ran.stdout)["rows"] == 71


def test_ctrl_c_ends_the_export_command(store, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_pieces", stopped)
    ran = CliRunner().invoke(app, ["export", str(store[0]), str(tmp_path / "o.csv")])
    assert ran.exit_code == 130


def test_export_imports_no_cluster(store, tmp_path):
    code = (
        "import json, sys, paninifs as pf; pf.export(*sys.argv[1:], progress=False);"
        "print(json.dumps([*sys.modules]))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(store[0]), str(tmp_path / "o.csv")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"dask", "distributed", "xarray"} & set(json.loads(ran.stdout))
