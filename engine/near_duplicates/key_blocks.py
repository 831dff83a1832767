"""`KeyBlocks`: the band keys of a store, read block by block, with a digest of each block.

The digest shows whether keys are still those from which clusters were computed. Keys that
the store does not have, because it was made for another threshold, are computed from signatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...graphs.blocks.band_keys import KEYS
from ...graphs.blocks.minhash import SIGNATURE
from ...graphs.kernels import load
from ...storage.errors import UsageError
from ...storage.store.reader import ResultsStore

BLOCK_ROWS = 65_536
"""Rows per block. The clusters do not depend on it."""

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class KnownBlock:
    """Consecutive rows whose keys were clustered, and the digest of these keys."""

    start: int
    stop: int
    digest: str


@dataclass(frozen=True)
class KeyBlock:
    """The band keys of consecutive rows: uint64 [rows, bands]."""

    start: int
    keys: Keys

    @property
    def known(self) -> KnownBlock:
        """The rows, and the digest of their keys."""
        data = np.ascontiguousarray(self.keys)
        digest = hashlib.blake2b(data.view(np.uint8).data, digest_size=16).hexdigest()
        return KnownBlock(self.start, self.start + len(self.keys), digest)


class KeyBlocks:
    """The signatures of a store and their band keys.

    Parameters
    ----------
    store : ResultsStore
        Has the field ``minhash``; see `params_of`.
    bands, rows_per_band : int

    Attributes
    ----------
    rows, bands, rows_per_band, permutations : int
        Number of rows of the store, of bands, of values per band, and of values per signature.
    """

    def __init__(self, store: ResultsStore, bands: int, rows_per_band: int) -> None:
        self._store = store
        self.rows = store.index.rows
        self.bands, self.rows_per_band = bands, rows_per_band
        self.permutations = int(params_of(store, SIGNATURE)["permutations"])
        stored = built_in_params(store, KEYS)
        self._stored = stored == {"bands": bands, "rows": rows_per_band}

    def signatures(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Return the signatures of rows in ascending order: uint32 [rows, permutations]."""
        array = self._store.arrays[SIGNATURE]
        made = np.empty((len(rows), self.permutations), np.uint32)
        blocks = rows // _READ_ROWS
        edges = np.flatnonzero(np.diff(blocks, prepend=-1)).tolist()
        for start, stop in zip(edges, [*edges[1:], len(rows)], strict=True):
            first, last = int(rows[start]), int(rows[stop - 1])
            made[start:stop] = array[first : last + 1][rows[start:stop] - first]
        return made

    def spans(self, first: int = 0) -> list[tuple[int, int]]:
        """Return the starts and stops of blocks of all rows from a first one on."""
        starts = range(first, self.rows, BLOCK_ROWS)
        return [(start, min(start + BLOCK_ROWS, self.rows)) for start in starts]

    def read(self, spans: Sequence[tuple[int, int]]) -> Iterator[KeyBlock]:
        """Yield the keys of spans of rows."""
        for start, stop in spans:
            yield KeyBlock(start, self._keys(start, stop))

    def _keys(self, start: int, stop: int) -> Keys:
        if self._stored:
            return self._store.arrays[KEYS][start:stop]
        made = [np.empty((0, self.bands), np.uint64)]
        for first in range(start, stop, _READ_ROWS):
            signatures = self._store.arrays[SIGNATURE][first : min(first + _READ_ROWS, stop)]
            # Rows that are not computed yet, or quarantined, are all zeros, as no signature is.
            keys = load("cpu").band_keys(signatures, bands=self.bands, rows=self.rows_per_band)
            made.append(keys * np.any(signatures, axis=1, keepdims=True))
        return np.concatenate(made)


def built_in_params(store: ResultsStore, name: str) -> Mapping[str, Any] | None:
    """Return the parameters of a built-in block of a store; None if it has no such block."""
    described = store.blocks.get(name)
    if described is None or "code" in described or "params" not in described:
        return None
    params: Mapping[str, Any] = described["params"]
    return params


def params_of(store: ResultsStore, name: str) -> Mapping[str, Any]:
    """Return the parameters of a built-in block of a store.

    Raises
    ------
    UsageError
        The store has no such block.
    """
    params = built_in_params(store, name)
    if params is None:
        raise UsageError(
            f"{store.url} has no signatures of the block {name!r}; add pf.minhash() to its graph, "
            "or give near_duplicates the corpus and another store"
        )
    return params


_READ_ROWS = 16_384
"""Maximum span of rows in one read of signatures."""
