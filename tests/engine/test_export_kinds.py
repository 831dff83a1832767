"""Fields of every kind in exports: pandas, polars, DuckDB and plain text read them."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from kinds import BY_NAME, KINDS, MadeStore, examples

import paninifs as pf
from paninifs import Field
from paninifs.engine.report.reading import read
from paninifs.storage.store.reader import ResultsStore

FIELDS = tuple(row.field for row in KINDS)
ROWS = 29


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with arrays of every kind, and what its export should hold, by field."""
    store, arrays = MadeStore(tmp_path_factory.mktemp("made"), ROWS), examples(ROWS)
    store.write(FIELDS, arrays)
    return store, {field.name: python_values(field, arrays) for field in FIELDS}


def python_values(field: Field, arrays) -> list:
    """Return values as Python's own, None where they are missing; of several, the first."""
    values = field.kind.readable(arrays[field.name])
    if field.shape:
        values = values[:, 0]
    known = arrays.get(field.mask, np.ones(ROWS, bool))
    listed = [value.tolist() if field.ragged else value for value in values.tolist()]
    if field.dtype == "datetime64[ns]":  # NumPy has no Python value for it
        listed = values.astype("M8[us]").tolist()
    return [value if is_known else None for value, is_known in zip(listed, known, strict=True)]


def column_of(field: Field) -> str:
    return f"{field.name}_0" if field.shape else field.name


@pytest.fixture(scope="module")
def parquet(made):
    store, _ = made
    path = store.folder / "all.parquet"
    pf.export(store.url, path, progress=False)
    return path


def test_every_kind_has_its_type_in_parquet(parquet):
    schema = pq.read_schema(parquet)
    for row in KINDS:
        # Parquet has no seconds, and its own name for the items of a list.
        wanted = row.arrow.replace("[s]", "[ms]").replace("<item:", "<element:")
        assert str(schema.field(column_of(row.field)).type) == wanted, row.field
    assert not {f"{name}_valid" for name in BY_NAME} & set(schema.names)  # they are nulls


