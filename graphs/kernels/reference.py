"""The reference backend: hashlib and plain NumPy, written for clarity instead of speed.

It defines what every other backend returns, bit for bit.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.text import PackedText
from .arithmetic import (
    ENTROPY_SHARE,
    EPSILON,
    LN2,
    LOG_SERIES,
    SQRT_HALF,
    VARIANCE_SHARE,
    prime_powers,
)
from .band_hashes import keys_of
from .host import (
    IN_FLIGHT,
    MICRO_BATCH,
    asarray,
    chosen,
    count_allocations,
    free_memory,
    host_buffer,
    may_be_of_text,
    offload,
    on_host,
    resident,
    spread,
    text_decoder,
    user_function,
)
from .shingles import hashes_of, shingles_of, signatures_of

__all__ = [
    "IN_FLIGHT",
    "MICRO_BATCH",
    "ambiguity",
    "asarray",
    "band_keys",
    "chosen",
    "count_allocations",
    "default_graph",
    "dhatu",
    "digest",
    "free_memory",
    "host_buffer",
    "log",
    "may_be_of_text",
    "minhash",
    "offload",
    "on_host",
    "prepare",
    "prime_base",
    "resident",
    "spread",
    "text_decoder",
    "user_function",
]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_TEXTS = 1024
"""Texts whose shingles are held at once."""


def digest(text: PackedText) -> npt.NDArray[np.uint8]:
    """Return the SHA-256 of every text: uint8 [n, 32]."""
    joined = b"".join(hashlib.sha256(one).digest() for one in text)
    return np.frombuffer(joined, np.uint8).reshape(len(text), 32).copy()


def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Floats:
    """Return the share of every dhātu, rows summing to one: float32 [n, k].

    The weight of D is the sum of bytes 0, 5, 13, 21 and 29 of SHA-256(``D::text``).
    """
    weights = np.empty((len(text), len(dhatus)), np.float64)
    for row, one in enumerate(text):
        for k, name in enumerate(dhatus):
            b = hashlib.sha256(name.encode() + b"::" + bytes(one)).digest()
            weights[row, k] = b[0] + b[5] + b[13] + b[21] + b[29]
    total = weights.sum(axis=1, keepdims=True)  # integers: exact in any order
    shares: Doubles = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares.astype(np.float32)


def prime_base(dhatu: Floats, *, primes: tuple[int, ...]) -> Floats:
    """Return prime-base signatures: Σₖ dhatu[k] · p^(k mod p), float32 [n, m]."""
    return _prime_base(dhatu, primes).astype(np.float32)


def ambiguity(dhatu: Floats, *, primes: tuple[int, ...]) -> tuple[Floats, ...]:
    """Return variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    base = _prime_base(dhatu, primes)
    m = len(primes)
    variance = _variance(base)
    q = base / (_total(base) + EPSILON)[:, None]
    entropy = np.zeros(len(base))
    for j in range(m):
        entropy = entropy - q[:, j] * log(q[:, j] + EPSILON)
    mixed = ENTROPY_SHARE * entropy + VARIANCE_SHARE * variance
    relative = _variance(q) * (m * m / (m - 1))
    normalised = (
        ENTROPY_SHARE * (entropy / log(np.array([float(m)]))[0]) + VARIANCE_SHARE * relative
    )
    parts = (variance, entropy, mixed, normalised)
    return tuple(part.astype(np.float32) for part in parts)


def default_graph(
    text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> tuple[npt.NDArray[Any], ...]:
    """Return digest, dhātu, prime base and the four parts of ambiguity."""
    weights = dhatu(text, dhatus=dhatus)
    base = prime_base(weights, primes=primes)
    return digest(text), weights, base, *ambiguity(weights, primes=primes)


def minhash(
    text: PackedText, *, permutations: int, shingles: str, size: int, seed: int
) -> npt.NDArray[np.uint32]:
    """Return the MinHash signature of every text: uint32 [n, permutations]."""
    made = np.empty((len(text), permutations), np.uint32)
    for start in range(0, len(text), _TEXTS):  # their shingles are hashed together
        found = [shingles_of(bytes(one), shingles, size) for one in text[start : start + _TEXTS]]
        hashes = hashes_of([one for of_text in found for one in of_text])
        counts = np.array([len(of_text) for of_text in found])
        made[start : start + _TEXTS] = signatures_of(hashes, counts, permutations, seed)
    return made


def band_keys(minhash: npt.NDArray[np.uint32], *, bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit key of each band of every signature: uint64 [n, bands]."""
    return keys_of(minhash, bands, rows)


def log(x: Doubles) -> Doubles:
    """Return the natural logarithm of positive, normal numbers by +, −, × and ÷ in a fixed order.

    x = (1 + f) · 2^e with 1 + f in [√½, √2); ln x = e · ln 2 + f − (h − s · (h + R)), where
    h = f²/2, s = f / (2 + f) and R = 2 Σ s^2k / (2k + 1) from k = 1. The error is within 2 ulp on
    (0, 1].
    """
    m, e = np.frexp(x)
    low = m < SQRT_HALF
    m = np.where(low, m * 2.0, m)
    e = np.where(low, e - 1, e).astype(np.float64)
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    series = np.full_like(x, LOG_SERIES[-1])
    for coefficient in reversed(LOG_SERIES[1:-1]):
        series = series * z + coefficient
    half = 0.5 * f * f
    result: Doubles = e * LN2 - ((half - s * (half + 2.0 * z * series)) - f)
    return result


def _prime_base(dhatu: Floats, primes: tuple[int, ...]) -> Doubles:
    base = np.zeros((len(dhatu), len(primes)))
    for j, factors in enumerate(prime_powers(dhatu.shape[1], primes)):
        for k, factor in enumerate(factors):
            base[:, j] = base[:, j] + dhatu[:, k].astype(np.float64) * factor
    return base


def _total(values: Doubles) -> Doubles:
    total = np.zeros(len(values))
    for j in range(values.shape[1]):
        total = total + values[:, j]
    return total


def _variance(values: Doubles) -> Doubles:
    count = values.shape[1]
    mean = _total(values) / count
    variance: Doubles = _total((values - mean[:, None]) * (values - mean[:, None])) / count
    return variance


def prepare() -> None:
    """Do nothing: this backend needs no preparation."""
