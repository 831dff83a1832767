"""A graph of five stages gives the same bits on every cluster, and as plain NumPy."""

from __future__ import annotations

import gzip
import json

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from paths import GLOSSES

import paninifs as pf
from paninifs.engine.run.stages.reducing import SPLIT_EVERY
from paninifs.storage.targets.local import LocalTarget

KINDS = ("n", "v", "a", "r", "s")
SHARD_ROWS = 128


@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    return np.array([len(one.split()) for one in text.to_strings()], "int32")


@pf.reduce_block
def profile(results):
    """Return the mean weights of every part of speech, and how often each occurs."""
    masks = {kind: results.kind == kind for kind in KINDS}
    means = [results.dhatu.where(mask).mean("text") for mask in masks.values()]
    counts = [mask.sum("text") for mask in masks.values()]
    found = {"mean": xr.concat(means, "part"), "count": xr.concat(counts, "part")}
    return xr.Dataset(found).assign_coords(part=list(KINDS))


@pf.map_block(fields=[pf.Field("distance", "float32")])
def distance(dhatu, kind, profile):
    at = [KINDS.index(one) for one in kind]
    return np.sqrt(((dhatu - profile["mean"].values[at]) ** 2).sum(axis=1)).astype("float32")


@pf.reduce_block
def farthest(results):
    return results.distance.max("text")


@pf.map_block(fields=[pf.Field("size", "int32")])
def size(text):
    """Only the lengths, in arrays of the backend."""
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


@pf.reduce_block
def mean_size(results):
    return results["size"].mean("text")


@pf.map_block(fields=[pf.Field("relative", "float64")])
def relative(size, mean_size):
    return size / mean_size


@pf.reduce_block
def total(results):
    return results.relative.sum("text")


FIVE = pf.default_graph() + n_words + profile + distance + farthest
ON_A_DEVICE = pf.default_graph() + size + mean_size + relative + total


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("glosses") / "glosses.parquet"
    with gzip.open(GLOSSES, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    kinds = [KINDS[hash_of(row["text"]) % len(KINDS)] for row in rows]
    columns = {"id": [row["id"] for row in rows], "text": [row["text"] for row in rows]}
    pq.write_table(pa.table({**columns, "kind": kinds}), path, row_group_size=256)
    return pf.open_corpus(path, keep=["kind"])


def hash_of(text):
    return sum(text.encode())


def objects(store):
    """The bytes of all values."""
    target = LocalTarget(store)
    return {
        key: target.get(key)
        for key in target.sizes()
        if "/c/" in key or key.startswith("reductions/")
    }


CLUSTERS = {
    "1 thread": ("threads", {"workers": 1}),
    "4 threads": ("threads", {"threads": 4}),
    "1 process": ("cpu", {"workers": 1}),
    "4 processes": ("cpu", {"workers": 4}),
}


@pytest.mark.soak("four clusters")
def test_five_stages_are_the_same_on_every_cluster(corpus, tmp_path):
    stores = {}
    for name, (kind, options) in CLUSTERS.items():
        store = tmp_path / name
        with pf.connect(kind, quiet=True, **options) as client:
            pf.submit(
                FIVE, corpus, store, client=client, shard_rows=SHARD_ROWS, progress=False
            ).result()
        stores[name] = objects(store)
    first = stores["1 thread"]
    assert all(other == first for other in stores.values())
    assert_as_plain_numpy(tmp_path / "1 thread")


def assert_as_plain_numpy(store):
    """Compare a store of `FIVE` with what NumPy and xarray compute from its finished arrays.

    The same sums are added in the same order: over each shard, and then over the shards.
    """
    found = pf.open_results(store).load()
    profile_, kinds = pf.open_reduction(store, "profile"), found.kind.values
    mean = profile_["mean"].values
    for at, kind in enumerate(KINDS):
        chosen = found.dhatu.values[kinds == kind]
        assert profile_["count"].values[at] == len(chosen)
        np.testing.assert_allclose(mean[at], chosen.mean(axis=0, dtype="f8"), rtol=2e-6)
    at = [KINDS.index(kind) for kind in kinds]
    wanted = np.sqrt(((found.dhatu.values - mean[at]) ** 2).sum(axis=1)).astype("float32")
    np.testing.assert_array_equal(found.distance.values, wanted)
    assert pf.open_reduction(store, "farthest").item() == wanted.max()
    chunked = found[["dhatu", "kind"]].chunk(text=SHARD_ROWS)
    with dask.config.set(split_every=SPLIT_EVERY):
        again = profile(chunked).compute(scheduler="synchronous")
    np.testing.assert_array_equal(again["mean"].values, mean)


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.usefixtures("cuda_on_host")
@pytest.mark.slow("two runs of five stages")
def test_five_stages_are_the_same_on_a_device(corpus, inline, tmp_path, backend):
    options = {"client": inline, "shard_rows": SHARD_ROWS, "progress": False}
    for name in ("cpu", backend):
        pf.submit(ON_A_DEVICE, corpus, tmp_path / name, backend=name, **options).result()
    assert objects(tmp_path / "cpu") == objects(tmp_path / backend)
    found = pf.open_results(tmp_path / "cpu").load()
    mean = found["size"].values.mean()
    np.testing.assert_array_equal(found.relative.values, found["size"].values / mean)
