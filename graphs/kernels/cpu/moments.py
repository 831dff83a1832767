"""Arithmetic on hashed weights: shares, prime bases, variance, entropy and ambiguity.

It allocates arrays and calls the loops in `compiled.moments`, which repeat the operations of
`reference` in the same order.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ..arithmetic import prime_powers
from ..reference import log
from .machine_code import Loop

Floats = npt.NDArray[np.float32]

BLOCK = 64
"""Rows per block: few enough that their columns stay in the first-level cache."""

_shares = Loop("moments", "shares")
_moments = Loop("moments", "moments")


def shares(weights: npt.NDArray[np.int32]) -> Floats:
    """Return weights divided by their sum: float32 [n, k] of int32 [n, k]."""
    out = np.empty(weights.shape, np.float32)
    _shares(weights, out)
    return out


def moments(dhatu: Floats, primes: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return prime bases float32 [n, m], and the four parts of ambiguity float32 [4, n]."""
    rows, m = len(dhatu), len(primes)
    base = np.empty((rows, m), np.float32)
    parts = np.empty((4, rows), np.float32)
    factors = np.array(prime_powers(dhatu.shape[1], primes))
    scratch = np.zeros((dhatu.shape[1] + m + 8, BLOCK))
    _moments(np.ascontiguousarray(dhatu), factors, _log(m), scratch, base, parts)
    return base, parts


@cache
def _log(number: int) -> float:
    return float(log(np.array([float(number)]))[0])
