"""Properties of ready-made reductions and of their parts, for any values and any shards."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lazy_texts import in_shards, texts

import paninifs as pf
from paninifs.graphs.reductions import chunks, covariance, kmeans
from paninifs.graphs.reductions.eigen import eigen

few = settings(max_examples=25, deadline=None)

DTYPES = ("float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint64", "bool")


@st.composite
def sharded(draw, dtypes=DTYPES):
    """Draw values and the sizes of their shards."""
    dtype = draw(st.sampled_from(dtypes))
    values = draw(hnp.arrays(dtype, st.integers(0, 40)))
    cuts = sorted(draw(st.lists(st.integers(0, len(values)), max_size=11)))
    return values, tuple(np.diff([0, *cuts, len(values)]).tolist())


def computed(block, values, sizes):
    lazy = in_shards(xr.Dataset({"x": ("text", values)}), *sizes)
    return block(lazy).compute(scheduler="sync")


@settings(few, max_examples=10)
@given(sharded(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_those_of_numpy(case, q):
    values, sizes = case
    found = computed(pf.quantiles("x", q=q), values, sizes)
    known = values[values == values].astype("float64")
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")
        expected = np.quantile(known, q) if len(known) else np.full(len(q), np.nan)
    np.testing.assert_array_equal(found.values, expected)
    assert found.dims == ("quantile",)
    assert found["quantile"].values.tolist() == q


@few
@given(sharded(), st.integers(1, 9), st.booleans())
def test_top_is_a_stable_sort(case, k, smallest):
    values, sizes = case
    found = computed(pf.top("x", k=k, smallest=smallest), values, sizes)
    rows = [row for row in range(len(values)) if values[row] == values[row]]
    plain = values.tolist()
    rows.sort(key=lambda row: (plain[row] if smallest else -plain[row], row))
    given_rows = [row for row in found.row.values.tolist() if row >= 0]
    assert given_rows == rows[:k]
    assert found.value.values[: len(given_rows)].tolist() == [plain[row] for row in given_rows]
    assert found.sizes["rank"] == min(k, len(values))
    assert "id" not in found.variables


@few
@given(sharded(), st.lists(st.integers(-300, 300), min_size=2, max_size=5, unique=True).map(sorted))
def test_histogram_counts_as_numpy_does(case, edges):
    values, sizes = case
    found = computed(pf.histogram("x", bins=edges), values, sizes)
    expected, _ = np.histogram(values[values == values].astype("float64"), edges)
    assert found["count"].values.tolist() == expected.tolist()


@few
@given(st.lists(st.lists(st.text("ab ", max_size=4), max_size=5), max_size=9), st.integers(1, 4))
def test_document_frequency_counts_texts_not_tokens(rows, size):
    for ragged in (True, False):
        column = np.empty(len(rows), object)
        column[:] = rows if ragged else [" ".join(row) for row in rows]
        lazy = xr.Dataset({"t": ("text", column)}).chunk(text=size)
        found = pf.document_frequency("t")(lazy)
        sets = [set(row) - {""} if ragged else set(" ".join(row).split()) for row in rows]
        expected = {
            token: sum(token in one for one in sets) for token in sorted(set().union(*sets))
        }
        pairs = zip(found.token.values.tolist(), found.documents.values.tolist(), strict=True)
        assert dict(pairs) == expected
        assert list(expected) == found.token.values.tolist()
        assert int(found.texts) == len(rows)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[1, 2, 2], [2, 0, 0]]), {0: 1, 1: 1, 2: 2}),
        (np.array([3, 1, 3]), {1: 1, 3: 2}),
        (np.array([1.5, np.nan]), {1.5: 1}),
        (np.array(["b a", None, "", "a"], object), {"a": 2, "b": 1}),
        (np.array([None, None], object), {}),
    ],
    ids=["padded", "one number", "floats", "strings", "nothing"],
)
def test_tokens_of_every_kind(values, expected):
    dims = ("text", "place")[: values.ndim]
    found = pf.document_frequency("t")(xr.Dataset({"t": (dims, values)}))
    pairs = zip(found.token.values.tolist(), found.documents.values.tolist(), strict=True)
    assert dict(pairs) == expected


def test_a_missing_string_is_no_token_and_no_group():
    column = ("text", np.array(["a", "", "", "a b"], object))
    lazy = xr.Dataset(
        {
            "n": ("text", [1.0, 2.0, 3.0, 6.0]),
            "t": column,
            "t_valid": ("text", [True, True, False, True]),
        }
    ).chunk(text=3)
    assert pf.document_frequency("t")(lazy).documents.values.tolist() == [2, 1]
    found = pf.profile("n", by="t")(lazy).compute()
    assert found.t.values.tolist() == ["", "a", "a b"]
    assert found["mean"].values.tolist() == [2, 1, 6]
    assert int(found.left_out) == 1


# --- parts ----------------------------------------------------------------------------------------


@few
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(-8, 8))
def test_eigenvectors_of_any_symmetric_matrix(n, seed, scale):
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, n + 1)
    half = rng.normal(size=(n, rank)) * 10.0**scale
    matrix = half @ half.T
    values, vectors = eigen(matrix)
    size = max(np.abs(matrix).max(), 1e-300)
    assert np.all(np.diff(values) <= 0)
    np.testing.assert_allclose(values / size, np.linalg.eigvalsh(matrix)[::-1] / size, atol=1e-13)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(n), atol=1e-13)
    np.testing.assert_allclose(
        vectors @ matrix / size, values[:, None] * vectors / size, atol=1e-13
    )
    assert np.all(vectors[np.arange(n), np.abs(vectors).argmax(axis=1)] > 0)


def test_eigenvalues_of_what_is_not_finite_are_nan():
    values, vectors = eigen(np.array([[1.0, np.nan], [np.nan, 1.0]]))
    assert np.isnan(values).all()
    assert np.isnan(vectors).all()


def test_covariance_far_from_zero_keeps_its_digits():
    rows = np.random.default_rng(1).random((9000, 2)).astype("float64")
    whole = xr.Dataset({"x": (("text", "axis"), rows + 1e8)})
    found = pf.covariance("x")(in_shards(whole, 100, 8500, 400)).compute(scheduler="sync")
    exact = np.cov((rows + 1e8 - 1e8).T)
    np.testing.assert_allclose(found.covariance, exact, rtol=1e-6, atol=1e-8)


def test_a_chunk_is_centred_in_parts_of_a_fixed_size():
    rows = np.random.default_rng(1).random((covariance.ROWS + 1, 2))
    found = covariance._moments(rows)
    parts = [
        covariance._centred(rows[: covariance.ROWS]),
        covariance._centred(rows[covariance.ROWS :]),
    ]
    assert found.products.tobytes() == covariance._merged(parts).products.tobytes()
    assert found.rows == len(rows)


def test_states_are_merged_in_the_order_of_chunks_eight_at_a_time():
    import dask.array as da

    merged = []

    def merge(states):
        merged.append(len(states))
        return "".join(states)

    letters = da.from_array(np.array([*"abcdefghijklmnopqrs"]), chunks=1)
    found = chunks.fold(lambda block: str(block[0]), merge, [letters]).compute(scheduler="sync")
    assert found == "abcdefghijklmnopqrs"
    assert sorted(merged) == [3, 3, 8, 8]


def test_rows_are_the_coordinate_if_there_is_one():
    whole = texts(30, missing=0).assign_coords(row=("text", np.arange(30) * 2 + 5))
    found = pf.top("n_words", k=3)(in_shards(whole, 11, 19)).compute(scheduler="sync")
    expected = np.argsort(-whole.n_words.values, kind="stable")[:3]
    assert found.row.values.tolist() == (expected * 2 + 5).tolist()


def test_the_sample_of_kmeans_does_not_depend_on_the_shards(monkeypatch):
    monkeypatch.setattr(kmeans, "SAMPLE", 20)
    rows, numbers = np.random.default_rng(0).random((300, 2)), np.arange(300)
    expected = kmeans._sample(rows, numbers, 3)
    parts = [kmeans._sample(rows[cut], numbers[cut], 3) for cut in (slice(0, 7), slice(7, 300))]
    found = kmeans._merged_sample(parts)
    assert len(found.rows) == 20
    assert found.rows.tobytes() == expected.rows.tobytes()
    assert kmeans._sample(rows, numbers, 4).rows.tobytes() != expected.rows.tobytes()


@few
@given(st.integers(0, 2**64 - 1))
def test_the_first_centres_are_different_rows(seed):
    rows = np.arange(40.0).reshape(20, 2)
    sample = kmeans._sample(rows, np.arange(20), seed)
    centres = kmeans._first_centres(sample, 20, seed).centres
    assert len(np.unique(centres, axis=0)) == 20
    again = kmeans._first_centres(sample, 20, seed).centres
    assert centres.tobytes() == again.tobytes()


def test_kmeans_of_fewer_texts_than_centres():
    whole = xr.Dataset({"x": (("text", "axis"), [[1.0], [1.0], [5.0]])})
    found = pf.kmeans("x", k=4)(whole).compute(scheduler="sync")
    assert found["count"].values.tolist() == [2, 1, 0, 0]
    assert found.centres.values[:2].tolist() == [[1.0], [5.0]]
    assert float(found.inertia) == 0
    assert float(found.moved) == 0