READERS = {
    "pyarrow": lambda path: pq.read_table(path).to_pydict(),
    "polars": lambda path: pl.read_parquet(path).to_dict(as_series=False),
    "duckdb": lambda path: duckdb.sql(f"select * from '{path}'").to_arrow_table().to_pydict(),
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_of_parquet_see_every_kind(made, parquet, reader):
    _, wanted = made
    columns = READERS[reader](parquet)
    for field in FIELDS:
        got = columns[column_of(field)]
        if field.dtype == "datetime64[ns]":
            got = [pd.Timestamp(one).to_datetime64().astype("M8[us]").item() for one in got]
        assert got == wanted[field.name], field


def test_a_frame_has_arrow_columns_and_categoricals(made):
    store, wanted = made
    frame = pf.export(store.url, text=False, progress=False)
    for row in KINDS:
        field = row.field
        column = frame[column_of(field)]
        got = [
            None if isinstance(one, float | type(pd.NA)) and pd.isna(one) else one
            for one in column.tolist()
        ]
        if field.ragged:
            got = [one if one is None else list(one) for one in got]
        if field.array_dtype.kind == "M" or (field.ragged and "datetime" in field.dtype):
            continue  # pandas has its own Timestamp; compared below
        assert got == wanted[field.name], field
        assert isinstance(column.dtype, pd.CategoricalDtype) == (field.categories is not None)
    moments = frame["x_datetime64_us_nullable"]
    assert [None if pd.isna(one) else pd.Timestamp(one).to_pydatetime() for one in moments] == (
        wanted["x_datetime64_us_nullable"]
    )


def test_json_lines_hold_lists_base64_and_iso_dates(made):
    store, wanted = made
    pf.export(store.url, store.folder / "all.jsonl", progress=False)
    lines = (store.folder / "all.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == ROWS
    for field in FIELDS:
        got = [row[column_of(field)] for row in rows]
        if "datetime64" in field.dtype:
            got = [from_iso(one) for one in got]
        raw = [
            base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in wanted[field.name]
        ]
        assert got == raw, field
    assert rows[0]["x_datetime64_ns"].startswith("1970-01-01T00:00:00.0000000")


def from_iso(value):
    """Return a moment, or a list of them, read from JSON."""
    if isinstance(value, list):
        return [from_iso(one) for one in value]
    return value and dt.datetime.fromisoformat(value)


def test_csv_holds_lists_as_json_and_bytes_as_base64(made):
    store, wanted = made
    pf.export(store.url, store.folder / "all.csv", progress=False)
    with (store.folder / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["x_int32_ragged"]) for row in rows] == wanted["x_int32_ragged"]
    moments = [from_iso(json.loads(row["x_datetime64_s_ragged"])) for row in rows]
    assert moments == wanted["x_datetime64_s_ragged"]
    assert [from_iso(row["x_datetime64_s"]) for row in rows] == wanted["x_datetime64_s"]
    assert [base64.b64decode(row["x_bytes"]) for row in rows] == wanted["x_bytes"]
    assert [row["x_category_nullable"] or None for row in rows] == wanted["x_category_nullable"]
    assert [row["x_int32_nullable"] and int(row["x_int32_nullable"]) for row in rows] == [
        "" if one is None else one for one in wanted["x_int32_nullable"]
    ]


def test_json_lines_have_null_for_what_json_cannot_hold(tmp_path):
    store = MadeStore(tmp_path, 3)
    values = np.array([np.nan, np.inf, 1], "float32")
    lists = Field("l", "float32", ragged=True)
    ragged = lists.filled(3)
    ragged[1] = np.array([np.nan, 2], "float32")
    store.write([Field("x", "float32"), lists], {"x": values, "l": ragged})
    pf.export(store.url, tmp_path / "o.jsonl.gz", text=False, progress=False)
    frame = pd.read_json(tmp_path / "o.jsonl.gz", lines=True)
    assert frame["x"].isna().tolist() == [True, True, False]
    assert frame["l"].tolist() == [[], [None, 2.0], []]


@pytest.mark.slow("draws every plot of a report")
def test_a_report_summarises_numbers_and_groups_by_categories(made):
    store, _ = made
    pf.report(store.url, store.folder / "report.html", by="x_category")
    page = (store.folder / "report.html").read_text("utf-8")
    assert "x_int32_nullable" in page
    assert "sanskrit védique" in page
    assert "x_int32_ragged (lists of int32)" in page  # not drawn


@pytest.mark.parametrize(
    "name", ["x_string", "x_bytes", "x_bool_nullable", "x_S4", "x_datetime64_s", "x_category"]
)
def test_texts_are_grouped_by_values_of_any_kind(made, name):
    store, wanted = made
    found = read(ResultsStore.open(store.url), by=name).grouping
    assert found.values == len({*wanted[name]})


def test_missing_numbers_do_not_count_in_a_report(tmp_path):
    field = Field("n", "int32", nullable=True)
    vector = Field("v", "int32", (2,), nullable=True)
    store = MadeStore(tmp_path, 4)
    known = np.array([True, False, True, False])
    values = np.array([10, 0, 20, 0], "int32")
    store.write(
        [field, vector],
        {"n": values, "n_valid": known, "v": np.stack([values, values], 1), "v_valid": known},
    )
    found = read(ResultsStore.open(store.url))
    (numbers,) = found.distributions
    assert (numbers.mean, numbers.least, numbers.count, numbers.not_finite) == (15, 10, 2, 2)
    assert {(one.mean, one.least) for one in found.components[0].shown} == {(15, 10)}
    assert found.lowest == [(0, 10.0), (2, 20.0)]


def test_a_list_is_not_offered_to_group_by(made):
    store, _ = made
    with pytest.raises(pf.errors.ColumnNotFound, match="no array 'x_int32_ragged'"):
        pf.report(store.url, store.folder / "no.html", by="x_int32_ragged")
