"""Stores begun by a version that labelled this package's code by module paths."""

from __future__ import annotations

import json

import pytest

import paninifs as pf
from paninifs.engine.rehearsal.rehearse import rehearse
from paninifs.graphs.fingerprint import functions
from paninifs.storage.errors import ResultsMismatch
from paninifs.storage.store.keys import MANIFEST_KEY, marker_key
from paninifs.storage.store.manifest import require_manifest
from paninifs.storage.targets.local import LocalTarget

FORMER = {
    "paninifs.storage.text.PackedText": "paninifs.storage.text.PackedText",
    "paninifs.storage.cleaning.steps.Cleaning": "paninifs.storage.cleaning.Cleaning",
    "paninifs.graphs.blocks.dhatu.dhatu": "paninifs.graphs.dhatu.dhatu",
    "paninifs.graphs.kernels.reference.digest": "paninifs.graphs.kernels.reference.digest",
}


def block_of(factor: int = 1) -> pf.MapBlock:
    """Return a block that refers to public names and to inner code."""
    from paninifs import Cleaning, PackedText, dhatu
    from paninifs.graphs.kernels.reference import digest

    @pf.map_block(fields=[pf.Field("n", "int32")])
    def n(text):
        if not isinstance(text, PackedText):
            raise TypeError((Cleaning, dhatu))
        return factor * digest(text).sum(axis=1, dtype="int32")

    return n


@pytest.fixture
def corpus(write_jsonl, glosses, tmp_path):
    write_jsonl(glosses[:300], "a.jsonl")
    return tmp_path / "*.jsonl"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "out.zarr"


@pytest.fixture
def submitted(client, corpus, store):
    """Submit a block; return what its run returns."""

    def submitted(factor: int = 1, **options):
        graph = pf.default_graph() + block_of(factor)
        options = {"client": client, "progress": False, **options}
        return pf.submit(graph, pf.open_corpus(corpus), store, **options).result()

    return submitted


@pytest.fixture
def begun(submitted, store, monkeypatch):
    """Begin a store with the labels of an earlier version; return its manifest."""
    with monkeypatch.context() as patch:
        patch.setattr(functions, "label_of", lambda path: FORMER.get(path, path))
        submitted(shard_rows=64)
    manifest = require_manifest(LocalTarget(store))
    code = json.dumps(manifest.facts["graph"]["n"]["code"])
    assert all(f'"{label}"' in code for label in FORMER.values())
    return manifest


def test_such_a_store_is_resumed(begun, submitted, store):
    target = LocalTarget(store)
    objects = {key: target.get(key) for key in target.sizes() if "/lease/" not in key}
    target.delete([marker_key(2)])
    assert submitted().done == 300
    manifest = require_manifest(target)
    assert manifest.facts == begun.facts
    assert manifest.fingerprint == begun.fingerprint
    kept = {key: target.get(key) for key in objects}
    changed = {key for key, data in kept.items() if data != objects[key]}
    assert changed == {MANIFEST_KEY}  # it has the record of one more run
    assert pf.verify(store).passed


def test_such_a_store_is_extended_and_keeps_its_labels(
    begun, submitted, store, write_jsonl, glosses
):
    write_jsonl(glosses[300:400], "b.jsonl")
    with pytest.raises(ResultsMismatch, match=r"was begun without b\.jsonl"):
        submitted()
    assert submitted(extend=True).done == 400
    manifest = require_manifest(LocalTarget(store))
    assert manifest.facts["graph"] == begun.facts["graph"]
    assert [stage.fingerprint for stage in manifest.stages] == [begun.fingerprint]
    assert pf.verify(store).passed
    assert submitted().done == 400


def test_another_block_is_still_refused_by_name(begun, submitted, store):
    with pytest.raises(ResultsMismatch) as caught:
        submitted(factor=2)
    assert "graph → n → code → refers to → factor was 1 and is 2." in str(caught.value)


def test_a_rehearsal_knows_such_a_store(begun, client, corpus, store):
    graph = pf.default_graph() + block_of()
    assert rehearse(graph, pf.open_corpus(corpus), store, client=client, rows=50).rows == 300


def test_a_new_store_has_public_names(submitted, store):
    submitted()
    code = require_manifest(LocalTarget(store)).facts["graph"]["n"]["code"]
    names = ("Cleaning", "PackedText", "dhatu")
    assert {name: code["refers to"][name] for name in names} == {
        name: f"paninifs.{name}" for name in names
    }
