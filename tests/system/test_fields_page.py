"""The page about fields: every line of its table is run, and its figures are right."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import xarray as xr
from kinds import MadeStore
from paths import REPOSITORY

import paninifs as pf
from paninifs import Field
from paninifs.graphs.user_functions.returned import arrays_of
from paninifs.storage.corpus.partition import MAX_SHARD_BYTES, Sharding
from paninifs.storage.kinds.ragged import ITEMS_EXPECTED
from paninifs.storage.kinds.strings import Bytes
from paninifs.storage.store.encoding import CHUNK_BYTES

PAGE = (REPOSITORY / "deploy" / "docs" / "fields.md").read_text("utf-8")
LINES = [
    [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "Field(" in line
]

IN_R = {
    "bool": "logical",
    "int32": "integer",
    "float": "numeric",
    "double": "numeric",
    "string": "character",
    "binary": "arrow_binary",
    "timestamp[ms]": "POSIXct",
}
"""What the R package arrow documents for a type."""


def code(cell: str) -> str:
    return cell.strip("`")


def shown(dtype) -> str:
    """Return a dtype as the page writes it; versions of xarray and NumPy differ for strings."""
    return "strings" if str(dtype).startswith("StringDType") else str(dtype)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_a_line_of_the_table(tmp_path, line):
    _, declared, returned, plain, opened, pandas, polars, in_r = line
    field = eval(code(declared), {"Field": Field})
    value = eval(code(returned), {"np": np, "pd": pd})
    store = MadeStore(tmp_path, 2)
    store.write([field], arrays_of(field, value, 2))
    strings = field.dtype == "string" or field.dtype.startswith("U")
    for cell, dataset in ((plain, xr.open_zarr(store.url)), (opened, pf.open_results(store.url))):
        seen = shown(dataset["x"].dtype)
        assert seen == code(cell) or (strings and cell == "strings" and seen == "object")
    frame = pf.export(store.url, text=False, progress=False)
    assert str(frame["x"].dtype) == code(pandas)
    path = tmp_path / "table.parquet"
    pf.export(store.url, path, text=False, progress=False)
    assert str(pl.read_parquet(path)["x"].dtype).split("(Categories")[0] == code(polars)
    type_ = str(pq.read_schema(path).field("x").type)
    kinds = {"large_list": "list", "dictionary": "factor"}
    assert IN_R.get(type_, kinds.get(type_.split("<", maxsplit=1)[0])) == in_r
    assert frame["x"].isna().tolist() == [False, field.nullable]


def test_every_kind_has_a_line():
    assert len(LINES) == 15


def test_the_figures_of_wide_rows():
    row_bytes = Field("e", "float32", (1024,)).row_bytes
    assert f"{Sharding().choose(10**9, row_bytes):,} texts with 1024 × float32" in PAGE
    assert f"{MAX_SHARD_BYTES >> 20} MiB" in PAGE
    assert f"{CHUNK_BYTES >> 20} MiB" in PAGE
    assert f"{ITEMS_EXPECTED}\nitems and {Bytes.width} bytes" in PAGE


def test_the_block_of_the_page():
    (source,) = [part for part in PAGE.split("```python\n") if "@pf.map_block" in part]
    names: dict = {}
    exec(source.split("```")[0], names)
    tokens, years = (
        arrays_of(field, value, 2)
        for field, value in zip(
            names["words"].fields,
            names["words"].function(pf.PackedText.from_strings(["a few words", "1999"])),
            strict=True,
        )
    )
    assert [one.tolist() for one in tokens["tokens"]] == [[1, 3, 5], [4]]
    assert years["year"].tolist() == [0, 1999]
    assert years["year_valid"].tolist() == [False, True]


def test_the_other_snippets_of_the_page(tmp_path, monkeypatch):
    fields = [
        Field("tokens", "int32", ragged=True),
        Field("year", "int16", nullable=True),
        Field("lang", "category", categories=("fr", "en")),
    ]
    values = [[[1, 2], [3]], [1999, None], ["en", "fr"]]
    arrays = {}
    for field, value in zip(fields, values, strict=True):
        arrays |= arrays_of(field, value, 2)
    store = MadeStore(tmp_path, 2)
    store.write(fields, arrays)
    store.url.rename(tmp_path / "results.zarr")
    monkeypatch.chdir(tmp_path)
    names: dict = {"np": np, "pf": pf}
    results = {}
    for part in PAGE.split("```python\n")[2:]:
        lines = part.split("```")[0].strip().splitlines()
        exec("\n".join(lines[:-1]), names)
        results[lines[-1]] = eval(lines[-1], names)
    year, first, codes = results.values()
    assert np.array_equal(year, [1999, np.nan], equal_nan=True)
    assert first.tolist() == [1, 2]
    assert codes.tolist() == ["en", "fr"]
