"""Ready-made reductions against plain NumPy over whole arrays, and the same bits everywhere."""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr
from lazy_texts import in_shards, texts

import paninifs as pf
from paninifs.graphs.reductions import kmeans as kmeans_module

Q = [0.0, 0.1, 1 / 3, 0.5, 0.999, 1.0]


# --- plain NumPy over the whole arrays ------------------------------------------------------------


def quiet(function):
    """Return a function that does not warn of empty slices."""

    def call(*args, **kwargs):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return call


def numbers(whole, field):
    values = whole[field].values.astype("float64")
    mask = whole.get(f"{field}_valid")
    return values if mask is None else np.where(mask.values, values, np.nan)


def statistics(values):
    """Return mean, spread and count over the first axis."""
    return {
        "mean": np.nanmean(values, axis=0),
        "std": np.nanstd(values, axis=0),
        "count": (~np.isnan(values)).sum(axis=0),
    }


def profile_of(field):
    return quiet(lambda whole: statistics(numbers(whole, field)))


def profile_by(field, by):
    @quiet
    def oracle(whole):
        known = whole[f"{by}_valid"].values
        labels = sorted(set(whole[by].values[known].tolist()))
        values = numbers(whole, field)
        parts = [statistics(values[known & (whole[by].values == label)]) for label in labels]
        empty = np.empty((0, *values.shape[1:]))
        found = {
            key: np.array([part[key] for part in parts] or empty)
            for key in ("mean", "std", "count")
        }
        return found | {by: np.array(labels, whole[by].dtype), "left_out": (~known).sum()}

    return oracle


def histogram_of(field, **options):
    def oracle(whole):
        values = numbers(whole, field)
        columns = values.reshape(len(values), int(np.prod(values.shape[1:]))).T
        finite = values[np.isfinite(values)]
        if "range" not in options and np.ndim(options["bins"]) == 0:
            options_ = options | {"range": (finite.min(), finite.max()) if finite.size else (0, 1)}
        else:
            options_ = options
        both = [np.histogram(column[~np.isnan(column)], **options_) for column in columns]
        counts = np.array([count for count, _ in both])
        return {"count": counts.reshape(*values.shape[1:], -1), "edges": both[0][1]}

    return oracle


def quantiles_of(field):
    @quiet
    def oracle(whole):
        values = numbers(whole, field)
        if not len(values):
            return {"": np.full((len(Q), *values.shape[1:]), np.nan)}
        return {"": np.nanquantile(values, Q, axis=0)}

    return oracle


def finite_rows(whole, field):
    values = numbers(whole, field)
    return values[np.isfinite(values).all(axis=1)]


@quiet
def covariance_of(whole):
    rows = finite_rows(whole, "dhatu")
    covariance = np.cov(rows.T, ddof=1) if len(rows) > 1 else np.full((3, 3), np.nan)
    mean = rows.mean(axis=0) if len(rows) else np.full(3, np.nan)
    return {"covariance": covariance, "mean": mean, "count": len(rows)}


@quiet
def pca_of(whole):
    found = covariance_of(whole)
    if found["count"] < 2:
        return {"variance": np.full(2, np.nan), "count": found["count"]}
    variance, vectors = np.linalg.eigh(found["covariance"])
    vectors = vectors.T[::-1][:2]
    signs = np.sign(vectors[np.arange(2), np.abs(vectors).argmax(axis=1)])
    variance = np.maximum(variance[::-1], 0)
    result = {
        "variance": variance[:2],
        "variance_ratio": variance[:2] / variance.sum(),
        "mean": found["mean"],
        "count": found["count"],
    }
    unique = found["count"] > 3  # else several vectors belong to one value
    return result | ({"components": vectors * signs[:, np.newaxis]} if unique else {})


def top_of(field, smallest=False):
    def oracle(whole):
        values = whole[field].values
        rows = [row for row in range(len(values)) if values[row] == values[row]]
        rows.sort(key=lambda row: (values[row] if smallest else -values[row], row))
        rows, places = rows[:7], min(7, len(values))
        pad = places - len(rows)
        return {
            "value": np.array([*values[rows].tolist(), *[np.nan] * pad]),
            "row": np.array([*rows, *[-1] * pad], "int64"),
            "id": np.array([*whole.id.values[rows], *[""] * pad], object),
        }

    return oracle


