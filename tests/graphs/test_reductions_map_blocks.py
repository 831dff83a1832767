"""`project` and `nearest`: map-blocks that take what a reduction found."""

from __future__ import annotations

import numpy as np
import pytest
from lazy_texts import in_shards, texts

import paninifs as pf
from paninifs import Field

PCA, KMEANS = pf.pca("dhatu"), pf.kmeans("dhatu", k=4, passes=3)


@pytest.fixture(scope="module")
def whole():
    return texts(200)


@pytest.fixture(scope="module", params=[PCA, KMEANS], ids=["project", "nearest"])
def taken(request, whole):
    """A map-block and the result that it takes."""
    make = pf.project if request.param is PCA else pf.nearest
    found = request.param(in_shards(whole, 60, 140)).compute(scheduler="sync")
    return make("dhatu", request.param), found


def finite(whole):
    return np.isfinite(whole.dhatu.values).all(axis=1)


def test_projections_are_those_of_numpy(whole):
    found = PCA(in_shards(whole, 60, 140)).compute(scheduler="sync")
    rows = whole.dhatu.values
    projected = pf.project("dhatu", PCA)(rows, found)
    expected = (rows.astype("float64") - found["mean"].values) @ found.components.values.T
    np.testing.assert_allclose(projected, expected, rtol=1e-6, atol=1e-6)
    assert np.isnan(projected[~finite(whole)]).all()
    np.testing.assert_allclose(
        projected[finite(whole)].var(axis=0, ddof=1), found.variance, rtol=1e-5
    )


def test_the_nearest_centre_is_that_of_numpy(whole):
    found = KMEANS(in_shards(whole, 60, 140)).compute(scheduler="sync")
    rows = whole.dhatu.values
    cluster, distance = pf.nearest("dhatu", KMEANS)(rows, found)
    known = finite(whole)
    far = np.linalg.norm(rows[known, None].astype("float64") - found.centres.values, axis=-1)
    np.testing.assert_array_equal(cluster[known], far.argmin(axis=1))
    np.testing.assert_allclose(distance[known], far.min(axis=1), rtol=1e-6)
    assert cluster[~known].tolist() == [-1] * (~known).sum()
    assert np.isnan(distance[~known]).all()
    assert np.bincount(cluster[known], minlength=4).tolist() == found["count"].values.tolist()


def test_a_row_does_not_depend_on_the_others(whole, taken):
    block, found = taken
    rows = whole.dhatu.values

    def values(part):
        returned = block(part, found)
        return returned if isinstance(returned, tuple) else (returned,)

    together = values(rows)
    for size in (1, 7, 64):
        parts = [values(rows[start : start + size]) for start in range(0, len(rows), size)]
        for field, part in zip(together, zip(*parts, strict=True), strict=True):
            assert np.concatenate(part).tobytes() == field.tobytes()


def test_the_same_bits_from_the_arrays_of_a_gpu(whole, taken, cuda_on_host):
    import cupy

    block, found = taken
    rows = whole.dhatu.values
    on_host, on_device = (block.function(array, found) for array in (rows, cupy.asarray(rows)))
    if not isinstance(on_host, tuple):
        on_host, on_device = (on_host,), (on_device,)
    for expected, values in zip(on_host, on_device, strict=True):
        assert isinstance(values, cupy.ndarray)
        assert values.get().tobytes() == expected.tobytes()


def test_no_rows(taken):
    block, found = taken
    returned = block(np.empty((0, 3), "float32"), found)
    assert all(
        len(field) == 0 for field in (returned if isinstance(returned, tuple) else [returned])
    )


def test_a_graph_computes_the_block_after_its_reduction(taken):
    block, _ = taken
    reduction = PCA if block.inputs[1] == PCA.name else KMEANS
    dhatu = pf.map_block(lambda text: ..., fields=[Field("dhatu", "float32", (3,))], name="dhatu")
    graph = dhatu + reduction + block
    assert [[one.name for one in stage.blocks] for stage in graph.stages()] == [
        ["dhatu"],
        [reduction.name],
        [block.name],
    ]
    assert block.describe()["code"].startswith("paninifs.graphs.reductions.")
    graph.pickled()


def test_two_of_different_length_fit_into_one_graph():
    dhatu = pf.map_block(lambda text: ..., fields=[Field("dhatu", "float32", (3,))], name="dhatu")
    other = pf.pca("dhatu", components=3, name="all")
    graph = (
        dhatu + PCA + other + pf.project("dhatu", PCA) + pf.project("dhatu", other, name="turned")
    )
    shapes = {field.name: field.shape for field in graph.fields}
    assert shapes == {"dhatu": (3,), "dhatu_projected": (2,), "turned": (3,)}
