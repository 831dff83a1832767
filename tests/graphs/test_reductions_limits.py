"""What ready-made reductions keep in memory, how they are described, and what they refuse."""

from __future__ import annotations

import json
import weakref

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from lazy_texts import in_shards, texts
from test_reductions import READY

import paninifs as pf
from paninifs.storage.errors import GraphError

# --- memory ---------------------------------------------------------------------------------------


class Chunks:
    """Chunks of a field that are read when they are computed, and counted while they are alive."""

    def __init__(self):
        self.read, self.alive, self.most = [], 0, 0

    def __call__(self, block):
        values = np.random.default_rng(int(block.flat[0])).random((len(block), 3))
        self.read.append(int(block.flat[0]))
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(values, self._gone)
        return values

    def _gone(self):
        self.alive -= 1

    def __dask_tokenize__(self):
        return id(self)


PASSES = {
    "profile": (pf.profile("x"), 1),
    "profile by group": (pf.profile("x", by="lang"), 1),
    "histogram": (pf.histogram("x", bins=3), 2),
    "histogram with a range": (pf.histogram("x", bins=3, range=(0, 1)), 1),
    "quantiles": (pf.quantiles("x", q=[0.5]), 6),
    "covariance": (pf.covariance("x"), 1),
    "pca": (pf.pca("x"), 1),
    "kmeans": (pf.kmeans("x", k=3, passes=4), 6),
}


@pytest.mark.parametrize(("block", "passes"), PASSES.values(), ids=PASSES)
def test_a_pass_reads_every_shard_once_and_keeps_few(block, passes):
    chunks, shards = Chunks(), 24
    starts = da.arange(shards * 4, chunks=4)[:, np.newaxis]
    values = starts.map_blocks(
        chunks, chunks=((4,) * shards, (3,)), dtype="float64", meta=np.empty((0, 0))
    )
    lang = np.array(["fr", "sa"] * (shards * 2), object)
    lazy = xr.Dataset({"x": (("text", "axis"), values), "lang": ("text", lang)}).chunk(text=4)
    block(lazy).compute(scheduler="sync")
    assert len(chunks.read) == passes * shards
    for number in range(passes):  # a pass begins when the one before it has ended
        assert len({*chunks.read[number * shards : (number + 1) * shards]}) == shards
    assert chunks.most <= 3


def test_the_time_to_plan_grows_with_the_number_of_shards():
    # dask copies the list of a graph's layers for every task that is added to it.
    values = da.zeros(5000, chunks=10, dtype="float32")
    graph = pf.quantiles("x", q=[0.5])(xr.Dataset({"x": ("text", values)})).__dask_graph__()
    assert len(graph.layers) < 20
    assert len(graph.to_dict()) < 500 * 3 * 4


# --- what a run's fingerprint holds ---------------------------------------------------------------


@pytest.mark.parametrize("block", [row[0] for row in READY.values()], ids=READY)
def test_a_description_is_short_and_names_code_by_its_label(block):
    described = block.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["code"].startswith("paninifs.graphs.reductions.")
    assert described["version"]
    assert block.inputs == ()
    pf.Graph((block,)).pickled()


def test_a_function_that_a_doctest_or_a_user_defines_is_described_by_its_source():
    def mine(results):
        return results.n.mean()

    mine.__module__ = "paninifs.graphs.reductions.profile"
    assert pf.reduce_block(mine).describe()["code"]["source"].startswith("def mine(")


def test_names_can_be_given_and_are_different_by_default():
    names = [row[0].name for row in READY.values()]
    assert len(set(names)) == len(names)
    assert pf.top("entropy", name="best").name == "best"
    with pytest.raises(GraphError, match="'the best'"):
        pf.top("entropy", name="the best")


# --- what cannot be computed ----------------------------------------------------------------------

