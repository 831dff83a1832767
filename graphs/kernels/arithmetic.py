"""Constants and coefficients that every backend shares; no code that runs per text.

Arithmetic is IEEE float64 without contraction, sums are taken in order, and the logarithm uses only
+, −, × and ÷, so that every backend can reproduce it bit for bit. `reference.log` defines it.
"""

from __future__ import annotations

EPSILON = 1e-8
"""Added to keep the entropy's logarithm and normalisation finite."""

ENTROPY_SHARE = 0.7
VARIANCE_SHARE = 0.3

LN2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476

LOG_SERIES = tuple(1.0 / (2 * k + 1) for k in range(10))
"""ln m = 2 s (1 + s²/3 + s⁴/5 + ...) with s = (m - 1) / (m + 1); for m within [√½, √2) the
relative error of ten terms is below 3e-17."""


def prime_powers(dhatus: int, primes: tuple[int, ...]) -> list[list[float]]:
    """Return the factors p^(k mod p) of dhātu k in the prime base of p: [m][k].

    >>> prime_powers(4, (2, 3))
    [[1.0, 2.0, 1.0, 2.0], [1.0, 3.0, 9.0, 1.0]]
    """
    return [[float(p ** (k % p)) for k in range(dhatus)] for p in primes]
