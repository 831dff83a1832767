"""The figures of `make bench-meaning`, its sentences, and the guide that shows them."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from paths import REPOSITORY, TESTS

import paninifs as pf
from paninifs.graphs.embeddings.anchors import read_anchors

sys.path.insert(0, str(TESTS / "benchmarks"))
import semantic


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch):
    monkeypatch.setattr(semantic, "PERMUTATIONS", 199)


def test_partners_that_are_always_nearest():
    vectors = np.random.default_rng(0).normal(size=(20, 5))
    found = semantic.compared("", "", vectors, vectors * 3)
    assert (found.share, found.low, found.high, found.rank, found.p) == (1, 1, 1, 1, 1 / 200)


def test_equal_vectors_are_no_evidence():
    found = semantic.compared("", "", np.ones((12, 3)), np.ones((12, 3)))
    assert (found.share, found.p) == (0.5, 1.0)


def test_shares_count_the_less_similar():
    left, right = np.eye(4), np.eye(4)[[1, 0, 2, 3]]
    shares = semantic.shares_below(left, right)
    assert shares[0].tolist() == [1 / 3, 1, 1 / 3, 1 / 3]


@pytest.mark.slow("a hundred samples with their permutations")
def test_random_vectors_are_rejected_as_often_as_they_should(monkeypatch):
    monkeypatch.setattr(semantic, "PERMUTATIONS", 99)
    rng = np.random.default_rng(1)
    p, covered = [], 0
    for seed in range(100):
        left, right = rng.normal(size=(2, 12, 4))
        found = semantic.compared("", "", left, right, seed)
        p.append(found.p)
        covered += found.low <= 0.5 <= found.high
    assert 0.0 <= np.mean(np.array(p) <= 0.05) <= 0.11
    assert covered >= 85


def test_sentences_are_different_and_no_anchors():
    counts = [len(semantic.pairs_of(*kind)) for kind in semantic.KINDS.values()]
    assert counts == [64, 30, 30, 30]
    texts = [
        text
        for kind in semantic.KINDS.values()
        for pair in semantic.pairs_of(*kind)
        for text in pair
    ]
    assert len(set(texts)) == 64 * 2 + 30 + 30 * 2
    words = {word for by in read_anchors(None).values() for some in by.values() for word in some}
    assert not words & set(texts)


def test_prompts_are_parallel():
    found = semantic.prompts()
    assert len(found) == 20
    assert {len(texts) for texts in found.values()} == {10}


def test_hashes_do_not_read_language():
    for kind, languages in semantic.KINDS.items():
        left, right = zip(*semantic.pairs_of(*languages), strict=True)
        found = semantic.compared("", kind, semantic.hashes([*left]), semantic.hashes([*right]))
        assert found.p > 0.05, kind


def test_the_code_of_the_guide_runs(capsys, monkeypatch):
    def without_a_hub(model, *, name):
        fields = [pf.Field(name, "float32", (384,))]
        return pf.map_block(lambda text: None, fields=fields, name=name, version=model)

    monkeypatch.setattr(pf, "embedding", without_a_hub)
    page = (REPOSITORY / "deploy/docs/meaning.md").read_text("utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if '"out.zarr"' not in code:  # a store with a model's vectors
            exec(code, names)
    assert capsys.readouterr().out == "[2 1]\n[-1 -1]\n"
    assert [block.name for block in names["graph"]] == ["vector", "vector_neighbours"]
    assert isinstance(names["meaning"], pf.MapBlock)
