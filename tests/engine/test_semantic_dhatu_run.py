"""Stores with dhātu shares by meaning: runs, report, verify and peek take them as any other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.worker.values import setups
from paninifs.storage.errors import ResultsMismatch

WORDS = {"A": {"en": ["cat", "man"]}, "O": {"en": ["dog"]}, "I": {"en": ["ship"]}}


class Model:
    """Counts letters, as a model that takes long to load."""

    def embed(self, texts):
        return np.array([[one.count(c) for c in "aeiostnr"] for one in texts], "float32")


def load_model():
    with Path(os.environ["LOADED"]).open("a") as log:
        log.write("loaded\n")
    return Model()


@pf.map_block(
    fields=[pf.Field("letters", "float32", (8,))], setup={"model": load_model}, version="1"
)
def letters(text, model):
    return model.embed(text.to_strings()).reshape(-1, 8)


@pytest.fixture(scope="module")
def rows(glosses):
    return [{"id": f"g{n}", "text": row["text"]} for n, row in enumerate(glosses[:90])]


@pytest.fixture
def run(inline, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("LOADED", str(tmp_path / "loaded"))

    def make(graph, out="out.zarr"):
        (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = {"client": inline, "shard_rows": 32, "progress": False}
        corpus = pf.open_corpus(tmp_path / "c.jsonl")
        pf.submit(graph, corpus, tmp_path / out, **options).result()
        return tmp_path / out

    return make


def graph_of(block, *more):
    return pf.Graph((*more, block, pf.prime_base(3), pf.ambiguity()))


@pytest.mark.slow("several runs, one of them drawn")
def test_other_blocks_take_them_as_hashes(run, rows, tmp_path):
    block = pf.semantic_dhatu(letters, WORDS)
    store = run(graph_of(block))
    with pf.open_results(store) as found:
        assert found.dhatu.values.tobytes() == block([row["text"] for row in rows]).tobytes()
        assert found.dhatu_name.values.tolist() == ["A", "O", "I"]
        assert np.isfinite(found.entropy.values).all()
    checked = pf.verify(store)
    assert checked
    assert checked.digest_only == ("dhatu", "prime_base", "ambiguity")
    pf.report(store, tmp_path / "page.html")
    assert "dhātu" in (tmp_path / "page.html").read_text("utf-8")
    assert "derived from hashes" not in (tmp_path / "page.html").read_text("utf-8")
    assert "hashes: reproducible" not in str(pf.cite(store))
    peeked = pf.peek(rows[4]["text"], store, graph=block, top=1)
    assert [(one.row, one.similarity) for one in peeked.nearest] == [(4, 1.0)]
    assert not peeked.hashed


def test_a_model_of_two_blocks_is_loaded_once(run, tmp_path, monkeypatch):
    monkeypatch.setattr(setups, "_made", {})  # other tests may have loaded it
    block = pf.semantic_dhatu(letters, WORDS, vectors="letters")
    store = run(graph_of(block, letters))
    assert (tmp_path / "loaded").read_text() == "loaded\n"
    again = run(graph_of(pf.semantic_dhatu(letters, WORDS)), "texts.zarr")
    with pf.open_results(store) as one, pf.open_results(again) as other:
        assert one.dhatu.values.tobytes() == other.dhatu.values.tobytes()


def test_a_store_is_not_continued_with_other_anchors(run):
    run(graph_of(pf.semantic_dhatu(letters, WORDS)))
    changed = {**WORDS, "O": {"en": ["hog"]}}
    with pytest.raises(ResultsMismatch):
        run(graph_of(pf.semantic_dhatu(letters, changed)))
