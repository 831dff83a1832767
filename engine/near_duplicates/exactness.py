"""Exact Jaccard similarities: to check a sample of pairs, or in place of the estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...graphs.kernels.cpu.buckets import join
from ...graphs.kernels.shingles import shingles_of
from ...storage.corpus.reading import texts_at
from ...storage.store.reader import ResultsStore
from .buckets import Buckets
from .similar_pairs import SimilarPairs

Rows = npt.NDArray[np.int64]
Shingles = frozenset[bytes]

_ROWS = 10_000
"""Maximum number of texts whose shingles are in memory."""


@dataclass(frozen=True)
class ExactCheck:
    """Comparison of estimated and exact similarities of a sample of near-duplicate pairs.

    Parameters
    ----------
    pairs : int
        Size of the sample.
    mean_error, largest_error : float
        Mean and maximum of the absolute differences between estimate and exact similarity.
    precision : float
        Share of the pairs whose exact similarity reaches the threshold; 1 without pairs.
    """

    pairs: int
    mean_error: float
    largest_error: float
    precision: float


class ExactJaccard:
    """Exact Jaccard similarities of the texts of a store, as its corpus has them.

    Parameters
    ----------
    store : ResultsStore
    params : mapping
        Parameters of the block `minhash`: what a shingle is.
    threshold : float
    """

    rows = _ROWS
    """Maximum number of texts that are compared at once."""

    def __init__(self, store: ResultsStore, params: Mapping[str, Any], threshold: float) -> None:
        self._store = store
        self._kind, self._size = params["shingles"], params["size"]
        self._threshold = threshold

    def connect(self, buckets: Buckets, parents: Rows) -> None:
        """Connect the texts of each bucket whose exact similarity reaches the threshold."""
        for batch in buckets.batches(self.rows):
            shingles = self._shingles(batch.rows)
            edges: list[tuple[int, int]] = []
            for start, stop in zip(batch.starts[:-1], batch.starts[1:], strict=True):
                edges += self._edges(batch.rows[start:stop].tolist(), shingles)
            one, other = np.array(edges, np.int64).reshape(-1, 2).T
            join(one, other, parents)

    def _edges(self, rows: list[int], shingles: Mapping[int, Shingles]) -> list[tuple[int, int]]:
        """Return edges with the same connected components as all similar pairs of a bucket."""
        edges = []
        leading: dict[Shingles, int] = {}
        for row in sorted(rows):
            first = leading.setdefault(shingles[row], row)
            if first != row and shingles[row]:
                edges.append((first, row))
        waiting = list(leading.values())
        while waiting:
            found = [waiting.pop()]
            for here in found:  # grows during the loop
                near = [r for r in waiting if self._similar(shingles[here], shingles[r])]
                edges += [(here, row) for row in near]
                found += near
                waiting = [row for row in waiting if row not in set(near)]
        return edges

    def _similar(self, one: Shingles, other: Shingles) -> bool:
        return jaccard(one, other) >= self._threshold

    def of(self, pairs: SimilarPairs) -> SimilarPairs:
        """Return pairs with their exact similarity."""
        made = np.empty(len(pairs))
        for start in range(0, len(pairs), _ROWS // 2):
            part = slice(start, start + _ROWS // 2)
            one, other = pairs.one[part], pairs.other[part]
            shingles = self._shingles(np.concatenate([one, other]))
            made[part] = [
                jaccard(shingles[a], shingles[b])
                for a, b in zip(one.tolist(), other.tolist(), strict=True)
            ]
        return SimilarPairs(pairs.one, pairs.other, made)

    def reaching(self, pairs: SimilarPairs) -> SimilarPairs:
        """Return the pairs whose exact similarity reaches the threshold, with it."""
        exact = self.of(pairs)
        return exact.chosen(exact.similarity >= self._threshold)

    def check(self, pairs: SimilarPairs) -> ExactCheck:
        """Compare the estimates of pairs with the exact similarities."""
        if not len(pairs):
            return ExactCheck(0, 0.0, 0.0, 1.0)
        exact = self.of(pairs).similarity
        errors = np.abs(exact - pairs.similarity)
        precision = float((exact >= self._threshold).mean())
        return ExactCheck(len(pairs), float(errors.mean()), float(errors.max()), precision)

    def _shingles(self, rows: Rows) -> dict[int, Shingles]:
        """Return the shingles of texts, by row; a row without a text has none."""
        wanted = np.unique(rows).tolist()
        texts = texts_at(self._store.index, self._store.opener, wanted)
        return {
            row: frozenset(shingles_of((texts.get(row) or "").encode(), self._kind, self._size))
            for row in wanted
        }


def jaccard(one: Shingles, other: Shingles) -> float:
    """Return the size of the intersection of two sets over that of their union, or 0.

    >>> jaccard(frozenset([b"a", b"b"]), frozenset([b"b", b"c"]))
    0.3333333333333333
    """
    union = len(one | other)
    return len(one & other) / union if union else 0.0


def sampled(batches: Iterable[SimilarPairs], size: int, seed: int) -> SimilarPairs:
    """Return a random sample of pairs, which depends on the pairs and the seed alone."""
    none = np.empty(0, np.int64)
    held, ranks = SimilarPairs(none, none, np.empty(0)), np.empty(0, np.uint64)
    for batch in batches:
        ranks = np.concatenate([ranks, _ranks(batch, seed)])
        held = SimilarPairs(
            np.concatenate([held.one, batch.one]),
            np.concatenate([held.other, batch.other]),
            np.concatenate([held.similarity, batch.similarity]),
        )
        lowest = np.argsort(ranks, kind="stable")[:size]
        ranks = ranks[lowest]
        held = SimilarPairs(held.one[lowest], held.other[lowest], held.similarity[lowest])
    return held


def _ranks(pairs: SimilarPairs, seed: int) -> npt.NDArray[np.uint64]:
    """Return a pseudo-random number for each pair."""
    state = np.full(len(pairs), seed, np.uint64)
    for rows in (pairs.one, pairs.other):
        state = (state ^ rows.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
    return state * np.uint64(0xBF58476D1CE4E5B9)
