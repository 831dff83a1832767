"""`near_duplicates` over runs: what is found, kept, extended, checked and written."""

from __future__ import annotations

import io
import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasketch import MinHash, MinHashLSH

import paninifs as pf
from paninifs.engine.near_duplicates import connecting, find
from paninifs.graphs.kernels.shingles import shingles_of
from paninifs.storage.errors import ResultsMismatch, UsageError
from paninifs.storage.store.keys import NEAR_DUPLICATES
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.open import open_target

LONG = [
    "the quality of being agreeable or pleasant to others in company and in conversation",
    "a small part of something that is cut or broken off from a larger whole thing",
    "any of numerous trees of the genus that have hard wood and bear many nuts in autumn",
]
TEXTS = [
    LONG[0],
    LONG[1],
    LONG[0].upper() + "!",
    "",
    LONG[2],
    LONG[1].replace("a small", "one small"),
    "...",
    LONG[0],
    "",
    "short",
    "Short.",
]
LABELS = [0, 1, 0, 3, 4, 1, 6, 0, 8, 9, 9]


@pytest.fixture
def find_in(inline, tmp_path):
    """Find near-duplicates of texts, in a store."""

    def call(texts=TEXTS, threshold=0.6, **options):
        table = pa.table({"text": texts, "n": range(len(texts))})
        pq.write_table(table, tmp_path / "corpus.parquet")
        corpus = pf.open_corpus(tmp_path / "corpus.parquet")
        options = {"store": tmp_path / "out.zarr", "client": inline, "progress": False, **options}
        return pf.near_duplicates(corpus, threshold, **options)

    return call


def test_equal_and_similar_texts_are_in_a_cluster(find_in):
    found = find_in()
    assert found.labels().tolist() == LABELS
    assert found.kept().tolist() == [row == label for row, label in enumerate(LABELS)]
    assert found.labels(4, 8).tolist() == LABELS[4:8]
    assert found.kept(9, 99).tolist() == [True, False]
    assert (found.texts, found.cluster_count, found.duplicates) == (11, 3, 4)
    assert "4 of 11 texts are near-duplicates, in 3 clusters" in repr(found)
    table = found.clusters()
    assert table.values.tolist() == [
        [0, 0, True],
        [0, 2, False],
        [0, 7, False],
        [1, 1, True],
        [1, 5, False],
        [9, 9, True],
        [9, 10, False],
    ]


def test_pairs_come_with_their_similarity(find_in):
    estimated = {
        (one, other): similarity
        for batch in find_in().pairs()
        for one, other, similarity in zip(batch.one, batch.other, batch.similarity, strict=True)
    }
    assert sorted(estimated) == [(0, 2), (0, 7), (1, 5), (9, 10)]
    assert estimated[0, 2] == estimated[0, 7] == estimated[9, 10] == 1
    assert 0.6 <= estimated[1, 5] < 1


def test_the_same_call_again_reads_what_is_there(find_in, monkeypatch):
    first = find_in()
    monkeypatch.setattr(find, "write_clusters", None)
    monkeypatch.setattr(connecting, "_partition", None)
    assert find_in().labels().tolist() == first.labels().tolist()
    assert pf.near_duplicates(store=first.results, threshold=0.6).labels().tolist() == LABELS


def test_another_threshold_needs_no_other_signatures(find_in, tmp_path):
    find_in()
    before = open_target(tmp_path / "out.zarr").sizes("minhash")
    stricter = find_in(threshold=0.95)
    assert stricter.labels().tolist() == [0, 1, 0, 3, 4, 5, 6, 0, 8, 9, 9]
    assert open_target(tmp_path / "out.zarr").sizes("minhash") == before
    assert stricter.bands != find_in().bands


def test_without_a_store_the_results_are_temporary(inline):
    from pathlib import Path

    found = pf.near_duplicates(pd.DataFrame({"text": TEXTS}), 0.6, client=inline, progress=False)
    assert found.labels().tolist() == LABELS
    assert found.check(10).pairs == 4
    where = Path(found.results)
    assert where.exists()
    del found
    assert not where.exists()


