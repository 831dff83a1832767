"""Stores with fields of every kind: opened, resumed, extended, mirrored, verified and estimated."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kinds import KINDS, MadeStore, examples

import paninifs as pf
from paninifs import Field
from paninifs.engine.rehearsal.estimate import store_bytes
from paninifs.engine.results.overview import overview
from paninifs.storage.kinds.table import kind_of
from paninifs.storage.store import mirror
from paninifs.storage.store.dataset import StoredArrays, read_summary
from paninifs.storage.store.keys import shard_key
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.local import LocalTarget

FIELDS = tuple(row.field for row in KINDS)
ROWS = 29


@pytest.fixture
def made(tmp_path):
    """A store with arrays of every kind, and the arrays."""
    store, arrays = MadeStore(tmp_path, ROWS), examples(ROWS)
    store.write(FIELDS, arrays)
    return store, arrays


def test_open_results_shows_every_kind_as_users_know_it(made):
    store, arrays = made
    dataset = pf.open_results(store.url)
    for row in KINDS:
        field, opened = row.field, dataset[row.field.name]
        assert opened.dtype.kind in row.opened, field
        assert opened.chunks is not None  # nothing was read
        values, got = field.kind.readable(arrays[field.name]), opened.values
        known = arrays[field.mask] if field.nullable else np.ones(ROWS, bool)
        kind = kind_of("string") if field.categories else field.kind
        assert not kind.unequal(values[known], got[known]).any(), field
        if field.dtype.startswith("float") and field.nullable:
            assert np.isnan(got[~known]).all()
        assert not {"ragged", "fixed", "flag_values"} & {*opened.attrs}


def test_categories_become_a_categorical_of_pandas(made):
    store, arrays = made
    lang = pf.open_results(store.url)["x_category"]
    column = pd.Categorical(lang.values, categories=lang.attrs["categories"])
    assert column.codes.tolist() == arrays["x_category"].tolist()
    plain = xr.open_zarr(store.url)["x_category"]
    again = pd.Categorical.from_codes(plain.values, plain.attrs["categories"])
    assert again.tolist() == column.tolist()


def test_an_array_of_the_users_own_with_such_attributes_is_left_alone(made):
    store, _ = made
    own = pf.open_results(store.url)[["x_category", "x_int64"]].load()
    own = own.drop_vars("id").rename(x_category="mine", x_int64="other")
    own["mine"] = own["mine"].astype("U")
    own["other"].attrs["ragged"] = own["mine"].attrs["fixed"] = "no dtype"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr-python, for fixed strings
        own.to_zarr(store.url, mode="a", consolidated=True)
    again = pf.open_results(store.url)
    assert again["mine"].values.tolist() == own["mine"].values.tolist()
    assert again["other"].values.tolist() == own["other"].values.tolist()


def test_a_store_is_resumed_shard_by_shard(tmp_path):
    store, arrays = MadeStore(tmp_path, ROWS), examples(ROWS)
    assert store.write(FIELDS, arrays, shards_written=2) == [0, 1]
    assert store.write(FIELDS, arrays) == [2, 3]
    assert store.write(FIELDS, arrays) == []
    assert pf.verify(store.url).passed


def test_a_store_is_extended(tmp_path):
    store, arrays = MadeStore(tmp_path, ROWS), examples(50)
    store.write(FIELDS, {name: values[:ROWS] for name, values in arrays.items()})
    store.add_texts(ROWS, 50)
    assert store.write(FIELDS, arrays, existing="extend") == [3, 4, 5, 6]
    stored = StoredArrays(store.target)
    for field in FIELDS:
        assert not field.kind.unequal(arrays[field.name], stored[field.name][:]).any()
    assert pf.verify(store.url).passed


def test_a_mirror_has_the_same_objects(made, tmp_path):
    store, _ = made
    copy = LocalTarget(tmp_path / "mirror.zarr")
    with Lease.acquire(copy) as lease:
        for shard in mirror.follow(store.store, copy, lease.ticket):
            mirror.copy_shard(store.target, copy, store.store.layout, shard)
        mirror.complete(store.store, copy, lease.ticket)
    assert pf.verify(tmp_path / "mirror.zarr").passed
    for field in FIELDS:
        for shard in range(4):
            key = shard_key(field, shard)
            assert copy.get(key) == store.target.get(key)


@pytest.mark.parametrize(
    "name", ["x_int32_ragged", "x_bytes", "x_category", "x_bool_nullable_valid"]
)
def test_verify_finds_a_changed_byte(made, name):
    store, _ = made
    assert pf.verify(store.url).passed
    path = store.url / name / "c" / "1"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (problem,) = pf.verify(store.url).problems
    assert problem.startswith(f"{name}/c/1 ")


def test_the_manifest_describes_every_kind(made):
    store, _ = made
    manifest = read_manifest(store.target)
    assert manifest.fields == tuple(
        Field.described(json.loads(json.dumps(field.describe()))) for field in FIELDS
    )
    assert [field.kind.array_dtype for field in manifest.fields] == [
        field.array_dtype for field in FIELDS
    ]
    assert {field.name for field in manifest.layout(store.store.index).fields} >= {
        array.name for field in FIELDS for array in field.arrays
    }


def test_an_overview_names_the_kinds_and_ranks_by_known_numbers(made):
    store, arrays = made
    shown = overview(store.url, by="x_int32_nullable", top=40)
    assert shown.arrays["x_int32_ragged"] == f"lists of int32 [{ROWS}]"
    assert shown.arrays["x_category_nullable"] == f"nullable category of 3 [{ROWS}]"
    known = arrays["x_int32_nullable_valid"]
    assert {one.row for one in shown.ranked} == {*np.flatnonzero(known).tolist()}


def test_an_estimate_counts_lists_as_they_were_and_wide_rows_in_their_chunks(tmp_path):
    fields = [
        Field("lists", "int32", ragged=True, compress=False),
        Field("wide", "float32", (1024,), compress=False),
    ]
    store = MadeStore(tmp_path, ROWS, shard_rows=4096)
    store.write(fields, {field.name: field.filled(ROWS) for field in fields})
    sizes = store.target.sizes()
    summary = read_summary(store.target)
    assert store_bytes(store.store.layout, sizes, summary) == pytest.approx(
        sum(sizes.values()), abs=2
    )
    assert sizes["wide/c/0/0"] < 1024 * 1024 * 4 + 200  # one chunk of a shard of four
    assert store.store.layout.chunk_bytes == read_manifest(store.target).chunk_bytes > 0


def test_a_store_of_wide_rows_from_before_keeps_its_chunks(tmp_path, monkeypatch):
    """Its manifest does not say how large a chunk may be."""
    field = Field("wide", "float32", (1024,))
    store = MadeStore(tmp_path, ROWS, shard_rows=4096)
    values = np.arange(ROWS * 1024, dtype="f4").reshape(ROWS, 1024)
    with monkeypatch.context() as before:
        before.setattr("paninifs.storage.store.lifecycle.new_chunk_bytes", lambda _: 0)
        store.write([field], {"wide": values}, shards_written=0)
    assert store.write([field], {"wide": values}) == [0]
    opened = pf.open_results(store.url)["wide"]
    assert opened.encoding["chunks"] == (4096, 1024)
    assert np.array_equal(opened, values)
    assert "chunk_bytes" not in json.loads(store.target.get("_run/manifest.json"))
