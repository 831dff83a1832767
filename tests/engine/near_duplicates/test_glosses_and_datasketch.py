"""WordNet's glosses with planted variants: the pairs of datasketch, recall, precision and speed.

The whole WordNet is used where it lies beside the repository, and two thousand glosses elsewhere.
"""

from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pandas as pd
import pytest
from datasketch import MinHash, MinHashLSH
from paths import GLOSSES, SHARED_CORPORA
from planted_variants import variant

import paninifs as pf
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.shingles import murmur3, shingles_of

REAL = SHARED_CORPORA / "wordnet-glosses.jsonl.gz"
THRESHOLD = 0.8


def pairs_of_datasketch(made: list[MinHash]) -> set[tuple[int, int]]:
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    with index.insertion_session() as session:
        for row, one in enumerate(made):
            session.insert(row, one)
    return {
        (min(row, other), max(row, other))
        for row, one in enumerate(made)
        for other in index.query(one)
        if other != row
    }


def jaccard(one: frozenset[bytes], other: frozenset[bytes]) -> float:
    return len(one & other) / max(len(one | other), 1)


@pytest.mark.slow("datasketch indexes 129,000 glosses")
@pytest.mark.soak("datasketch indexes 129,000 glosses")
@pytest.mark.timeout(900)
def test_glosses_with_variants_have_the_pairs_of_datasketch(inline) -> None:
    random = np.random.default_rng(0)
    with gzip.open(REAL if REAL.exists() else GLOSSES, "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    originals = random.integers(0, len(texts), len(texts) // 10)
    planted = np.arange(len(texts), len(texts) + len(originals))
    texts += [variant(texts[row], random) for row in originals.tolist()]
    shingles = [shingles_of(text.encode(), "words", 3) for text in texts]
    sets = [frozenset(one) for one in shingles]

    packed = pf.PackedText.from_strings(texts)
    load("cpu").minhash(packed[:10], **pf.minhash().params)
    begun = time.process_time()
    signatures = load("cpu").minhash(packed, **pf.minhash().params)
    ours = (time.process_time() - begun) / len(texts)
    begun = time.process_time()
    for one in shingles[:5_000]:
        MinHash(num_perm=128).update_batch(one)  # with its own hash, and shingles ready made
    theirs = (time.process_time() - begun) / len(shingles[:5_000])
    assert theirs > 10 * ours
    for row in random.integers(0, len(texts), 200).tolist():
        one = MinHash(num_perm=128, hashfunc=murmur3)
        one.update_batch(shingles[row])
        assert (one.hashvalues == signatures[row]).all()

    frame = pd.DataFrame({"text": texts})
    found = pf.near_duplicates(frame, THRESHOLD, client=inline, progress=False)
    # Of texts with equal signatures only the first is paired: compare one text of each signature.
    _, first, which = np.unique(signatures, axis=0, return_index=True, return_inverse=True)
    leads = first[which.ravel()] == np.arange(len(texts))
    made = {
        (a, b)
        for batch in found.pairs(0)
        for a, b in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
        if leads[a] and leads[b]
    }
    rows = np.flatnonzero(leads)
    there = pairs_of_datasketch(
        [MinHash(hashvalues=signatures[row], scheme="affine32") for row in rows]
    )
    assert made == {(int(rows[a]), int(rows[b])) for a, b in there}

    labels = found.labels()
    exact = np.array([jaccard(sets[a], sets[b]) for a, b in zip(originals, planted, strict=True)])
    together = labels[originals] == labels[planted]
    recall = {at: together[exact >= at].mean() for at in (THRESHOLD, 0.9)}
    similar = np.array(
        [
            jaccard(sets[a], sets[b])
            for batch in found.pairs()
            for a, b in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
        ]
    )
    precision = (similar >= THRESHOLD).mean()
    figures = (
        f"{len(texts):,} texts, {len(made):,} candidates like datasketch, at {theirs / ours:.0f} "
        f"times its speed; recall of planted pairs {recall[THRESHOLD]:.1%} from {THRESHOLD} on, "
        f"{recall[0.9]:.1%} from 0.9 on; precision {precision:.1%} of {len(similar):,} pairs"
    )
    print(figures)  # noqa: T201 (what `pytest -s` shows)
    assert recall[THRESHOLD] > 0.8
    assert recall[0.9] > 0.95
    assert precision > 0.8