def lloyd(whole):
    """Run Lloyd's algorithm from the same first centres."""
    rows = finite_rows(whole, "dhatu")
    if not len(rows):
        return {"centres": np.full((4, 3), np.nan), "count": np.zeros(4, int), "inertia": np.nan}
    kept = np.isfinite(whole.dhatu.values).all(axis=1)
    sample = kmeans_module._sample(whole.dhatu.values, np.arange(len(kept)), 5)
    centres = kmeans_module._first_centres(sample, 4, 5).centres
    for last in [False] * 3 + [True]:
        squares = ((rows[:, None] - centres) ** 2).sum(axis=-1)
        cluster = squares.argmin(axis=1)
        counts = np.bincount(cluster, minlength=4)
        if not last:
            centres = np.array(
                [rows[cluster == k].mean(axis=0) if counts[k] else centres[k] for k in range(4)]
            )
    order = np.argsort(-counts, kind="stable")
    return {"centres": centres[order], "count": counts[order], "inertia": squares.min(axis=1).sum()}


def frequencies(whole):
    rows = [set(row.tolist()) for row in whole.tokens.values]
    tokens = sorted(set().union(*rows))
    documents = [sum(token in row for row in rows) for token in tokens]
    return {"token": np.array(tokens), "documents": np.array(documents), "texts": len(rows)}


def neighbours_by(metric):
    def oracle(whole):
        values = whole.dhatu.values.astype("float64")
        usable, k = np.isfinite(values).all(axis=1), min(5, len(values))
        values[~usable] = 1.0
        if metric == "cosine":
            units = values / np.linalg.norm(values, axis=1, keepdims=True)
            distance = 1 - units @ units.T
        else:
            distance = np.sqrt(((values[:, np.newaxis] - values) ** 2).sum(axis=-1))
        distance[:, ~usable] = distance[~usable] = np.inf
        np.fill_diagonal(distance, np.inf)
        order = np.argsort(distance, axis=1, kind="stable")[:, :k]
        found = np.full((len(values), 5), np.nan)
        found[:, :k] = np.take_along_axis(distance, order, 1)
        rows = np.full((len(values), 5), -1)
        rows[:, :k] = order
        known = np.isfinite(found)
        return {
            "neighbour": np.where(known, rows, -1),
            "distance": np.where(known, found, np.nan),
            "row": np.arange(len(values)),
        }

    return oracle


EXACT, NEAR = 0.0, 1e-12

READY = {
    "profile": (pf.profile("dhatu"), profile_of("dhatu"), NEAR),
    "profile, far from zero": (pf.profile("far"), profile_of("far"), 1e-7),
    "profile by language": (pf.profile("dhatu", by="lang"), profile_by("dhatu", "lang"), NEAR),
    "profile by a number": (
        pf.profile("entropy", by="stars"),
        profile_by("entropy", "stars"),
        NEAR,
    ),
    "profile of a column": (pf.profile("stars", by="lang"), profile_by("stars", "lang"), NEAR),
    "histogram": (pf.histogram("entropy", bins=7), histogram_of("entropy", bins=7), EXACT),
    "histogram of several": (
        pf.histogram("dhatu", bins=5, range=(-2, 20)),
        histogram_of("dhatu", bins=5, range=(-2, 20)),
        EXACT,
    ),
    "histogram by edges": (
        pf.histogram("n_words", bins=[0, 1, 10, 500]),
        histogram_of("n_words", bins=[0, 1, 10, 500]),
        EXACT,
    ),
    "quantiles": (pf.quantiles("entropy", q=Q), quantiles_of("entropy"), EXACT),
    "quantiles of several": (pf.quantiles("dhatu", q=Q), quantiles_of("dhatu"), EXACT),
    "quantiles of integers": (pf.quantiles("n_words", q=Q), quantiles_of("n_words"), EXACT),
    "quantiles of float64": (pf.quantiles("far", q=Q), quantiles_of("far"), EXACT),
    "quantiles of a column": (pf.quantiles("stars", q=Q), quantiles_of("stars"), EXACT),
    "covariance": (pf.covariance("dhatu"), covariance_of, 1e-11),
    "pca": (pf.pca("dhatu", components=2), pca_of, 1e-9),
    "top": (pf.top("entropy", k=7), top_of("entropy"), EXACT),
    "bottom": (pf.top("n_words", k=7, smallest=True), top_of("n_words", smallest=True), EXACT),
    "kmeans": (pf.kmeans("dhatu", k=4, seed=5, passes=3), lloyd, 1e-10),
    "neighbours": (pf.neighbours("dhatu", k=5), neighbours_by("cosine"), 1e-6),
    "neighbours by the difference": (
        pf.neighbours("dhatu", k=5, metric="euclidean", name="near"),
        neighbours_by("euclidean"),
        1e-6,
    ),
    "document frequency": (pf.document_frequency("tokens"), frequencies, EXACT),
}

