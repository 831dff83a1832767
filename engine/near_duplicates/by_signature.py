"""`BySignature`: connects texts whose signatures agree in enough values."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...graphs.kernels.band_hashes import keys_of
from ...graphs.kernels.cpu.buckets import connect_similar, join
from .buckets import Buckets
from .key_blocks import KeyBlocks

Rows = npt.NDArray[np.int64]


def least_agreeing(threshold: float, permutations: int) -> int:
    """Return the least number of equal values whose share reaches a threshold.

    >>> least_agreeing(0.8, 128), least_agreeing(0.5, 128)
    (103, 64)
    """
    least = math.ceil(threshold * permutations)
    return least - 1 if (least - 1) / permutations >= threshold else least


class BySignature:
    """Compares texts by the estimate of their Jaccard similarity.

    Parameters
    ----------
    blocks : KeyBlocks
    threshold : float
    memory : int
        Memory budget of the search in bytes; a quarter of it is for signatures.
    """

    def __init__(self, blocks: KeyBlocks, threshold: float, memory: int) -> None:
        self._blocks = blocks
        self._least = least_agreeing(threshold, blocks.permutations)
        self.rows = max(memory // (16 * blocks.permutations), 2)

    def connect(self, buckets: Buckets, parents: Rows) -> None:
        """Connect similar texts in a union-find forest over all rows, in place."""
        for batch in buckets.batches(self.rows):
            if len(batch.rows) > self.rows:
                self._connect_large(batch.rows, parents)
            else:
                rows, members = np.unique(batch.rows, return_inverse=True)
                signatures = self._blocks.signatures(rows)
                connect_similar(
                    signatures, rows, members, batch.starts, least=self._least, parents=parents
                )

    def _connect_large(self, rows: Rows, parents: Rows) -> None:
        """Connect a bucket with more rows than fit in memory, by its distinct signatures."""
        rows = np.sort(rows)
        hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        kept: Rows = np.empty(0, np.int64)
        held = np.empty((0, self._blocks.permutations), np.uint32)
        for start in range(0, len(rows), self.rows):
            part = rows[start : start + self.rows]
            signatures = self._blocks.signatures(part)
            hashes = np.concatenate([hashes, keys_of(signatures, 1, signatures.shape[1])[:, 0]])
            kept, held = np.concatenate([kept, part]), np.concatenate([held, signatures])
            _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
            repeated = first[which] != np.arange(len(kept))
            join(kept[repeated], kept[first[which[repeated]]], parents)
            order = np.sort(first)
            hashes, kept, held = hashes[order], kept[order], held[order]
        positions, starts = np.arange(len(kept)), np.array([0, len(kept)])
        connect_similar(held, kept, positions, starts, least=self._least, parents=parents)
