"""Finished stores in the hands of xarray and pandas."""

from __future__ import annotations

import itertools
import json
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf


@pytest.fixture
def stored(inline, tmp_path):
    """Return a function that computes some records; it returns the store."""
    numbers = itertools.count()

    def run(records, **options):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / "c.jsonl").write_text(lines)
        corpus = pf.open_corpus(tmp_path / "c.jsonl", **options)
        store = tmp_path / f"{next(numbers)}.zarr"
        pf.submit(pf.default_graph(), corpus, store, client=inline, progress=False).result()
        return store

    return run


def test_a_dataset_can_be_saved_as_netcdf_and_grouped(stored):
    store = stored([{"text": "a", "lang": "en"}, {"text": "b", "lang": "en"}], keep=["lang"])
    dataset = pf.open_results(store)
    assert all(isinstance(value, str | int) for value in dataset.attrs.values())
    assert not any(isinstance(value, bool) for value in dataset.attrs.values())
    assert json.loads(dataset.attrs["summary"])["done"] == 2
    grouped = dataset[["entropy", "lang"]].load().groupby("lang").mean()
    assert grouped.lang.values.tolist() == ["en"]


def test_attributes_written_back_leave_a_store_complete(stored):
    store = stored([{"text": "a"}])
    dataset = pf.open_results(store)
    with warnings.catch_warnings(action="ignore"):  # zarr's, about what else is in the folder
        dataset[["entropy"]].rename(entropy="mine").to_zarr(store, mode="a")
    with warnings.catch_warnings(action="error", category=pf.errors.ResultsIncomplete):
        assert pf.open_results(store).mine.dtype == "float32"


def test_the_quarantine_is_a_frame_even_if_it_is_empty(stored):
    names = ["row", "rows", "file", "file_row", "reason", "excerpt", "block", "id"]
    empty = pf.quarantine(stored([{"text": "a"}]))
    assert (len(empty), list(empty.columns)) == (0, names)
    (entry,) = pf.quarantine(stored([{"text": "a"}, {"text": None}])).to_dict("records")
    assert (entry["row"], entry["file"], entry["reason"]) == (1, "c.jsonl", "null text")


def test_missing_numbers_are_nan(inline, tmp_path):
    table = pa.table({"text": ["a", "b"], "score": [1.5, None], "n": [2, None]})
    pq.write_table(table, tmp_path / "c.parquet")
    corpus = pf.open_corpus(tmp_path / "c.parquet", keep=["score", "n"])
    store = tmp_path / "s.zarr"
    pf.submit(pf.default_graph(), corpus, store, client=inline, progress=False).result()
    dataset = pf.open_results(store)
    assert dataset.score.mean().compute().item() == 1.5
    assert dataset.score.isnull().values.tolist() == [False, True]
    assert dataset.n.values.tolist() == [2, 0]
    assert dataset.n_valid.values.tolist() == [True, False]
    assert dataset.entropy.notnull().all()