@pytest.mark.parametrize(("kind", "size"), [("words", 3), ("characters", 5)])
def test_exact_similarities_replace_the_estimates(find_in, kind, size):
    found = find_in(exact=True, shingles=kind, threshold=0.7)
    assert found.exact
    pairs = {
        (a, b): s
        for batch in found.pairs()
        for a, b, s in zip(
            batch.one.tolist(), batch.other.tolist(), batch.similarity.tolist(), strict=True
        )
    }
    assert pairs[0, 2] == pairs[0, 7] == 1
    one, other = (set(shingles_of(TEXTS[row].encode(), kind, size)) for row in (1, 5))
    assert pairs[1, 5] == len(one & other) / len(one | other) > 0.7
    assert found.labels().tolist() == LABELS
    assert found.check().precision == 1


def test_quarantined_rows_are_in_no_cluster(inline, tmp_path):
    pq.write_table(pa.table({"text": ["a b c", None, "a b c", None]}), tmp_path / "c.parquet")
    corpus = pf.open_corpus(tmp_path / "c.parquet")
    found = pf.near_duplicates(corpus, store=tmp_path / "o.zarr", client=inline, progress=False)
    assert (found.labels().tolist(), found.quarantined) == ([0, 1, 0, 3], 2)
    assert found.write(tmp_path / "kept.parquet") == 1


# --- growing --------------------------------------------------------------------------------------


def write_part(folder, name, texts):
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / name).write_text(lines)


def test_an_extended_corpus_has_the_clusters_of_a_whole_one(inline, tmp_path, glosses):
    random = np.random.default_rng(0)
    texts = [row["text"] for row in glosses[:300]]
    texts += [texts[row] for row in random.integers(0, 300, 60)]
    random.shuffle(texts)
    options = {"client": inline, "progress": False}
    for number, start in enumerate((0, 200, 300)):
        write_part(tmp_path / "parts", f"{number}.jsonl", texts[start : (200, 300, 360)[number]])
        corpus = pf.open_corpus(tmp_path / "parts")
        found = pf.near_duplicates(corpus, store=tmp_path / "o.zarr", extend=number > 0, **options)
    whole = pf.near_duplicates(pd.DataFrame({"text": texts}), **options)
    assert whole.duplicates > 30
    assert found.labels().tolist() == whole.labels().tolist()
    assert sum(map(len, found.pairs())) == sum(map(len, whole.pairs()))


def test_a_store_that_is_made_anew_is_clustered_anew(find_in, tmp_path, inline):
    find_in()
    graph = pf.minhash() + pf.band_keys(*find.bands_for(0.6, 128))
    other = pa.table({"text": ["x y z"] * 3, "n": [0, 1, 2]})
    pq.write_table(other, tmp_path / "corpus.parquet")
    corpus = pf.open_corpus(tmp_path / "corpus.parquet")
    options = {"client": inline, "progress": False, "fresh": True}
    pf.submit(graph, corpus, tmp_path / "out.zarr", **options).result()
    found = pf.near_duplicates(store=tmp_path / "out.zarr", threshold=0.6)
    assert found.labels().tolist() == [0, 0, 0]


@pytest.mark.parametrize("damage", ["clusters.json", "members", "gone", "foreign", "nonsense"])
def test_damaged_clusters_are_made_again(find_in, damage):
    found = find_in()
    target = open_target(found.results)
    keys = list(target.sizes(f"{NEAR_DUPLICATES}/jaccard-0.6"))
    (key,) = (key for key in keys if ("json" in key) == (damage in ("clusters.json", "foreign")))
    if damage == "gone":
        target.delete([key])
    elif damage == "foreign":
        state = json.loads(target.get(key))
        state["known"] = [[0, 11, state["known"][0][2]], [5, 11, ""]]
        target.put(key, json.dumps(state).encode())
    elif damage == "nonsense":
        sink = io.BytesIO()
        pq.write_table(pa.table({"row": [3, 50], "cluster": [7, 0]}), sink)
        target.put(key, sink.getvalue())
    else:
        target.put(key, b"\0" * 30)
    assert find_in().labels().tolist() == LABELS


def test_former_clusters_are_replaced(find_in, tmp_path, inline):
    found = find_in()
    target = open_target(found.results)
    folder = f"{NEAR_DUPLICATES}/jaccard-0.6"
    before = set(target.sizes(folder))
    (key,) = (key for key in before if key.endswith("parquet"))
    target.put(key, b"")
    find_in()
    after = set(target.sizes(folder))
    assert len(after) == len(before) == 2
    assert key not in after


# --- writing --------------------------------------------------------------------------------------


