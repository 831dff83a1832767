"""Nearest neighbours: exact among near ties, the same bits however they are cut, few in memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from lazy_texts import in_shards
from test_reductions_limits import Chunks

import paninifs as pf
from paninifs.graphs.reductions import closest, neighbours

METRICS = ("cosine", "euclidean")


def lazily(values, *sizes, rows=None):
    coords = {} if rows is None else {"row": ("text", np.asarray(rows))}
    return in_shards(xr.Dataset({"x": (("text", "axis"), values)}, coords), *sizes or [len(values)])


def found_in(values, *sizes, k=5, metric="cosine", rows=None):
    block = pf.neighbours("x", k=k, metric=metric)
    return block(lazily(values, *sizes, rows=rows)).compute(scheduler="sync")


def brute_force(values, metric, k):
    """Compare all with all in float64, summed in the order of the values."""
    values = values.astype("float64")
    one, two = values[:, np.newaxis], values[np.newaxis]
    terms = one * two if metric == "cosine" else (one - two) ** 2
    keys = sum(terms[..., axis] for axis in range(values.shape[1]))
    if metric == "cosine":
        squares = sum(column * column for column in values.T)
        keys = -np.minimum(keys / np.sqrt(squares[:, np.newaxis] * squares), 1.0)
    np.fill_diagonal(keys, np.inf)
    rows = np.argsort(keys, axis=1, kind="stable")[:, :k]
    keys = np.take_along_axis(keys, rows, 1)
    return rows, (1 + keys if metric == "cosine" else np.sqrt(keys)).astype("float32")


def near_ties(metric):
    """Return vectors whose distances differ by less than float32 resolves, in two far groups."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 24)) * 1e-6 + rng.normal(size=24)
    values[::2] += 3
    return values + (1000 if metric == "euclidean" else 0)


@pytest.mark.parametrize("metric", METRICS)
def test_near_ties_are_ordered_exactly(metric):
    values = near_ties(metric)
    found = found_in(values, 150, 250, metric=metric)
    rows, distances = brute_force(values, metric, 5)
    np.testing.assert_array_equal(found.neighbour.values, rows)
    np.testing.assert_array_equal(found.distance.values, distances)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint8"])
def test_any_numbers_are_compared_exactly(metric, dtype):
    rng = np.random.default_rng(2)
    values = (rng.normal(size=(200, 6)) * 20 + 40).astype(dtype)
    found = found_in(values, 77, 123, metric=metric)
    np.testing.assert_array_equal(found.neighbour.values, brute_force(values, metric, 5)[0])


@pytest.mark.parametrize("metric", METRICS)
def test_bits_do_not_depend_on_shards_blocks_or_tiles(metric, monkeypatch):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(150, 20)).astype("float32")
    values[100:120] = values[:20]
    expected = found_in(values, metric=metric)
    cuts = ((64, 31, [150]), (33, 100, [1, 0, 9, 140]), (150, 19, [75, 75]))
    for block_texts, tile_texts, sizes in cuts:
        monkeypatch.setattr(neighbours, "BLOCK_TEXTS", block_texts)
        monkeypatch.setattr(closest, "TILE_TEXTS", tile_texts)
        found = found_in(values, *sizes, metric=metric)
        assert found.identical(expected)
        assert found.distance.values.tobytes() == expected.distance.values.tobytes()


