"""Ready-made reductions, and the map-blocks that apply them, in runs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf

ROWS, DIM = 400, 4


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    words = ["le", "mot", "dit", "racine", "sens", "un", "autre"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(ROWS)]
    return {
        "id": [f"t{n}" for n in range(ROWS)],
        "text": [None if n % 50 == 7 else text for n, text in enumerate(texts)],
        "lang": [None if n % 31 == 2 else ("fr", "en", "sa")[n % 3] for n in range(ROWS)],
        "score": [
            None if n % 3 == 1 else float("nan") if n % 7 == 3 else n / 8 for n in range(ROWS)
        ],
    }


@pytest.fixture
def run(rows, inline, tmp_path):
    """Run a graph into a store; return the store."""
    path = tmp_path / "corpus.parquet"
    pq.write_table(pa.table(rows), path)

    def submit(graph):
        corpus = pf.open_corpus(path, keep=["lang", "score"])
        options = {"client": inline, "shard_rows": 64, "progress": False}
        pf.submit(graph, corpus, tmp_path / "out.zarr", **options).result()
        return tmp_path / "out.zarr"

    return submit


@pf.map_block(fields=[pf.Field("tokens", "int32", ragged=True)])
def tokens(text):
    return [[sum(word.encode()) for word in one.split()] for one in text.to_strings()]


@pytest.mark.slow("several reductions")
def test_profiles_by_language_and_the_largest_values(run, rows):
    graph = pf.default_graph() + pf.profile("dhatu", by="lang") + pf.top("entropy", k=3)
    store = run(graph)
    found = pf.open_results(store).load()
    valid = found.valid.values
    profile = pf.open_reduction(store, "dhatu_by_lang")
    assert profile.lang.values.tolist() == ["en", "fr", "sa"]
    for lang in ("en", "fr", "sa"):
        chosen = valid & (np.array(rows["lang"], object) == lang)
        mean = found.dhatu.values[chosen].mean(axis=0, dtype="f8")
        np.testing.assert_allclose(profile["mean"].sel(lang=lang).values, mean, rtol=1e-12)
    top = pf.open_reduction(store, "entropy_top")
    best = np.argsort(-np.where(valid, found.entropy.values, -1), kind="stable")[:3]
    assert top["row"].values.tolist() == best.tolist()
    assert top["id"].values.tolist() == [f"t{row}" for row in best]


@pytest.mark.slow("several reductions and a second pass")
def test_pca_and_clusters_are_applied_to_every_text(run):
    pca, clusters = pf.pca("dhatu"), pf.kmeans("dhatu", k=3, passes=3)
    graph = pf.default_graph() + pca + clusters
    graph = graph + pf.project("dhatu", pca) + pf.nearest("dhatu", clusters)
    store = run(graph)
    found = pf.open_results(store).load()
    valid = found.valid.values
    assert found.dhatu_projected.shape == (ROWS, 2)
    np.testing.assert_allclose(found.dhatu_projected.values[valid].mean(axis=0), 0, atol=1e-6)
    centres = pf.open_reduction(store, clusters.name)["centres"].values
    distances = ((found.dhatu.values[valid, None] - centres) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.dhatu_cluster.values[valid], distances.argmin(axis=1))


def test_documents_are_counted_by_token(run, rows):
    store = run(tokens + pf.document_frequency("tokens"))
    found = pf.open_reduction(store, "tokens_document_frequency")
    known = [{sum(w.encode()) for w in text.split()} for text in rows["text"] if text is not None]
    for token, documents in zip(found.token.values, found["documents"].values, strict=True):
        assert documents == sum(token in one for one in known)
    assert pf.open_results(store).tokens.values[0].tolist() == [
        sum(word.encode()) for word in rows["text"][0].split()
    ]


@pf.map_block(fields=[pf.Field("half", "int32", nullable=True)])
def half(length):
    return [int(n) // 2 if n % 2 == 0 else None for n in length]


@pf.map_block(fields=[pf.Field("known", "bool"), pf.Field("again", "float32", nullable=True)])
def later(half, half_valid):
    return half_valid, [
        float(h) if known else None for h, known in zip(half, half_valid, strict=True)
    ]


def test_nullable_values_pass_through_every_stage(run, rows):
    mean = pf.reduce_block(
        lambda results: results.half.where(results.half_valid).mean("text"),
        name="mean_half",
        version="1",
    )
    use = pf.map_block(
        lambda half, mean_half: half > mean_half,
        name="large",
        fields=[pf.Field("large", "bool")],
        version="1",
    )
    store = run(half + later + mean + use)
    found = pf.open_results(store).load()
    for row, text in enumerate(rows["text"]):
        even = text is not None and len(text) % 2 == 0
        assert bool(found.half_valid.values[row]) == even
        assert bool(found.again_valid.values[row]) == even
        if even:
            assert found.half.values[row] == found.again.values[row] == len(text) // 2
    halves = [len(text) // 2 for text in rows["text"] if text is not None and len(text) % 2 == 0]
    assert pf.open_reduction(store, "mean_half").item() == pytest.approx(np.mean(halves))
    assert pf.export(store)["half"].isna().sum() == ROWS - len(halves)
    assert pf.verify(store)


@pf.map_block(
    fields=[
        pf.Field("pair", "float64", (2,), nullable=True),
        pf.Field("size", "category", categories=("short", "long")),
    ]
)
def made(text):
    texts = text.to_strings()
    pairs = [None if len(one) % 3 == 0 else (len(one), -1.5) for one in texts]
    return pairs, ["long" if len(one) > 12 else "short" for one in texts]


@pf.reduce_block
def mean_score(results):
    return results.score.mean("text")


@pytest.mark.slow("several reductions")
def test_reductions_leave_out_missing_floats(run, rows):
    """As `open_results` shows them: zeros are stored, and were averaged once."""
    profiles = pf.profile("score") + pf.profile("pair") + pf.profile("score", by="size", name="by")
    store = run(pf.default_graph() + made + mean_score + profiles + pf.top("score", k=2))
    found = pf.open_results(store).load()
    valid = found.valid.values
    known = valid & np.array([one is not None and one == one for one in rows["score"]])
    scores = np.array([one or 0.0 for one in rows["score"]])
    mean = scores[known].mean()
    np.testing.assert_allclose(pf.open_reduction(store, "mean_score").item(), mean, rtol=1e-12)
    profile = pf.open_reduction(store, "score_profile")
    assert int(profile["count"]) == np.count_nonzero(known)
    np.testing.assert_allclose(float(profile["mean"]), mean, rtol=1e-12)
    pairs = pf.open_reduction(store, "pair_profile")
    assert pairs["count"].values.tolist() == [np.count_nonzero(valid & found.pair_valid.values)] * 2
    by = pf.open_reduction(store, "by")
    for size in by["size"].values.tolist():
        chosen = known & (found["size"].values == size)
        np.testing.assert_allclose(float(by["mean"].sel(size=size)), scores[chosen].mean())
    assert sorted(by["size"].values.tolist()) == ["long", "short"]
