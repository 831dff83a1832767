"""`similar_pairs`: pairs of texts with an equal band key, and their estimated similarity.

Pairs come in batches, so that memory is bounded; each pair comes once, from its first common band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...graphs.kernels.band_hashes import keys_of
from .buckets import Buckets, buckets_of_band, gathered
from .key_blocks import KeyBlocks
from .key_partitions import Partitions
from .repeats import Repeated, others, repeats_of

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SimilarPairs:
    """Pairs of rows, the lower one first, and their similarity.

    Parameters
    ----------
    one, other : int64 array, shape (pairs,)
    similarity : float64 array, shape (pairs,)
        Share of equal values of the signatures, or the exact Jaccard similarity.
    """

    one: Rows
    other: Rows
    similarity: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.one)

    def chosen(self, mask: npt.NDArray[np.bool_]) -> SimilarPairs:
        """Return the pairs for which a mask is true."""
        return SimilarPairs(self.one[mask], self.other[mask], self.similarity[mask])


def similar_pairs(
    blocks: KeyBlocks, least: int, memory: int, scratch: str | None = None
) -> Iterator[SimilarPairs]:
    """Yield the candidate pairs whose signatures agree in enough values.

    Of texts with equal signatures, only the first is paired with others, and each of the rest with
    the first: m equal texts make m − 1 pairs.

    Parameters
    ----------
    least : int
        Number of values that agree; 0 for all candidates.
    memory, scratch
        See `near_duplicates`.
    """
    repeated = Repeated()
    with Partitions(blocks.bands, blocks.rows, memory // 2, scratch) as partitions:
        for block in blocks.read(blocks.spans()):
            repeats, leading = repeats_of(blocks, block)
            repeated.add(repeats, leading)
            rest = others(block, repeats)
            for band, keys in enumerate(block.keys[rest].T):
                there = np.flatnonzero(keys)
                partitions.add(band, keys[there], rest[there] + block.start)
        rows = max(memory // (16 * blocks.permutations), 2)
        for band in range(blocks.bands):
            for found in gathered(buckets_of_band(partitions, band), rows):
                for batch in found.batches(rows):
                    compared = _Batch(blocks, batch, band)
                    repeated.lead(*compared.repeats())
                    for pairs in compared.pairs(max(rows // 4, 1)):
                        yield pairs.chosen(pairs.similarity * blocks.permutations >= least - 0.5)
            if not band:
                for one, other in repeated.pairs(rows):
                    yield SimilarPairs(one, other, np.ones(len(one)))


class _Batch:
    """The pairs of some buckets of a band."""

    def __init__(self, blocks: KeyBlocks, buckets: Buckets, band: int) -> None:
        self._rows, members = np.unique(buckets.rows, return_inverse=True)
        self._signatures = blocks.signatures(self._rows)
        hashes = keys_of(self._signatures, 1, blocks.permutations)[:, 0]
        _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        self._leading = first[which]
        self._band = band
        self._earlier = keys_of(self._signatures, band, blocks.rows_per_band) if band else None
        leads = self._leading[members] == members
        counts = np.add.reduceat(leads.astype(np.int64), buckets.starts[:-1])
        self._members = members[leads]
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def repeats(self) -> tuple[Rows, Rows]:
        """Return rows whose signature an earlier row has, and this one; only in the first band.

        Equal signatures have equal keys in it.
        """
        if self._band:
            return self._rows[:0], self._rows[:0]
        repeated = np.flatnonzero(self._leading != np.arange(len(self._rows)))
        return self._rows[repeated], self._rows[self._leading[repeated]]

    def pairs(self, most: int) -> Iterator[SimilarPairs]:
        one, other = self.repeats()
        yield SimilarPairs(other, one, np.ones(len(one)))
        sizes = np.diff(self._starts)
        for size in np.unique(sizes[sizes > 1]).tolist():
            starts = self._starts[:-1][sizes == size]
            for one, other in _combinations(starts, size, most):
                yield self._compared(self._members[one], self._members[other])

    def _compared(self, one: Rows, other: Rows) -> SimilarPairs:
        one, other = np.minimum(one, other), np.maximum(one, other)
        if self._earlier is not None:
            fresh = ~(self._earlier[one] == self._earlier[other]).any(axis=1)
            one, other = one[fresh], other[fresh]
        agreeing = (self._signatures[one] == self._signatures[other]).mean(axis=1)
        return SimilarPairs(self._rows[one], self._rows[other], agreeing)


def _combinations(starts: Rows, size: int, most: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield positions of all pairs within groups of one size, about `most` pairs at a time."""
    each = size * (size - 1) // 2
    if each <= most:
        one, other = np.triu_indices(size, 1)
        step = max(most // each, 1)
        for first in range(0, len(starts), step):
            some = starts[first : first + step, None]
            yield (some + one).ravel(), (some + other).ravel()
        return
    for start in starts.tolist():
        for first in range(start, start + size - 1):
            others = np.arange(first + 1, start + size)
            for begun in range(0, len(others), most):
                part = others[begun : begun + most]
                yield np.full(len(part), first), part
