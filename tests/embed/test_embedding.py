"""Embedding blocks: equal to sentence-transformers, equal bits in any company, and whole runs."""

from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ARCHITECTURES
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.graphs.embeddings.embedding import Later
from paninifs.graphs.embeddings.embedding_model import EmbeddingModel, depends_on_batch
from paninifs.graphs.embeddings.engines import torch_engine
from paninifs.graphs.embeddings.loading import Loader
from paninifs.graphs.embeddings.token_batches import token_batches
from paninifs.graphs.user_functions.setups import made_here
from paninifs.storage.errors import UsageError

ENGINES = ("torch", "openvino")
pytestmark = pytest.mark.slow("loads a model")


@pytest.fixture(scope="session")
def texts(glosses):
    long = " ".join(one["text"] for one in glosses[:60])
    odd = ["", " ", "a", "\n", "猫がネズミを追う", "e\u0301t\u00e9 \x00", "a" * 3000]
    return [one["text"] for one in glosses[::8]] + odd + [long]


@pytest.fixture(scope="session")
def blocks(minilm):
    """Return a function from an engine to its block of MiniLM; each is loaded once."""
    made = {}

    def block(engine, **options):
        key = engine, *options.items()
        if key not in made:
            made[key] = pf.embedding(minilm, engine=engine, **options)
        return made[key]

    return block


def expected(folder, texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder))
    model.max_seq_length = torch_engine.max_tokens_of(model)
    return model.encode(texts, batch_size=32)


@pytest.fixture(scope="session")
def all_of_them(glosses, texts, minilm):
    """Two thousand glosses, then `texts`; and their vectors by sentence-transformers."""
    every = [one["text"] for one in glosses] + texts
    return every, expected(minilm, every)


@pytest.mark.parametrize("engine", [*ENGINES, "onnx"])
def test_vectors_are_those_of_sentence_transformers(engine, blocks, all_of_them):
    texts, theirs = all_of_them
    vectors, tokens = blocks(engine)(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, theirs, atol=1e-5)
    assert tokens[texts.index("")] == 2
    assert tokens[-1] > 256


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_loads_from_a_folder(engine, name, tiny, texts):
    block = pf.embedding(tiny(name), engine=engine)
    vectors, tokens = block(texts)
    np.testing.assert_allclose(vectors, expected(tiny(name), texts), atol=1e-5)
    assert max(tokens) > 514  # more than the smaller ones take


@pytest.mark.parametrize("engine", ENGINES)
def test_a_vector_does_not_depend_on_its_company(engine, blocks, texts):
    block = blocks(engine)
    whole, _ = block(texts)
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 7, 64, 512):
        order = random.permutation(len(texts))[: 3 * size]
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            some, _ = block([texts[row] for row in rows])
            assert some.tobytes() == whole[rows].tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_give_the_same_bits(engine, blocks, texts):
    block = blocks(engine)
    whole, _ = block(texts)
    parts = np.array_split(np.arange(len(texts)), 8)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda rows: block([texts[row] for row in rows])[0], parts))
    assert np.concatenate(found).tobytes() == whole.tobytes()


class Leaning:
    """An engine whose vectors depend on the number of texts, as a library's may at some shapes."""

    budget, multiple, max_tokens = 512, 1, 64

    def __init__(self, backend, *, leans):
        self.backend, self.leans, self.rows = backend, leans, []

    def vectors(self, ids, mask):
        self.rows.append(len(ids))
        added = 1e-7 * len(ids) if self.leans else 0
        return ((ids * mask).sum(1, keepdims=True) + np.ones((1, 4)) + added).astype(np.float32)

    def close(self):
        pass


@pytest.mark.parametrize("leans", [False, True])
def test_texts_are_computed_alone_if_their_company_shows(leans, blocks, monkeypatch):
    block = blocks("torch")
    loaded = made_here(block)["model"]
    assert not loaded.alone
    engine = Leaning(loaded._engine.backend, leans=leans)
    engine.vectors = lambda ids, mask: Leaning.vectors(engine, ids / 1e4, mask)
    assert depends_on_batch(engine) is leans
    settings = block.setup["model"].settings
    for exact in (True, False):
        model = EmbeddingModel(engine, exact=exact)
        engine.rows.clear()
        model.embed(["a b", "c d", "e f"], settings)
        assert max(engine.rows) == (1 if leans and exact else 3)


def test_long_texts_are_averaged_over_windows(tiny, glosses):
    block = pf.embedding(tiny("bert"), max_tokens=12, long_texts="average")
    cut = pf.embedding(tiny("bert"), max_tokens=12)
    text = glosses[0]["text"] + " and " + glosses[1]["text"]
    vectors, tokens = block([text, "a cat"])
    first, counted = cut([text, "a cat"])
    assert tokens.tolist() == counted.tolist()
    assert tokens[0] > 12 > tokens[1]
    assert vectors[1].tobytes() == first[1].tobytes()
    model = made_here(block)["model"]
    (whole,) = model._tokens([text], block.setup["model"].settings)
    each = np.concatenate(
        [model._engine.vectors(one[None], one[None] * 0 + 1) for one in whole.windows]
    )
    mean = np.average(each.astype("f8"), axis=0, weights=whole.weights)
    np.testing.assert_allclose(vectors[0], mean, atol=1e-6)
    assert sum(whole.weights) + 2 == tokens[0]


