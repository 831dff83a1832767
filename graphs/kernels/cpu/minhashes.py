"""MinHash signatures and their band keys on the host: arguments of the loops in `compiled`.

Signatures are defined in `kernels.shingles`, band keys in `kernels.band_hashes`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from ..shingles import EMPTY, LETTERS, permutations_of
from .machine_code import Loop

RING = 64
"""Number of last words or characters whose starts a loop keeps: a power of two."""

TOGETHER = 4
"""Number of hashes that are permuted in one pass over the signature."""

_LOOPS = {
    "words": Loop("minhash_loops", "of_words"),
    "characters": Loop("minhash_loops", "of_characters"),
}
_keys = Loop("minhash_loops", "band_keys")


def minhash(
    text: PackedText, *, permutations: int, shingles: str, size: int, seed: int
) -> npt.NDArray[np.uint32]:
    """Return the MinHash signature of every text: uint32 [n, permutations]."""
    made = np.full((len(text), permutations), EMPTY, np.uint32)
    if not len(text):
        return made
    offsets = text.offsets.astype(np.int64)
    longest = int(np.diff(offsets).max())
    scratch = (
        np.empty(longest + 8, np.uint8),  # the normalised text
        np.zeros(RING, np.int64),
        np.zeros(TOGETHER, np.uint32),
    )
    functions = permutations_of(permutations, seed)
    _LOOPS[shingles]((text.data, offsets), (LETTERS, size), functions, scratch, made)
    return made


def band_keys(minhash: npt.NDArray[np.uint32], *, bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit key of each band of every signature: uint64 [n, bands]."""
    keys = np.empty((len(minhash), bands), np.uint64)
    _keys(np.ascontiguousarray(minhash), rows, keys)
    return keys