def test_what_is_kept_is_written_with_its_columns(find_in, tmp_path):
    found = find_in()
    assert found.write(tmp_path / "kept.parquet") == 7
    table = pq.read_table(tmp_path / "kept.parquet")
    kept = np.flatnonzero(found.kept()).tolist()
    assert table["n"].to_pylist() == kept
    assert table["text"].to_pylist() == [TEXTS[row] for row in kept]
    with pytest.raises(UsageError, match="exists"):
        found.write(tmp_path / "kept.parquet")
    assert found.write(tmp_path / "kept.parquet", overwrite=True) == 7
    again = pf.open_corpus(tmp_path / "kept.parquet")
    assert again.index.rows == 7
    before = (tmp_path / "corpus.parquet").read_bytes()
    with pytest.raises(UsageError, match="is a file of the corpus"):
        found.write(tmp_path / "corpus.parquet", overwrite=True)
    assert (tmp_path / "corpus.parquet").read_bytes() == before
    with pytest.raises(UsageError, match="local path"):
        found.write("s3://bucket/kept.parquet")


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan"), True, "0.8", None])
def test_a_threshold_that_is_no_similarity_is_refused(threshold):
    with pytest.raises(UsageError, match="threshold must be more than 0 and at most 1"):
        pf.near_duplicates(["a"], threshold)


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan"), "0.8"])
def test_pairs_of_no_similarity_are_refused(find_in, threshold):
    with pytest.raises(UsageError, match="threshold must be at least 0 and at most 1"):
        find_in().pairs(threshold)


def test_rows_before_the_first_are_refused(find_in):
    for rows in ((-2, 3), (0, -1)):
        with pytest.raises(UsageError, match="counted from 0"):
            find_in().labels(*rows)


@pytest.mark.parametrize("memory", [0, 1023, "lots", "1 parsec", None, -1])
def test_a_budget_that_is_no_size_is_refused(memory):
    with pytest.raises(UsageError, match="memory must be a size of at least 1 MiB"):
        pf.near_duplicates(["a"], memory=memory)


def test_neither_a_corpus_nor_a_store_is_refused():
    with pytest.raises(UsageError, match="a corpus, or a store"):
        pf.near_duplicates()


def test_a_store_without_signatures_is_refused(inline, tmp_path):
    corpus = pf.open_corpus(pd.DataFrame({"text": ["a"]}))
    options = {"client": inline, "progress": False}
    pf.submit(pf.digest(), corpus, tmp_path / "o.zarr", **options).result()
    with pytest.raises(UsageError, match=r"has no signatures of the block 'minhash'; add"):
        pf.near_duplicates(store=tmp_path / "o.zarr")
    other = pd.DataFrame({"text": ["b"]})
    with pytest.raises(ResultsMismatch):
        pf.near_duplicates(other, store=tmp_path / "o.zarr", **options)


def test_a_store_of_another_graph_may_have_signatures_added(inline, tmp_path):
    corpus = pf.open_corpus(pd.DataFrame({"text": TEXTS}))
    options = {"client": inline, "progress": False}
    graph = pf.digest() + pf.minhash()
    pf.submit(graph, corpus, tmp_path / "o.zarr", **options).result()
    found = pf.near_duplicates(store=tmp_path / "o.zarr", threshold=0.6)
    assert found.labels().tolist() == LABELS


@pytest.mark.parametrize("wrong", [0, 1.5, "all"])
def test_a_sample_that_is_no_number_is_refused(find_in, wrong):
    with pytest.raises(UsageError, match="sample must be a whole number"):
        find_in().check(wrong)


def test_signatures_are_added_to_results_of_the_same_corpus(inline, tmp_path):
    write_part(tmp_path / "parts", "0.jsonl", TEXTS)
    options = {"client": inline, "progress": False}
    pf.submit(
        pf.default_graph(), pf.open_corpus(tmp_path / "parts"), tmp_path / "o.zarr", **options
    ).result()
    options |= {"store": tmp_path / "o.zarr", "threshold": 0.6}
    for extend in (False, False, True):
        if extend:
            write_part(tmp_path / "parts", "1.jsonl", [LONG[2]])
        corpus = pf.open_corpus(tmp_path / "parts")
        found = pf.near_duplicates(corpus, extend=extend, **options)
        assert found.labels().tolist() == LABELS + [4] * extend
    assert pf.verify(tmp_path / "o.zarr").passed
    assert pf.open_results(tmp_path / "o.zarr").dhatu.shape == (12, 9)


