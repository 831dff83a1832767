"""The block of band keys, by which candidates for near-duplicates are found, and its bands."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import MapBlock

KEYS = "band_keys"
"""Name of the block and of its field."""

_SIGNATURE = "minhash"
_NODES = 64
"""Points of the Gauss–Legendre quadrature of each integral. It is exact for the polynomials of up
to 127 permutations, and errs by less than 1e-9 for more."""


def band_keys(bands: int, rows: int) -> MapBlock:
    """Return the block that computes ``band_keys`` from ``minhash``: uint64 [n, bands].

    A signature is cut into bands of `rows` values. Two texts of Jaccard similarity s have the same
    key in one band or more with a probability of 1 − (1 − s^rows)^bands.

    Raises
    ------
    GraphError
        A number is less than 1.

    Examples
    --------
    >>> band_keys(*bands_for(0.8, 128))
    <MapBlock band_keys(minhash) -> band_keys uint64[9]>
    """
    if min(bands, rows) < 1:
        raise GraphError(f"bands and rows must be at least 1, not {bands} and {rows}")
    field = Field(
        KEYS,
        "uint64",
        (bands,),
        dims=("band",),
        description=f"64-bit hash of each {rows} consecutive values of minhash; 0 if it is empty",
        compress=False,
    )
    params = {"bands": bands, "rows": rows}
    return MapBlock(name=KEYS, inputs=(_SIGNATURE,), fields=(field,), params=params)


@lru_cache(maxsize=64)
def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """Return the number of bands, and values per band, that suit a threshold best.

    They minimise the mean of two areas: that under the curve of the probability of becoming
    candidates, below the threshold (false positives), and that above the curve, above the threshold
    (false negatives). Ties go to the fewest bands, then to the fewest values. ``datasketch``
    chooses the same.

    Parameters
    ----------
    threshold : float
        Jaccard similarity, between 0 and 1.

    Examples
    --------
    >>> bands_for(0.8, 128), bands_for(0.5, 128), bands_for(0.9, 256)
    ((9, 13), (25, 5), (9, 28))
    """
    below, above = _nodes(0.0, threshold), _nodes(threshold, 1.0)
    best, chosen = np.inf, (1, 1)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            missed = _area(below, bands, rows) + (1 - threshold) - _area(above, bands, rows)
            if missed < best - 1e-12:
                best, chosen = missed, (bands, rows)
    return chosen


Nodes = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _nodes(low: float, high: float) -> Nodes:
    at, weights = np.polynomial.legendre.leggauss(_NODES)
    return (at + 1) * (high - low) / 2 + low, weights * (high - low) / 2


def _area(nodes: Nodes, bands: int, rows: int) -> float:
    at, weights = nodes
    return float(((1 - (1 - at**rows) ** bands) * weights).sum())
