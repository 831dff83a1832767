"""Band keys and signatures in arrays, in place of those of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from paninifs.engine.near_duplicates.key_blocks import KeyBlock
from paninifs.graphs.kernels.band_hashes import keys_of


class KeyBlocksInMemory:
    """The part of `KeyBlocks` that finds near-duplicates, over signatures uint32 [rows, P].

    Rows that were never computed (`missing`) have zeros for keys, as in a store.
    """

    def __init__(
        self,
        signatures: np.ndarray,
        bands: int,
        rows_per_band: int,
        *,
        block: int = 1 << 16,
        missing: Sequence[int] = (),
    ) -> None:
        self.all = np.ascontiguousarray(signatures, np.uint32)
        self.rows, self.permutations = self.all.shape
        self.bands, self.rows_per_band = bands, rows_per_band
        self.keys = keys_of(self.all, bands, rows_per_band)
        self.keys[list(missing)] = 0
        self.block = block
        self.signatures_read = 0

    def spans(self, first: int = 0) -> list[tuple[int, int]]:
        starts = range(first, self.rows, self.block)
        return [(start, min(start + self.block, self.rows)) for start in starts]

    def read(self, spans: Sequence[tuple[int, int]]) -> Iterator[KeyBlock]:
        for start, stop in spans:
            yield KeyBlock(start, self.keys[start:stop])

    def signatures(self, rows: np.ndarray) -> np.ndarray:
        assert (np.diff(rows) > 0).all()
        self.signatures_read += len(rows)
        return self.all[rows]


def near_signatures(seed: int, rows: int, permutations: int = 16) -> np.ndarray:
    """Return signatures of which many are equal or nearly so, and some are those of empty texts."""
    random = np.random.default_rng(seed)
    originals = random.integers(0, 2**32, (max(rows // 4, 1), permutations), dtype=np.uint32)
    made = originals[random.integers(0, len(originals), rows)]
    changed = random.random(made.shape) < random.choice([0, 0.05, 0.2, 0.4], (rows, 1))
    made = np.where(changed, random.integers(0, 2**32, made.shape, dtype=np.uint32), made)
    made[random.random(rows) < 0.05] = 0xFFFFFFFF
    return made