def test_results_of_a_block_of_the_callers_own_are_not_replaced(inline, tmp_path):
    @pf.map_block(fields=[pf.Field("bytes", "int64")])
    def n_bytes(length):
        return length

    corpus = pf.open_corpus(pd.DataFrame({"text": TEXTS}))
    options = {"client": inline, "progress": False}
    pf.submit(pf.Graph((n_bytes,)), corpus, tmp_path / "o.zarr", **options).result()
    with pytest.raises(UsageError, match=r"'n_bytes', which only its graph.*pf.minhash\(\) added"):
        pf.near_duplicates(corpus, store=tmp_path / "o.zarr", **options)


def test_clusters_are_not_written_while_a_run_writes_the_store(find_in, tmp_path, caplog):
    find_in()
    target = open_target(tmp_path / "out.zarr")
    with Lease.acquire(target):
        found = pf.near_duplicates(store=tmp_path / "out.zarr", threshold=0.9)
    assert found.labels()[2] == 0
    assert "not kept in the store" in caplog.text
    assert not target.sizes(f"{NEAR_DUPLICATES}/jaccard-0.9")


# --- other readers of the store -------------------------------------------------------------------


def test_signatures_are_verified_cited_exported_and_not_compared_as_vectors(find_in, tmp_path):
    find_in()
    store = tmp_path / "out.zarr"
    checked = pf.verify(store)
    assert checked.passed
    assert set(checked.recomputed) == {"minhash", "band_keys"}
    assert "MinHash signatures" in pf.cite(store).paragraph
    assert "minhash_127" in pf.export(store, progress=False).columns
    with pytest.raises(UsageError, match="minhash"):
        pf.peek("le mot", store, by="minhash")


def test_a_changed_signature_is_found_by_verify(find_in, tmp_path):
    import zarr

    find_in()
    array = zarr.open_group(tmp_path / "out.zarr", mode="r+")["minhash"]
    array[3, 5] = 7
    assert not pf.verify(tmp_path / "out.zarr").passed


# --- datasketch -----------------------------------------------------------------------------------


def every_pair(found, signatures, threshold=0.0):
    """Return all pairs: those of `pairs`, and of texts with signatures equal to theirs."""
    equal = defaultdict(list)
    for row, signature in enumerate(signatures):
        equal[signature.tobytes()].append(row)
    return {
        (min(a, b), max(a, b))
        for batch in found.pairs(threshold)
        for one, other in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
        for a in equal[signatures[one].tobytes()]
        for b in equal[signatures[other].tobytes()]
        if a != b
    }


def pairs_of_datasketch(signatures, threshold):
    made = [MinHash(hashvalues=one, scheme="affine32") for one in signatures]
    index = MinHashLSH(threshold=threshold, num_perm=signatures.shape[1])
    for row, one in enumerate(made):
        index.insert(row, one)
    return {
        (min(row, other), max(row, other))
        for row, one in enumerate(made)
        for other in index.query(one)
        if other != row
    }


@pytest.mark.slow("datasketch inserts two thousand signatures")
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_candidates_are_those_of_datasketch(inline, tmp_path, glosses, threshold):
    random = np.random.default_rng(0)
    texts = [row["text"] for row in glosses[:1200]]
    for row in random.integers(0, 1200, 300):
        words = texts[row].split()
        words[random.integers(len(words))] = "changed"
        texts.append(" ".join(words))
    found = pf.near_duplicates(
        pd.DataFrame({"text": texts}),
        threshold,
        shingles="characters",
        client=inline,
        progress=False,
    )
    signatures = pf.open_results(found.results).minhash.values
    theirs = pairs_of_datasketch(signatures, threshold)
    assert every_pair(found, signatures) == theirs
    assert len(theirs) > 100


def test_clusters_do_not_depend_on_workers_or_shards(tmp_path, glosses):
    random = np.random.default_rng(0)
    texts = [row["text"] for row in glosses[:500]]
    texts += [texts[row] + " etc" for row in random.integers(0, 500, 200)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "c.parquet", row_group_size=100)
    graph = pf.minhash() + pf.band_keys(9, 13)
    labels = []
    for workers, shard_rows in ((1, 64), (2, 128)):
        store = tmp_path / f"{workers}.zarr"
        with pf.connect(workers=workers, quiet=True):
            corpus = pf.open_corpus(tmp_path / "c.parquet")
            pf.submit(graph, corpus, store, shard_rows=shard_rows, progress=False).result()
        labels.append(pf.near_duplicates(store=store, memory="1MiB").labels().tolist())
    assert labels[0] == labels[1]
    assert len(set(labels[0])) < 600