def test_a_prefix_is_part_of_a_text(tiny):
    plain, prefixed = pf.embedding(tiny("bert")), pf.embedding(tiny("bert"), prefix="query: ")
    assert prefixed(["a cat"])[0].tobytes() == plain(["query: a cat"])[0].tobytes()
    assert plain.version == prefixed.version  # so that a worker loads the model once
    assert plain.describe() != prefixed.describe()


def test_normalized_vectors_have_length_one(tiny, texts):
    vectors, _ = pf.embedding(tiny("bert"), normalize=True)(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_other_types_report_what_they_cost(blocks, glosses):
    texts = [one["text"] for one in glosses[:640]]
    exact, _ = blocks("openvino")(texts)
    vectors, _, loss = blocks("openvino", dtype="bfloat16")(texts)
    known = np.isfinite(loss)
    assert 2 <= known.sum() <= 40
    assert 1e-7 < loss[known].max() < 1e-3
    cosines = (exact[known] * vectors[known]).sum(1) / np.linalg.norm(vectors[known], axis=1)
    np.testing.assert_allclose(loss[known], 1 - cosines, atol=1e-6)
    some = blocks("openvino", dtype="bfloat16")(texts[100:200])[2]
    np.testing.assert_array_equal(some, loss[100:200])


def test_batches_have_the_texts_of_one_length(glosses):
    texts = [np.arange(len(one["text"]) % 40 + 1) for one in glosses[:300]]
    seen = []
    for rows, ids, mask in token_batches(texts, budget=100):
        assert mask.sum(1).tolist() == [len(texts[row]) for row in rows]
        assert ids.size <= 100
        for row, found in zip(rows, ids, strict=True):
            np.testing.assert_array_equal(found[: len(texts[row])], texts[row])
            assert len(found) == max(len(texts[row]), 8)
        seen += rows.tolist()
    assert sorted(seen) == list(range(300))


# --- models that change ---------------------------------------------------------------------------


def test_a_model_may_move_but_not_change(tiny, tmp_path):
    for name in ("here", "there"):
        shutil.copytree(tiny("bert"), tmp_path / name)
    here = pf.embedding(tmp_path / "here", engine="torch")
    there = pf.embedding(tmp_path / "there", engine="torch")
    assert here.describe() == there.describe()
    weights = tmp_path / "there" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UsageError, match="is not the one that the block was made with"):
        there.setup["model"]()
    changed = pf.embedding(tmp_path / "there", engine="torch")
    assert changed.describe() != here.describe()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({}, "has no model"),
        ({"model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid"}, "git lfs pull"),
        ({"model.safetensors": b"\xff" * 2000}, "its header does not fit"),
        ({"model.safetensors": b"\x02" + bytes(7) + b"[]"}, "its header cannot be read"),
        ({"model.safetensors": b"\x02" + bytes(7) + b"{}"}, "has a config.json"),
        (
            {"model.safetensors": b"\x02" + bytes(7) + b"{}", "config.json": b"{"},
            "cannot be read",
        ),
        (
            {"model.safetensors": b"\x02" + bytes(7) + b"{}", "config.json": b"{}"},
            "has no hidden_size",
        ),
        (
            {
                "model.safetensors": b"\x02" + bytes(7) + b"{}",
                "modules.json": b'[{"type": "x.Transformer", "path": "../other"}]',
            },
            "outside of the model's",
        ),
    ],
)
def test_folders_that_hold_no_model(made, said, tmp_path):
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=said):
        pf.embedding(tmp_path)


def test_weights_that_are_cut_off(tiny, tmp_path):
    shutil.copytree(tiny("bert"), tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UsageError, match="shorter than its header says"):
        pf.embedding(tmp_path / "m")


@pytest.mark.parametrize("name", ["no such folder", "./nowhere", "org/none-such", "a/b/c"])
def test_names_that_lead_nowhere(name):
    with pytest.raises(UsageError, match=r"neither a folder|no folder|cannot be fetched"):
        pf.embedding(name)