def test_bits_do_not_depend_on_the_matrix_product(monkeypatch):
    """A product with other rounding errors than NumPy's, such as those of another processor."""
    values = near_ties("cosine").astype("float32")
    expected = found_in(values)
    exactly = closest._rough

    def otherwise(block, others, centre):
        rough = exactly(block, others, centre)
        rng = np.random.default_rng(len(block.rows))
        noise = rng.uniform(-1, 1, rough.keys.shape) * rough.error[:, np.newaxis] / 2
        return rough._replace(keys=(rough.keys + noise).astype("float32"))

    monkeypatch.setattr(closest, "_rough", otherwise)
    assert found_in(values).identical(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_texts_come_in_the_order_of_their_rows(metric):
    values = np.ones((50, 3), "float32")
    values[10] = 2, 1, 1
    found = found_in(values, 5, 20, 25, k=4, metric=metric)
    assert found.neighbour.values[0].tolist() == [1, 2, 3, 4]
    assert found.neighbour.values[2].tolist() == [0, 1, 3, 4]
    assert found.neighbour.values[49].tolist() == [0, 1, 2, 3]
    assert found.distance.values[0].tolist() == [0, 0, 0, 0]


def test_equal_texts_do_not_slow_a_shard_down(monkeypatch):
    """Only a few of a thousand equal texts are compared exactly."""
    compared = []
    exact = closest._exact
    monkeypatch.setattr(
        closest, "_exact", lambda *given: compared.append(len(given[2])) or exact(*given)
    )
    found_in(np.ones((1000, 3), "float32"), k=4)
    assert sum(compared) <= 1000 * 5


def test_texts_without_a_direction_have_no_neighbours():
    values = np.eye(4, dtype="float32")[[0, 0, 1, 2, 3, 0]]
    values[2] = 0
    values[3, 0] = np.nan
    values[4, 1] = np.inf
    found = found_in(values, 3, 3, k=5)
    assert found.neighbour.values[2:5].tolist() == [[-1] * 5] * 3
    assert np.isnan(found.distance.values[2:5]).all()
    assert found.neighbour.values[0].tolist() == [1, 5, -1, -1, -1]
    distances = found_in(values, 3, 3, k=5, metric="euclidean")
    assert distances.neighbour.values[2].tolist() == [0, 1, 5, -1, -1]
    assert distances.neighbour.values[3].tolist() == [-1] * 5


@pytest.mark.parametrize("scale", [1e-40, 1e-60, 1e70])
def test_lengths_of_vectors_do_not_matter_for_the_cosine(scale):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(100, 5))
    expected = found_in(values).neighbour.values
    np.testing.assert_array_equal(found_in(values * scale).neighbour.values, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_one_far_text_does_not_hide_the_near_ones(metric):
    values = near_ties(metric)[:60]
    values[7] *= 1e6
    found = found_in(values, 30, 30, metric=metric)
    np.testing.assert_array_equal(found.neighbour.values, brute_force(values, metric, 5)[0])


@pytest.mark.parametrize("shape", [(3, 1), (1, 3)])
def test_vectors_are_not_changed(shape):
    values = np.array([1.0, np.nan, 0.0]).reshape(shape)
    values.flags.writeable = False
    found = closest.vectors_of(values, np.arange(shape[0]), "cosine")
    assert found.usable.tolist() == ([True, False, False] if shape == (3, 1) else [False])


def test_rows_are_those_of_the_corpus():
    rows = [3, 4, 9, 100]
    values = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], "float32")
    found = found_in(values, 2, 2, k=2, rows=rows)
    assert found.row.values.tolist() == rows
    assert found.neighbour.sel(row=100).values.tolist() == [4, 9]
    aligned = found.reindex(row=range(101), fill_value={"neighbour": -1, "distance": np.nan})
    assert aligned.neighbour.values[[0, 3, 100], 0].tolist() == [-1, 9, 4]


def test_every_block_reads_every_shard_once_and_keeps_few(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_TEXTS", 8)
    chunks, shards = Chunks(), 24
    starts = da.arange(shards * 4, chunks=4)[:, np.newaxis]
    values = starts.map_blocks(
        chunks, chunks=((4,) * shards, (3,)), dtype="float64", meta=np.empty((0, 0))
    )
    lazy = xr.Dataset({"x": (("text", "axis"), values)})
    pf.neighbours("x", k=2)(lazy).compute(scheduler="sync")
    assert len(chunks.read) == 12 * shards
    for number in range(12):
        assert len({*chunks.read[number * shards : (number + 1) * shards]}) == shards
    assert chunks.most <= 5


def test_a_refusal_says_how_long_it_would_take():
    values = da.zeros((1_000_000, 384), chunks=(100_000, 384), dtype="float32")
    with pytest.raises(
        pf.errors.GraphError,
        match=r"the neighbours of 1,000,000 texts by 'x' need about 7\.0 hours of one core.*"
        r"the limit is 200,000 texts. Raise it \(limit=1000000\)",
    ):
        pf.neighbours("x")(xr.Dataset({"x": (("text", "axis"), values)}))
