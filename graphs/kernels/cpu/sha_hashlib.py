"""SHA-256 by hashlib: for processors that no other path supports, and for long prefixes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ....storage.text import PackedText
from ..chains import DIGEST, WEIGHED_BYTES, Chain
from .sha256 import Digests, Weights


def hash_texts(
    text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
) -> None:
    """Fill weights int32 [n, columns] and, for a digest chain, digests uint8 [n, 32].

    The prefix is hashed once per chain, and every text continues from a copy of that state.
    """
    starts = [hashlib.sha256(chain.prefix).copy for chain in chains]
    hashed = bytearray()
    for one in text:
        for start in starts:
            state = start()
            state.update(one)
            hashed += state.digest()
    hashes = np.frombuffer(hashed, np.uint8).reshape(len(text), len(starts), 32)
    for number, chain in enumerate(chains):
        if chain.column == DIGEST:
            digests[:] = hashes[:, number]
        else:
            weights[:, chain.column] = hashes[:, number, WEIGHED_BYTES].sum(axis=1, dtype=np.int32)
