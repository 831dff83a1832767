"""`verify` computes vectors again by the model of the store, or says why it does not."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring import environment
from paninifs.graphs.embeddings.engines import openvino_engine, registry
from paninifs.graphs.embeddings.from_manifest import embedding_from
from paninifs.storage.errors import UsageError
from paninifs.storage.store.digests import digest

pytestmark = pytest.mark.slow("loads a model")
ROWS, SHARD_ROWS = 96, 32
WORDS = {"A": {"en": ["cat", "man"]}, "O": {"en": ["dog"]}}


@pytest.fixture
def run(inline, glosses, write_jsonl, tmp_path):
    """Return a function that computes a store with some blocks."""

    def make(*blocks, corpus=None):
        corpus = corpus or pf.open_corpus(write_jsonl(glosses[:ROWS]))
        options = {"client": inline, "shard_rows": SHARD_ROWS, "progress": False}
        store = tmp_path / "out.zarr"
        pf.submit(pf.Graph(blocks), corpus, store, **options).result()
        return store

    return make


@pytest.fixture
def model(tiny, tmp_path):
    """A folder with a tiny model, which a test may change."""
    return shutil.copytree(tiny("bert"), tmp_path / "model")


def forget_runs(store):
    """Remove what finished runs have recorded, as if there were none."""
    manifest = store / "_run" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"runs": []}))


def change(store, name, row):
    """Change the last bit of a stored value, and make every digest right again."""
    array = zarr.open_group(store)[name]
    values = array[row]
    array[row] = np.nextafter(values, np.float32(9))
    for file in (store / "_run").rglob("*.json"):
        found = json.loads(file.read_text())
        for key in found.get("objects", ()):
            data = (store / key).read_bytes()
            found["objects"][key] = [len(data), digest(data)]
        if "objects" in found:
            file.write_text(json.dumps(found))


def test_peek_finds_the_model_of_a_store(run, model, glosses):
    block = pf.embedding(model, engine="torch")
    store = run(block)
    text = glosses[5]["text"]
    found = pf.peek(text, store, by="embedding", top=3)
    assert found.nearest == pf.peek(text, store, by="embedding", top=3, graph=block).nearest
    assert found.nearest[0].similarity == pytest.approx(1)
    shutil.rmtree(model)
    with pytest.raises(pf.errors.UsageError, match=r"not built in: .*Give the block \(graph=, "):
        pf.peek(text, store, by="embedding")


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_changed_vector_is_found(engine, run, model):
    store = run(pf.embedding(model, engine=engine))
    found = pf.verify(store)
    assert found.passed
    assert (found.recomputed, found.digest_only) == (("embedding",), ())
    change(store, "embedding", 70)
    (problem,) = pf.verify(store).problems
    assert problem.startswith("embedding, row 70: stored and computed values differ")


def test_a_changed_static_vector_is_found(run, static):
    store = run(pf.embedding(static, name="words"))
    assert pf.verify(store).recomputed == ("words",)
    change(store, "words", 5)
    assert [one[:13] for one in pf.verify(store).problems] == ["words, row 5:"]


def test_another_type_is_computed_again(run, model):
    store = run(pf.embedding(model, engine="torch", dtype="bfloat16"))
    found = pf.verify(store)
    assert found.passed
    assert found.recomputed == ("embedding",)
    change(store, "embedding", 5)
    assert not pf.verify(store)


@pytest.mark.parametrize("vectors", ["", "embedding"])
def test_semantic_shares_are_computed_again(vectors, run, model):
    block = pf.embedding(model, engine="torch")
    shares = pf.semantic_dhatu(block, WORDS, vectors=vectors)
    store = run(block, shares, pf.prime_base(2), pf.ambiguity())
    found = pf.verify(store)
    assert found.passed
    assert found.recomputed == ("embedding", "dhatu", "prime_base", "ambiguity")
    change(store, "dhatu", 41)
    assert any(one.startswith("dhatu, row 41:") for one in pf.verify(store).problems)


def test_an_embedding_added_later_is_computed_again(run, model):
    run(pf.digest())
    store = run(pf.digest(), pf.embedding(model, engine="torch"))
    assert pf.verify(store).recomputed == ("digest", "embedding")
    change(store, "embedding", 41)
    assert [one[:17] for one in pf.verify(store).problems] == ["embedding, row 41"]


def test_texts_left_out_by_a_condition(run, model, glosses, tmp_path):
    texts = [one["text"] for one in glosses[:ROWS]]
    good = [n % 3 == 0 for n in range(ROWS)]
    pq.write_table(pa.table({"text": texts, "good": good}), tmp_path / "c.parquet")
    block = pf.embedding(model, engine="torch", when="good")
    store = run(block, corpus=pf.open_corpus(tmp_path / "c.parquet", keep=["good"]))
    found = pf.verify(store)
    assert found.passed
    assert found.recomputed == ("embedding",)


@pf.map_block(fields=[pf.Field("short", "bool")])
def short(text):
    return np.array([len(one) < 40 for one in text.to_strings()])


def test_a_condition_of_your_own_is_not_known(run, model):
    found = pf.verify(run(short, pf.embedding(model, engine="torch", when="short")))
    assert found.passed
    assert found.digest_only == ("short", "embedding")
    assert found.not_recomputed["short"] == "a store does not hold the code of your own blocks"
    assert found.not_recomputed["embedding"] == "it takes 'short', which is not computed again"


# --- why not --------------------------------------------------------------------------------------


def reason(store, **options):
    """Return why the embedding of a store is not computed again, by `verify` and in the shell."""
    found = pf.verify(store, **options)
    assert found.passed
    assert found.recomputed == ()
    ran = CliRunner().invoke(app, ["verify", str(store)])
    assert ran.exit_code == 0
    said = " ".join(ran.output.split())
    assert f"not recomputed: embedding: {found.not_recomputed['embedding']}" in said
    assert "verified, except how embedding computes" in said
    return found.not_recomputed["embedding"]


def test_a_folder_that_is_gone(run, model, tmp_path):
    store = run(pf.embedding(model, engine="torch"))
    moved = model.rename(tmp_path / "moved")
    said = reason(store)
    assert str(model) in said
    assert "--model" in said
    assert pf.verify(store, models=moved).recomputed == ("embedding",)
    ran = CliRunner().invoke(app, ["verify", str(store), "--model", str(moved)])
    assert "recomputed (embedding)" in ran.output
    change(store, "embedding", 9)
    assert not pf.verify(store, models=[moved])


def test_a_model_that_is_another(run, model, tiny):
    store = run(pf.embedding(model, engine="torch"))
    with pytest.raises(UsageError, match="is not a model of"):
        pf.verify(store, models=tiny("mpnet"))
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert "is not the one that the block was made with" in reason(store)


def test_an_engine_that_is_not_installed(run, model, monkeypatch):
    store = run(pf.embedding(model, engine="openvino"))
    found = registry.find_spec
    monkeypatch.setattr(
        registry, "find_spec", lambda name: None if name == "openvino" else found(name)
    )
    assert "needs openvino, which is not installed" in reason(store)
    forget_runs(store)
    said = pf.verify(store, models=model).not_recomputed["embedding"]
    assert "needs openvino, which is not installed" in said


def test_other_versions(run, model, monkeypatch):
    store = run(pf.embedding(model, engine="openvino"))
    versions = environment.versions()
    assert versions["torch"] == version("torch")
    monkeypatch.setattr(environment, "versions", lambda: versions | {"openvino": "2031.0"})
    said = reason(store)
    assert f"by openvino {version('openvino')}, and 2031.0 is installed here" in said


def test_another_machine(run, model, monkeypatch):
    monkeypatch.setattr(environment, "device_of", lambda _: "NVIDIA Imaginary")
    store = run(pf.embedding(model, engine="torch"))
    monkeypatch.undo()
    assert "computed on NVIDIA Imaginary, and this machine would on" in reason(store)


def test_torch_without_cuda_computes_on_the_processor(machine, monkeypatch):
    from fake_nvml import T4

    machine(T4)
    for build, device in (("2.13.0+cpu", environment.processor_name()), ("2.13.0", T4.name)):
        monkeypatch.setattr(environment, "versions", lambda build=build: {"torch": build})
        assert environment.device_of("torch") == device
    assert environment.device_of("openvino") == environment.processor_name()


def test_a_static_model_is_the_same_on_every_machine(run, static, monkeypatch):
    monkeypatch.setattr(environment, "processor_name", lambda: "Imaginary")
    store = run(pf.embedding(static))
    monkeypatch.undo()
    assert pf.verify(store).recomputed == ("embedding",)


def test_inexact_vectors(run, model):
    assert "exact=False" in reason(run(pf.embedding(model, engine="torch", exact=False)))


def test_blocks_of_another_version(model):
    block = pf.embedding(model, engine="torch")
    described, folders = block.describe(), {block.params["settings"]["digest"]: model}
    assert embedding_from("embedding", described, folders).describe() == described
    other = {**described, "params": {"settings": {**block.params["settings"], "pooled": 1}}}
    with pytest.raises(UsageError, match="with settings that this one lacks"):
        embedding_from("embedding", other, folders)
    with pytest.raises(UsageError, match="with settings that this one lacks"):
        embedding_from("embedding", {**described, "params": {}}, folders)
    with pytest.raises(UsageError, match="by other code or settings"):
        embedding_from("embedding", {**described, "version": "2"}, folders)


def test_a_store_of_which_no_run_has_finished(run, model):
    store = run(pf.embedding(model, engine="torch"))
    forget_runs(store)
    assert "no finished run has recorded the folder of its model" in reason(store)
    assert pf.verify(store, models=model).recomputed == ("embedding",)


# --- what a run records ---------------------------------------------------------------------------


def test_what_decides_about_bits_is_recorded():
    classes = [registry.engine_class(name) for name in registry.ENGINES]
    deciding = {*chain.from_iterable(one.DECIDING for one in classes)}
    assert {"torch", "openvino", "onnxruntime", "tokenizers"} <= deciding
    assert deciding <= environment.versions().keys()
    assert openvino_engine.OpenVinoEngine.DECIDING[0] == "openvino"