REFUSED = {
    "bins": lambda: pf.histogram("x", bins=0),
    "edges": lambda: pf.histogram("x", bins=[0, 0, 1]),
    "range": lambda: pf.histogram("x", bins=3, range=(1, 1)),
    "a range that is not finite": lambda: pf.histogram("x", bins=3, range=(0, float("nan"))),
    "probability": lambda: pf.quantiles("x", q=[0.5, 1.5]),
    "no probability": lambda: pf.quantiles("x", q=[]),
    "components": lambda: pf.pca("x", components=0),
    "more components than values": lambda: pf.pca("dhatu", components=4),
    "k": lambda: pf.top("x", k=2.5),
    "k that is a bool": lambda: pf.kmeans("x", k=True),
    "seed": lambda: pf.kmeans("x", k=2, seed=-1),
    "passes": lambda: pf.kmeans("x", k=2, passes=1000),
    "limit": lambda: pf.document_frequency("x", limit=0),
    "a field that is not there": lambda: pf.profile("entropie"),
    "strings": lambda: pf.profile("lang"),
    "groups that are not there": lambda: pf.profile("entropy", by="langue"),
    "groups by several values": lambda: pf.profile("entropy", by="dhatu"),
    "one value per text": lambda: pf.covariance("entropy"),
    "several values per text": lambda: pf.top("dhatu"),
    "too many tokens": lambda: pf.document_frequency("tokens", limit=7),
    "a metric that is not there": lambda: pf.neighbours("dhatu", metric="dot"),
    "neighbours by one value": lambda: pf.neighbours("entropy"),
    "more texts than are compared": lambda: pf.neighbours("dhatu", limit=19),
    "a projection on something else": lambda: pf.project("dhatu", pf.covariance("dhatu")),
    "centres of something else": lambda: pf.nearest("dhatu", pf.pca("dhatu")),
}
SAID = {
    "probability": "1.5",
    "k": "2.5",
    "a field that is not there": "'entropie'.*dhatu, entropy",
    "more components than values": "4 components of 'dhatu', which has 3",
    "groups that are not there": "'langue'",
    "more texts than are compared": r"20 texts by 'dhatu' need about 0\.0 hours.*limit=20",
    "too many tokens": "at least (8|9|1[0-9]).*limit is 7",
    "range": r"\(1, 1\)",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_is_refused(case):
    with pytest.raises(GraphError, match=SAID.get(case)):
        REFUSED[case]()(in_shards(texts(20), 8, 12)).compute(scheduler="sync")


@pytest.mark.documented("reduction-size")
def test_too_many_groups_are_refused_with_the_number(monkeypatch):
    monkeypatch.setattr("paninifs.graphs.reductions.groups.MOST_GROUPS", 99)
    lazy = in_shards(texts(300).assign(url=("text", [str(n) for n in range(300)])), 80, 80, 140)
    with (
        dask.config.set(scheduler="sync"),
        pytest.raises(
            GraphError, match=r"'url' makes more than 99 groups of texts \(at least 100\)"
        ),
    ):
        pf.profile("entropy", by="url")(lazy)


LARGE = {
    "quantiles": (
        pf.quantiles("x", q=np.linspace(0, 1, 9)),
        "9 quantiles of the 1,024 components of 'x' would take 288 MiB per shard",
    ),
    "histogram": (
        pf.histogram("x", bins=10_000),
        "10,000 bins of the 1,024 components of 'x' would take 78 MiB per shard",
    ),
    "profile": (
        pf.profile("x", by="n"),
        "3,000 groups of the 1,024 components of 'x' would take 70 MiB per shard",
    ),
}


@pytest.mark.documented("reduction-size")
@pytest.mark.parametrize(("block", "message"), LARGE.values(), ids=LARGE)
def test_states_that_take_much_memory_are_refused_with_their_size(block, message):
    values = da.zeros((3000, 1024), chunks=(1000, 1024))
    lazy = xr.Dataset({"x": (("text", "axis"), values), "n": ("text", np.arange(3000))})
    with (
        dask.config.set(scheduler="sync"),
        pytest.raises(GraphError, match=f"{message}; the limit is 64 MiB"),
    ):
        block(lazy)
