"""Band keys of MinHash signatures: their definition, in NumPy.

A signature of P values is cut into bands of some rows. Texts whose values agree in a whole band
have equal keys in it, and are candidates for near-duplicates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .shingles import EMPTY

MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd multiplier of the key's hash: 2⁶⁴ divided by the golden ratio."""


def keys_of(signatures: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each band's values: uint64 [n, bands] of uint32 [n, P].

    The key is 0 where the text has no shingles, and nowhere else. Different values have the same
    key with a probability of about 2⁻⁶⁴.

    Parameters
    ----------
    signatures : uint32 array, shape (n, P)
    bands, rows : int
        Number of bands, and values per band; their product is at most P.

    Examples
    --------
    >>> keys_of(np.array([[1, 2, 3, 4], [EMPTY] * 4], np.uint32), 2, 2).tolist()
    [[12360946871762074955, 11940410657506444532], [0, 0]]
    """
    values = signatures[:, : bands * rows].reshape(-1, bands, rows).astype(np.uint64)
    keys = values[:, :, 0] * 0 + np.uint64(MULTIPLIER)
    for row in range(rows):
        keys = (keys ^ values[:, :, row]) * np.uint64(MULTIPLIER)
        keys = keys ^ (keys >> np.uint64(32))
    keys = keys + (keys == 0)
    made: npt.NDArray[np.uint64] = keys * ~(signatures == EMPTY).all(axis=1)[:, None]
    return made