CASES = {
    "unequal shards, one without rows": (600, (90, 0, 300, 7, 203), 0.1),
    "one shard": (50, (50,), 0.1),
    "more shards than are merged at once": (20, (1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 4), 0.1),
    "one text": (1, (1,), 0.0),
    "two texts": (2, (1, 1), 0.0),
    "no texts": (0, (0,), 0.0),
    "no texts in two shards": (0, (0, 0), 0.0),
    "nothing is known": (9, (4, 5), 10.0),
}


def arrays_of(result):
    """Return the arrays of a result by name, with coordinates."""
    if isinstance(result, xr.DataArray):
        return {"": result.values}
    return {str(name): variable.values for name, variable in result.variables.items()}


@pytest.mark.parametrize(("block", "oracle", "tolerance"), READY.values(), ids=READY)
@pytest.mark.parametrize(("n", "sizes", "missing"), CASES.values(), ids=CASES)
def test_as_plain_numpy_over_the_whole_arrays(block, oracle, tolerance, n, sizes, missing):
    whole = texts(n, missing=missing)
    lazy = block(in_shards(whole, *sizes))
    found, expected = arrays_of(lazy.compute(scheduler="sync")), oracle(whole)
    assert expected.keys() <= found.keys()
    for name, values in expected.items():
        assert found[name].shape == np.shape(values), name
        if found[name].dtype == object or not tolerance:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        else:
            np.testing.assert_allclose(found[name], values, tolerance, tolerance, err_msg=name)
    declared = lazy.variables if isinstance(lazy, xr.Dataset) else {"": lazy.variable}
    assert {str(name): (one.dtype, one.shape) for name, one in declared.items()} == {
        name: (values.dtype, values.shape) for name, values in found.items()
    }


def bits(result):
    """Return the bytes of a result."""
    return {
        name: values.tolist() if values.dtype == object else values.tobytes()
        for name, values in arrays_of(result).items()
    }


@pytest.mark.parametrize("block", [row[0] for row in READY.values()], ids=READY)
def test_the_bits_do_not_depend_on_threads(block):
    lazy = in_shards(texts(600), 90, 0, 300, 7, *[20] * 10, 3)
    expected = bits(block(lazy).compute(scheduler="sync"))
    for threads in (1, 2, 7):
        with dask.config.set(scheduler="threads", num_workers=threads, split_every=2 + threads):
            assert bits(block(lazy).compute()) == expected


def test_the_bits_do_not_depend_on_processes():
    lazy = in_shards(texts(600), 90, 0, 300, 7, *[20] * 10, 3)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        for block, *_ in READY.values():
            expected = bits(block(lazy).compute(scheduler="sync"))
            with dask.config.set(scheduler="processes", pool=pool):
                assert bits(block(lazy).compute()) == expected


def test_the_bits_do_not_depend_on_a_cluster(client):
    lazy = in_shards(texts(600), 90, 0, 300, 7, *[20] * 10, 3)
    for block, *_ in READY.values():
        expected = bits(block(lazy).compute(scheduler="sync"))
        with client.as_current(), dask.config.set(scheduler="dask.distributed"):
            assert bits(block(lazy).compute()) == expected
