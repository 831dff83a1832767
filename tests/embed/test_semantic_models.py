"""Dhātu shares by a real model: paraphrases are found, and peek finds neighbours in meaning."""

from __future__ import annotations

import json
import sys

import pytest
from paths import TESTS

import paninifs as pf

sys.path.insert(0, str(TESTS / "benchmarks"))
import semantic

SHARES = {
    "vectors computed for it": pf.semantic_dhatu(semantic.minilm, languages=["en"]),
    "anchors of all languages": pf.semantic_dhatu(semantic.minilm),
}


@pytest.mark.slow("loads a model")
@pytest.mark.parametrize("case", SHARES)
def test_paraphrases_have_similar_shares(case):
    left, right = zip(*semantic.pairs_of("en", "paraphrase"), strict=True)
    found = semantic.compared("", "", SHARES[case]([*left]), SHARES[case]([*right]))
    assert found.low > 0.8
    assert found.p < 0.001


@pytest.mark.slow("loads a model")
def test_a_paraphrase_is_the_nearest_text_of_a_store(inline, tmp_path):
    pairs = semantic.pairs_of("en", "paraphrase")
    (tmp_path / "c.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for pair in pairs for text in pair)
    )
    shares = pf.semantic_dhatu(semantic.minilm, vectors="minilm", languages=["en"])
    near = pf.neighbours("minilm", k=1)
    graph = pf.Graph((semantic.minilm, shares, pf.prime_base(9), pf.ambiguity(), near))
    corpus = pf.open_corpus(tmp_path / "c.jsonl")
    options = {"client": inline, "shard_rows": 16, "progress": False}
    pf.submit(graph, corpus, tmp_path / "out.zarr", **options).result()
    found = pf.open_reduction(tmp_path / "out.zarr", near.name).neighbour.values[:, 0]
    partners = [row ^ 1 for row in range(len(found))]
    assert sum(found == partners) >= 0.95 * len(found)
    for row, (text, _) in enumerate(pairs[:3]):
        nearest = pf.peek(text, tmp_path / "out.zarr", by="minilm", graph=graph, top=2).nearest
        assert [one.row for one in nearest] == [2 * row, found[2 * row]]
