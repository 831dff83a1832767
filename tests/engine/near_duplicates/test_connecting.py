"""Clusters equal those of all pairs compared, however rows are divided, ordered or added."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from key_blocks_in_memory import KeyBlocksInMemory, near_signatures
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from paninifs.engine.near_duplicates import repeats, similar_pairs
from paninifs.engine.near_duplicates.by_signature import BySignature, least_agreeing
from paninifs.engine.near_duplicates.connecting import clusters_of
from paninifs.engine.near_duplicates.key_partitions import Partitions
from paninifs.engine.near_duplicates.state import Clusters

BANDS, ROWS, LARGE = 4, 3, 64 << 20
SETTINGS = {"threshold": 0.7, "exact": False}


def pairs_by_force(blocks: KeyBlocksInMemory, least: int) -> set[tuple[int, int]]:
    """Compare all pairs: those with an equal key and enough equal values."""
    keys, signatures = blocks.keys, blocks.all
    candidates = ((keys[:, None] == keys) & (keys != 0)).any(axis=2)
    agreeing = (signatures[:, None] == signatures).sum(axis=2)
    one, other = np.nonzero(np.triu(candidates & (agreeing >= least), 1))
    return set(zip(one.tolist(), other.tolist(), strict=True))


def labels_by_force(blocks: KeyBlocksInMemory, threshold: float = 0.7) -> list[int]:
    pairs = pairs_by_force(blocks, least_agreeing(threshold, blocks.permutations))
    return labels_of_pairs(pairs, blocks.rows)


def labels_of_pairs(pairs: set[tuple[int, int]], rows: int) -> list[int]:
    edges = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(edges[0])), edges), (rows, rows))
    _, component = connected_components(graph, directed=False)
    first = np.full(rows + 1, rows)
    np.minimum.at(first, component, np.arange(rows))
    return first[component].tolist()


def found(
    blocks: KeyBlocksInMemory,
    former: Clusters | None = None,
    *,
    memory: int = LARGE,
    threshold: float = 0.7,
    scratch: str | None = None,
) -> Clusters:
    verifier = BySignature(blocks, threshold, memory)
    return clusters_of(blocks, verifier, SETTINGS, former, memory, scratch)


def labels(clusters: Clusters) -> list[int]:
    made = np.arange(clusters.texts)
    made[clusters.rows] = clusters.clusters
    return made.tolist()


rows = st.integers(0, 60)
seeds = st.integers(0, 10_000)


@given(seed=seeds, rows=rows, block=st.integers(1, 70), memory=st.sampled_from([400, 3_000, LARGE]))
@settings(deadline=None)  # the first example may compile
def test_clusters_are_those_of_all_pairs(seed, rows, block, memory) -> None:
    blocks = KeyBlocksInMemory(near_signatures(seed, rows), BANDS, ROWS, block=block)
    assert labels(found(blocks, memory=memory)) == labels_by_force(blocks)


@given(seed=seeds, rows=rows, threshold=st.sampled_from([0.05, 0.3, 0.5, 0.9, 1.0]))
@settings(deadline=None)  # the first example may compile
def test_clusters_are_those_of_all_pairs_at_any_threshold(seed, rows, threshold) -> None:
    blocks = KeyBlocksInMemory(near_signatures(seed, rows), BANDS, ROWS)
    wanted = labels_by_force(blocks, threshold)
    assert labels(found(blocks, threshold=threshold)) == wanted


@given(seed=seeds, rows=rows, order=st.randoms(use_true_random=False))
@settings(deadline=None)  # the first example may compile
def test_the_order_of_texts_changes_no_set(seed, rows, order) -> None:
    signatures = near_signatures(seed, rows)
    shuffled = list(range(rows))
    order.shuffle(shuffled)
    one = labels(found(KeyBlocksInMemory(signatures, BANDS, ROWS)))
    other = labels(found(KeyBlocksInMemory(signatures[shuffled], BANDS, ROWS)))
    back = {shuffled[row]: shuffled[label] for row, label in enumerate(other)}
    sets = {frozenset(r for r in range(rows) if one[r] == label) for label in one}
    assert sets == {frozenset(r for r in range(rows) if back[r] == x) for x in back.values()}


@given(
    seed=seeds, rows=rows, stops=st.lists(st.integers(0, 60), max_size=4), block=st.integers(1, 20)
)
@settings(max_examples=60, deadline=None)
def test_added_texts_are_clustered_as_if_they_had_been_there(seed, rows, stops, block) -> None:
    signatures = near_signatures(seed, rows)
    former = None
    for stop in [*sorted(min(one, rows) for one in stops), rows]:
        blocks = KeyBlocksInMemory(signatures[:stop], BANDS, ROWS, block=block)
        former = found(blocks, former, memory=2_000)
        assert labels(former) == labels_by_force(blocks)


def test_unchanged_clusters_are_returned_as_they_are() -> None:
    blocks = KeyBlocksInMemory(near_signatures(1, 50), BANDS, ROWS, block=7)
    former = found(blocks)
    blocks.signatures_read = 0
    assert found(blocks, former) is former
    assert blocks.signatures_read == 0


def test_few_signatures_are_read_for_added_texts() -> None:
    signatures = near_signatures(2, 4_000)
    before = KeyBlocksInMemory(signatures[:3_900], BANDS, ROWS)
    former = found(before)
    after = KeyBlocksInMemory(signatures, BANDS, ROWS)
    grown = found(after, former)
    assert after.signatures_read < before.signatures_read / 4
    assert labels(grown) == labels(found(KeyBlocksInMemory(signatures, BANDS, ROWS)))


def test_signatures_are_not_read_anew_for_every_band() -> None:
    random = np.random.default_rng(7)
    signatures = random.integers(0, 2**32, (4_000, 16), dtype=np.uint32)
    for band in range(BANDS):  # in each band, other texts share a key and little else
        some = slice(40 * band, 40 * band + 40)
        signatures[some, ROWS * band : ROWS * (band + 1)] = band
    calls = []

    class Counted(BySignature):
        def connect(self, buckets, parents) -> None:
            calls.append(len(buckets.rows))
            super().connect(buckets, parents)

    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS)
    made = clusters_of(blocks, Counted(blocks, 0.7, LARGE), SETTINGS, None, LARGE)
    assert labels(made) == list(range(4_000))
    assert calls == [160]


def test_of_a_former_cluster_one_text_is_compared_first() -> None:
    signatures = np.repeat(near_signatures(8, 1, 16), 60, axis=0)
    signatures[:, -1] = np.arange(60)  # a cluster of different signatures
    former = found(KeyBlocksInMemory(signatures[:50], BANDS, ROWS))
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS)
    assert labels(found(blocks, former)) == [0] * 60
    assert blocks.signatures_read == 11


def test_a_row_that_has_changed_since_is_noticed(caplog) -> None:
    signatures = near_signatures(3, 60)
    former = found(KeyBlocksInMemory(signatures[:40], BANDS, ROWS))
    signatures[11] = signatures[12] = 5
    for stop in (40, 60):
        blocks = KeyBlocksInMemory(signatures[:stop], BANDS, ROWS)
        with caplog.at_level(logging.WARNING):
            assert labels(found(blocks, former)) == labels_by_force(blocks)
        assert "clustered anew" in caplog.text
        caplog.clear()


def test_a_store_that_has_become_smaller_is_clustered_anew() -> None:
    signatures = near_signatures(4, 60)
    former = found(KeyBlocksInMemory(signatures, BANDS, ROWS))
    smaller = KeyBlocksInMemory(signatures[:30], BANDS, ROWS)
    assert labels(found(smaller, former)) == labels_by_force(smaller)


def test_rows_without_results_are_in_no_cluster() -> None:
    signatures = np.ones((6, 16), np.uint32)
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS, missing=[0, 3])
    assert labels(found(blocks)) == [0, 1, 1, 3, 1, 1]


def test_texts_without_shingles_are_in_no_cluster() -> None:
    blocks = KeyBlocksInMemory(np.full((5, 16), 0xFFFFFFFF, np.uint32), BANDS, ROWS)
    assert labels(found(blocks)) == [0, 1, 2, 3, 4]


# --- large buckets --------------------------------------------------------------------------------


def test_a_hundred_thousand_equal_texts_are_linked_and_not_paired(monkeypatch) -> None:
    signatures = np.full((100_000, 16), 7, np.uint32)
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS, block=30_000)
    added = []
    add = Partitions.add
    monkeypatch.setattr(
        Partitions, "add", lambda *given: added.append(len(given[2])) or add(*given)
    )
    clusters = found(blocks, memory=1 << 20)
    assert sum(added) == BANDS * 4  # one text for each block
    assert (clusters.clusters == 0).all()
    assert len(clusters.rows) == 99_999
    read = blocks.signatures_read
    assert read <= 100_000 + 10  # once, by block
    pairs = list(similar_pairs.similar_pairs(blocks, 16, 1 << 20))
    assert blocks.signatures_read < read + 100_100  # once more
    assert sum(map(len, pairs)) == 99_999
    assert all((one.one == 0).all() for one in pairs)
    monkeypatch.setattr(repeats, "REPEATS", 1 << 40)  # as if nothing were repeated often
    assert labels(found(blocks, memory=1 << 20)) == [0] * 100_000


@pytest.mark.parametrize("memory", [10_000, LARGE])
def test_one_band_in_common_does_not_connect(memory) -> None:
    signatures = np.random.default_rng(0).integers(0, 2**32, (300, 16), dtype=np.uint32)
    signatures[:, :ROWS] = 1
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS)
    assert labels(found(blocks, memory=memory)) == list(range(300))


def test_a_chain_is_connected_though_its_ends_are_not_alike() -> None:
    signatures = np.zeros((12, 16), np.uint32)
    signatures[:, :ROWS] = 1
    for row in range(12):
        signatures[row, ROWS : ROWS + row + 1] = 9  # each differs in one value from the one before
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS)
    assert labels(found(blocks, threshold=15 / 16)) == [0] * 12
    order = [5, 0, 11, 3, 8, 1, 10, 2, 9, 4, 7, 6]
    blocks = KeyBlocksInMemory(signatures[order], BANDS, ROWS)
    assert labels(found(blocks, threshold=15 / 16)) == [0] * 12


# --- pairs ----------------------------------------------------------------------------------------


@given(seed=seeds, rows=rows, least=st.integers(0, 16), memory=st.sampled_from([400, 3_000, LARGE]))
@settings(deadline=None)  # the first example may compile
def test_pairs_are_those_of_all_texts_with_distinct_signatures(seed, rows, least, memory) -> None:
    blocks = KeyBlocksInMemory(near_signatures(seed, rows), BANDS, ROWS, block=13)
    made = [
        (a, b)
        for batch in similar_pairs.similar_pairs(blocks, least, memory)
        for a, b in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
    ]
    assert len(set(made)) == len(made)
    first: dict[bytes, int] = {}
    leading = [first.setdefault(one.tobytes(), row) for row, one in enumerate(blocks.all)]
    wanted = {
        (a, b)
        for a, b in pairs_by_force(blocks, least)
        if (leading[a] == a and leading[b] == b) or leading[b] == a
    }
    assert set(made) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "REPEATS", 2)  # as if two were often
        again = similar_pairs.similar_pairs(blocks, least, memory)
        pairs = [
            (a, b) for p in again for a, b in zip(p.one.tolist(), p.other.tolist(), strict=True)
        ]
    assert len(pairs) == len(wanted)
    assert set(pairs) == wanted


@given(seed=seeds, rows=rows)
@settings(deadline=None)  # the first example may compile
def test_pairs_connect_what_clusters_connect(seed, rows) -> None:
    blocks = KeyBlocksInMemory(near_signatures(seed, rows), BANDS, ROWS)
    least = least_agreeing(0.7, blocks.permutations)
    made = {
        pair
        for batch in similar_pairs.similar_pairs(blocks, least, LARGE)
        for pair in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
    }
    assert labels_of_pairs(made, rows) == labels(found(blocks))


def test_similarities_are_shares_of_equal_values() -> None:
    signatures = np.ones((2, 16), np.uint32)
    signatures[1, 12:] = 2
    (pairs,) = (
        p
        for p in similar_pairs.similar_pairs(KeyBlocksInMemory(signatures, BANDS, ROWS), 0, LARGE)
        if len(p)
    )
    assert (pairs.one.tolist(), pairs.other.tolist()) == ([0], [1])
    assert pairs.similarity.tolist() == [0.75]


# --- memory ---------------------------------------------------------------------------------------


def test_a_small_budget_divides_the_keys_into_files_and_removes_them(tmp_path: Path) -> None:
    signatures = near_signatures(5, 5_000)
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS, block=1_000)
    with Partitions(BANDS, 5_000, 40_000, str(tmp_path)) as partitions:
        for block in blocks.read(blocks.spans()):
            for band, keys in enumerate(block.keys.T):
                partitions.add(band, keys, np.arange(len(keys)) + block.start)
            assert partitions._held_bytes <= 20_000
        assert partitions.parts == 16  # 48 bytes per text, of half the budget
        assert partitions.spilled
        sizes = [len(partitions.take(0, part)) for part in range(partitions.parts)]
        assert sum(sizes) == 5_000
    assert not list(tmp_path.iterdir())
    made = found(blocks, memory=40_000, scratch=str(tmp_path))
    assert labels(made) == labels(found(blocks))
    assert not list(tmp_path.iterdir())


def test_scratch_files_are_removed_after_an_error(tmp_path: Path) -> None:
    blocks = KeyBlocksInMemory(near_signatures(6, 2_000), BANDS, ROWS)

    class Failing(BySignature):
        def connect(self, buckets, parents) -> None:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        clusters_of(blocks, Failing(blocks, 0.7, 1), SETTINGS, None, 40_000, str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow("traces the memory of 200,000 texts")
def test_memory_is_bounded_by_the_budget() -> None:
    signatures = np.random.default_rng(0).integers(0, 2**32, (200_000, 16), dtype=np.uint32)
    signatures[100_000:105_000] = signatures[:5_000]
    blocks = KeyBlocksInMemory(signatures, BANDS, ROWS, block=4_096)
    found(KeyBlocksInMemory(signatures[:1_000], BANDS, ROWS), memory=400)  # loads the loops
    peaks, made = [], []
    for memory in (1 << 20, 4 << 20, LARGE):
        tracemalloc.start()
        made.append(found(blocks, memory=memory))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert labels(made[0]) == labels(made[1]) == labels(made[2])
    assert [len(one.rows) for one in made] == [5_000] * 3
    fixed = 2 << 20  # a block, and the clusters
    assert peaks[0] < (1 << 20) + fixed
    assert peaks[1] < (4 << 20) + fixed
    assert peaks[2] > 5 * peaks[1]
