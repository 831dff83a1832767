"""A run whose blocks return lists, strings, half floats and booleans, from start to export."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
import xarray as xr

import paninifs as pf
from paninifs import Field
from paninifs.engine.results.overview import overview

ROWS = 100


@pf.map_block(
    fields=[
        Field("lengths", "int32", ragged=True),
        Field("half", "float16"),
        Field("long", "bool"),
        Field("first", "U3"),
        Field("raw", "bytes"),
        Field("size", "category", categories=("short", "long")),
        Field("moment", "datetime64[s]"),
    ]
)
def kinds(text):
    texts = text.to_strings()
    words = [one.split() for one in texts]
    return {
        "lengths": [[len(word) for word in one] for one in words],
        "half": np.array([len(one) / 8 for one in texts], "float16"),
        "long": np.array([len(one) > 12 for one in texts]),
        "first": np.array([one[:3] for one in texts]),
        "raw": np.array(text.to_bytes(), object),
        "size": ["long" if len(one) > 12 else "short" for one in texts],
        "moment": [dt.date(1500 + len(one), 1, 1) for one in texts],
    }


@pf.map_block(fields=[Field("total", "int32"), Field("doubled", "int32", ragged=True)])
def later(lengths, size):
    """A block that gets lists and codes."""
    assert size.dtype == np.int8
    return np.array([one.sum() for one in lengths], "int32"), [2 * one for one in lengths]


def texts(start: int, stop: int) -> list[str]:
    return ["word " * (n % 4) + f"number {n}" for n in range(start, stop)]


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(texts(0, ROWS)) + "\n")
    return folder


@pytest.fixture
def submit(inline, tmp_path):
    def submit(corpus, **options):
        return pf.submit(
            kinds + later,
            pf.open_corpus(corpus),
            tmp_path / "out.zarr",
            client=inline,
            shard_rows=16,
            progress=False,
            mirror=tmp_path / "mirror.zarr",
            **options,
        ).result()

    return submit


def check(store, rows: int) -> None:
    """Compare a store with what its blocks compute."""
    wanted = texts(0, rows)
    lengths = [[len(word) for word in one.split()] for one in wanted]
    dataset = pf.open_results(store)
    assert dataset["valid"].values.all()
    assert [one.tolist() for one in dataset["lengths"].values] == lengths
    assert [one.tolist() for one in dataset["doubled"].values] == [
        [2 * n for n in one] for one in lengths
    ]
    assert dataset["total"].values.tolist() == [sum(one) for one in lengths]
    assert dataset["half"].values.tolist() == [len(one) / 8 for one in wanted]
    assert dataset["first"].values.tolist() == [one[:3] for one in wanted]
    assert dataset["raw"].values.tolist() == [one.encode() for one in wanted]
    assert dataset["size"].values.tolist() == [
        "long" if len(one) > 12 else "short" for one in wanted
    ]
    assert dataset["moment"].dt.year.values.tolist() == [1500 + len(one) for one in wanted]
    plain = xr.open_zarr(store)["lengths"]
    assert [np.frombuffer(one, plain.attrs["ragged"]).tolist() for one in plain.values] == lengths
    assert pf.verify(store).passed


def test_a_run_returns_every_kind(submit, corpus, tmp_path):
    submit(corpus)
    for store in ("out.zarr", "mirror.zarr"):
        check(tmp_path / store, ROWS)
    assert overview(tmp_path / "out.zarr").arrays["doubled"] == f"lists of int32 [{ROWS}]"


def test_a_run_is_resumed_and_extended(submit, corpus, tmp_path):
    submit(corpus)
    whole = (tmp_path / "out.zarr" / "lengths" / "c" / "2").read_bytes()
    for lost in ("_run/done/00000002.json", "lengths/c/2"):
        (tmp_path / "out.zarr" / lost).unlink()
        (tmp_path / "mirror.zarr" / lost).unlink()
    submit(corpus)
    assert (tmp_path / "out.zarr" / "lengths" / "c" / "2").read_bytes() == whole
    (corpus / "b.txt").write_text("\n".join(texts(ROWS, 130)) + "\n")
    submit(corpus, extend=True)
    for store in ("out.zarr", "mirror.zarr"):
        check(tmp_path / store, 130)


def test_an_export_joins_kinds_with_texts(submit, corpus, tmp_path):
    submit(corpus)
    pf.export(tmp_path / "out.zarr", tmp_path / "all.parquet", progress=False)
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert frame["text"].to_list() == texts(0, ROWS)
    assert frame["raw"].to_list() == [one.encode() for one in texts(0, ROWS)]
    assert frame["lengths"].list.sum().to_list() == frame["total"].to_list()
    assert frame["half"].dtype == pl.Float32


def test_a_row_without_a_text_has_nothing(submit, corpus, tmp_path):
    (corpus / "a.txt").write_bytes(b"one two\n\xff\xfe\nthree\n")
    submit(corpus)
    dataset = pf.open_results(tmp_path / "out.zarr")
    assert dataset["valid"].values.tolist() == [True, False, True]
    assert [one.tolist() for one in dataset["lengths"].values] == [[3, 3], [], [5]]
    assert dataset["size"].values.tolist() == ["short", "", "short"]
    assert np.isnat(dataset["moment"].values).tolist() == [False, True, False]
    frame = pf.export(tmp_path / "out.zarr", text=False, progress=False)
    assert frame["lengths"].isna().tolist() == [False, True, False]
    assert frame["size"].isna().tolist() == [False, True, False]


@pf.map_block(fields=[Field("even", "float32", nullable=True)])
def even(text):
    return [None if len(one) % 2 else float(len(one)) for one in text]


@pf.map_block(fields=[Field("with_mask", "float32"), Field("known", "bool")])
def with_mask(even, even_valid):
    return even, even_valid


@pf.map_block(fields=[Field("for_some", "float32")], when="even_valid")
def for_some(even):
    return even + 1


def test_a_later_block_takes_missing_floats_as_zeros_with_a_mask(inline, tmp_path):
    corpus = pf.open_corpus(texts=["abcd", "abc", "ab"])
    graph = pf.Graph((even, with_mask, for_some))
    options = {"client": inline, "progress": False}
    pf.submit(graph, corpus, tmp_path / "out.zarr", **options).result()
    found = pf.open_results(tmp_path / "out.zarr")
    assert found["with_mask"].values.tolist() == [4, 0, 2]
    assert found["known"].values.tolist() == [True, False, True]
    assert found["for_some"].values.tolist() == [5, 0, 3]