def test_a_model_in_the_cache_of_the_hub(tiny, tmp_path, monkeypatch):
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--org--tiny"
    shutil.copytree(tiny("camembert"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    block = pf.embedding("org/tiny", engine="torch")
    assert block.params["settings"]["revision"] == commit
    assert block.setup["model"]().embed(["a"], block.setup["model"].settings)[0].shape == (1, 32)


@pytest.mark.parametrize("inside", ["", "tiny/"])
def test_a_model_in_an_archive_at_a_url(tiny, tmp_path, monkeypatch, inside):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for file in tiny("bert").iterdir():
            archive.write(file, inside + file.name)
    block = pf.embedding(f"file://{tmp_path}/model.zip", engine="torch")
    plain = pf.embedding(tiny("bert"), engine="torch")
    assert block(["a cat"])[0].tobytes() == plain(["a cat"])[0].tobytes()
    assert block.describe() == plain.describe()  # where the model lies does not matter
    (tmp_path / "model.zip").unlink()  # it is in the cache now
    again = pf.embedding(f"file://{tmp_path}/model.zip", engine="torch")
    assert again.describe() == block.describe()


def test_a_model_in_a_folder_at_a_url(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    block = pf.embedding(f"file://{tiny('mpnet')}", engine="torch")
    plain = pf.embedding(tiny("mpnet"), engine="torch")
    assert block(["a cat"])[0].tobytes() == plain(["a cat"])[0].tobytes()


def test_engines_and_types_that_do_not_go_together(minilm, static):
    for options, said in (
        ({"engine": "tensorflow"}, "engine must be one of"),
        ({"engine": "openvino", "dtype": "int8"}, "computes in float32 or bfloat16"),
        ({"engine": "static"}, "is not static"),
        ({"long_texts": "drop"}, "'cut' or 'average'"),
        ({"max_tokens": 1}, "above 2"),
    ):
        with pytest.raises(UsageError, match=said):
            pf.embedding(minilm, **options)
    with pytest.raises(UsageError, match="is static"):
        pf.embedding(static, engine="torch")


# --- whole runs -----------------------------------------------------------------------------------


def run(block, corpus, store, client, **options):
    graph = pf.Graph([block])
    options = {"client": client, "shard_rows": 128, "progress": False, **options}
    return pf.submit(graph, pf.open_corpus(corpus), store, **options).result()


def test_a_run_with_two_processes(glosses, write_jsonl, tmp_path, tiny):
    block = pf.embedding(tiny("bert"), engine="torch")
    corpus = write_jsonl(glosses[:1000])
    with pf.connect("cpu", workers=2, quiet=True) as client:
        run(block, corpus, tmp_path / "a", client)
    found = pf.open_results(tmp_path / "a")
    vectors, tokens = block([one["text"] for one in glosses[:1000]])
    assert found.embedding.values.tobytes() == vectors.tobytes()
    assert found.embedding_tokens.values.tolist() == tokens.tolist()
    manifest = (tmp_path / "a" / "_run" / "manifest.json").read_text()
    assert block.params["settings"]["digest"] in manifest


def test_settings_of_another_process_are_the_same(tiny):
    block = pf.embedding(tiny("bert"), engine="torch", dtype="bfloat16")
    assert isinstance(block.setup["model"], Loader)
    assert isinstance(block.setup["float32_model"], Later)
    graph = pf.Graph([block])
    import cloudpickle

    assert cloudpickle.loads(cloudpickle.dumps(graph)).describe() == graph.describe()


def test_a_model_in_the_shell(glosses, write_jsonl, tmp_path, tiny):
    corpus, store = write_jsonl(glosses[:100]), tmp_path / "a"
    model = str(tiny("bert"))
    ran = CliRunner().invoke(
        app, ["run", str(corpus), str(store), "--embed", model, "--cluster", "threads", "--quiet"]
    )
    assert ran.exit_code == 0, ran.output
    found = pf.open_results(store)
    vectors, _ = pf.embedding(model)([one["text"] for one in glosses[:100]])
    assert found.bert.values.tobytes() == vectors.tobytes()
    assert found.dhatu.shape == (100, 9)


# --- static models --------------------------------------------------------------------------------


def test_static_vectors_are_those_of_model2vec(static, texts):
    from model2vec import StaticModel

    vectors, tokens = pf.embedding(static)(texts)
    model = StaticModel.from_pretrained(static, max_length=None)
    np.testing.assert_allclose(vectors, model.encode(texts, max_length=None), atol=1e-6)
    assert tokens.tolist() == [len(one) for one in model.tokenize(texts)]
    assert not vectors[texts.index("")].any()


def test_static_vectors_of_sentence_transformers(minilm, tmp_path, texts):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=64)])
    model.save(str(tmp_path / "m"))
    vectors, _ = pf.embedding(tmp_path / "m")(texts)
    np.testing.assert_allclose(vectors, model.encode(texts), atol=1e-6)


def test_static_vectors_do_not_depend_on_company(static, texts):
    block = pf.embedding(static)
    whole, _ = block(texts)
    for row in range(0, len(texts), 7):
        assert block([texts[row]])[0].tobytes() == whole[row].tobytes()


def test_words_have_the_tokens_that_texts_have(static, texts):
    words = made_here(pf.embedding(static))["model"]._words
    assert words._by_word
    odd = [
        *texts,
        "a\x0bb",
        "a\x1cb c\x85d",
        "\u3000x\u2009y",
        "don't [MASK]x",
        "né\u200bé ﬁ",
        "a\u0301 \u0301b",
    ]
    ids, offsets = words(odd)
    for row, text in enumerate(odd):
        (found,) = words._tokens([text])
        assert ids[offsets[row] : offsets[row + 1]].tolist() == found
