"""CPUs: hashlib with shared prefixes, and compiled loops for the rest.

SHA-256 absorbs ``D::`` once a dhātu and is copied for every text. The arithmetic is `reference`'s,
operation for operation; Numba contracts nothing unless it is asked to.
"""

from __future__ import annotations

import hashlib
import math

import numba
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
    exponents,
)
from .reference import digest

__all__ = ["ambiguity", "dhatu", "digest", "prime_base"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_SERIES = tuple(reversed(LOG_SERIES[1:]))


def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Floats:
    """Weights of every dhātu, summing to one: float32 [n, k]."""
    starts = [hashlib.sha256(name.encode() + b"::").copy for name in dhatus]
    hashed = bytearray(len(text) * len(starts) * 32)
    at = 0
    for one in text:
        for start in starts:
            state = start()
            state.update(one)
            hashed[at : at + 32] = state.digest()
            at += 32
    hashes = np.frombuffer(hashed, np.uint8).reshape(len(text), len(starts), 32)
    shares: Floats = _shares(hashes)
    return shares


def prime_base(dhatu: Floats, *, primes: tuple[int, ...]) -> Floats:
    """Prime-base signatures: float32 [n, m]."""
    base: Floats = _prime_base(dhatu, np.array(exponents(dhatu.shape[1], primes)))
    return base


def ambiguity(dhatu: Floats, *, primes: tuple[int, ...]) -> tuple[Floats, ...]:
    """Variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    parts = _ambiguity(dhatu, np.array(exponents(dhatu.shape[1], primes)))
    return tuple(np.ascontiguousarray(parts[:, part]) for part in range(4))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _shares(hashed: Bytes) -> Floats:
    rows, count, _ = hashed.shape
    shares = np.zeros((rows, count), np.float32)
    weights = np.empty(count, np.int64)
    for row in range(rows):
        total = 0
        for k in range(count):
            b = hashed[row, k]
            weights[k] = np.int64(b[0]) + b[5] + b[13] + b[21] + b[29]
            total += weights[k]
        if total > 0:
            for k in range(count):
                shares[row, k] = np.float32(np.float64(weights[k]) / np.float64(total))
    return shares


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _log(x: float) -> float:
    m, e = math.frexp(x)
    if m < SQRT_HALF:
        m *= 2.0
        e -= 1
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    series = 0.0
    for coefficient in _SERIES:
        series = series * z + coefficient
    half = 0.5 * f * f
    return np.float64(e) * LN2 - ((half - s * (half + 2.0 * z * series)) - f)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _bases(weights: Floats, factors: Doubles, base: Doubles) -> None:
    for j in range(factors.shape[0]):
        total = 0.0
        for k in range(factors.shape[1]):
            total += np.float64(weights[k]) * factors[j, k]
        base[j] = total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _variance(values: Doubles) -> float:
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    total = 0.0
    for value in values:
        total += (value - mean) * (value - mean)
    return total / len(values)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _prime_base(dhatu: Floats, factors: Doubles) -> Floats:
    out = np.empty((dhatu.shape[0], factors.shape[0]), np.float32)
    base = np.empty(factors.shape[0], np.float64)
    for row in range(dhatu.shape[0]):
        _bases(dhatu[row], factors, base)
        for j in range(len(base)):
            out[row, j] = np.float32(base[j])
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _ambiguity(dhatu: Floats, factors: Doubles) -> Floats:
    out = np.empty((dhatu.shape[0], 4), np.float32)
    m = factors.shape[0]
    base = np.empty(m, np.float64)
    q = np.empty(m, np.float64)
    scale = np.float64(m * m) / np.float64(m - 1)
    log_count = _log(np.float64(m))
    for row in range(dhatu.shape[0]):
        _bases(dhatu[row], factors, base)
        variance = _variance(base)
        total = 0.0
        for j in range(m):
            total += base[j]
        total += EPSILON
        entropy = 0.0
        for j in range(m):
            q[j] = base[j] / total
            entropy -= q[j] * _log(q[j] + EPSILON)
        spread = _variance(q) * scale
        out[row, 0] = np.float32(variance)
        out[row, 1] = np.float32(entropy)
        out[row, 2] = np.float32(ENTROPY_SHARE * entropy + VARIANCE_SHARE * variance)
        out[row, 3] = np.float32(ENTROPY_SHARE * (entropy / log_count) + VARIANCE_SHARE * spread)
    return out
