"""What follows from the hashes, compiled: shares, prime bases, variance, entropy, ambiguity.

The arithmetic is `reference`'s, operation for operation and in its order; Numba contracts nothing
unless it is asked to. Rows are worked on in blocks laid out column by column, so that every loop
runs over rows, which do not depend on one another, and becomes vector instructions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from .arithmetic import (
    ENTROPY_SHARE,
    EPSILON,
    LN2,
    LOG_SERIES,
    SQRT_HALF,
    VARIANCE_SHARE,
    exponents,
)
from .reference import log

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

BLOCK = 64
"""Rows in hand at once: their columns stay in the first-level cache."""

# Arguments and not globals: Numba's cache would keep the values of an older `arithmetic`.
_CONSTANTS = np.array(
    [*LOG_SERIES[:0:-1], LN2, SQRT_HALF, EPSILON, ENTROPY_SHARE, VARIANCE_SHARE]
)


def shares(weights: npt.NDArray[np.int32]) -> Floats:
    """Return weights divided by their sum: float32 [n, k] of int32 [n, k]."""
    out = np.empty(weights.shape, np.float32)
    _shares(weights, out)
    return out


def prime_base(dhatu: Floats, primes: tuple[int, ...]) -> Floats:
    """Return prime-base signatures: float32 [n, m]."""
    return moments(dhatu, primes)[0]


def moments(dhatu: Floats, primes: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return prime bases, float32 [n, m], and variance, entropy, ambiguity and its normalised
    form, float32 [4, n].
    """
    rows, m = len(dhatu), len(primes)
    base = np.empty((rows, m), np.float32)
    parts = np.empty((4, rows), np.float32)
    log_count = log(np.array([float(m)]))[0]
    factors = np.array(exponents(dhatu.shape[1], primes))
    _moments(np.ascontiguousarray(dhatu), factors, log_count, _CONSTANTS, base, parts)
    return base, parts


@njit(nogil=True, cache=True, error_model="numpy")
def _shares(weights, out):
    rows, count = weights.shape
    for row in range(rows):
        total = 0
        for k in range(count):
            total += weights[row, k]
        whole = np.float64(total)
        for k in range(count):
            share = np.float64(weights[row, k]) / whole
            out[row, k] = np.float32(share) if total > 0 else np.float32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _moments(dhatu, factors, log_count, constants, base_out, parts):
    rows, count = dhatu.shape
    m = factors.shape[0]
    series = constants[:9]
    ln2, sqrt_half, epsilon, entropy_share, variance_share = constants[9:]
    scale = np.float64(m * m) / np.float64(m - 1)
    weight = np.zeros(count * BLOCK)
    base = np.zeros(m * BLOCK)
    q = np.zeros(BLOCK)
    x = np.zeros(BLOCK)
    bits = x.view(np.int64)
    mean, total, variance = np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK)
    entropy, spread, q_mean = np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK)
    for begin in range(0, rows, BLOCK):
        size = min(BLOCK, rows - begin)
        for i in range(size):
            for k in range(count):
                weight[k * BLOCK + i] = np.float64(dhatu[begin + i, k])
        total[:] = 0.0
        for j in range(m):
            here = base[j * BLOCK : (j + 1) * BLOCK]
            here[:] = 0.0
            for k in range(count):
                factor = factors[j, k]
                column = weight[k * BLOCK : (k + 1) * BLOCK]
                for i in range(BLOCK):
                    here[i] += column[i] * factor
            for i in range(BLOCK):
                total[i] += here[i]
        for i in range(BLOCK):
            mean[i] = total[i] / m
            total[i] += epsilon
        variance[:] = 0.0
        entropy[:] = 0.0
        q_mean[:] = 0.0
        for j in range(m):
            here = base[j * BLOCK : (j + 1) * BLOCK]
            for i in range(BLOCK):
                variance[i] += (here[i] - mean[i]) * (here[i] - mean[i])
            for i in range(size):
                base_out[begin + i, j] = np.float32(here[i])
            for i in range(BLOCK):
                here[i] = here[i] / total[i]
                q_mean[i] += here[i]
                x[i] = here[i] + epsilon
            for i in range(BLOCK):
                # frexp: the exponent, and the mantissa within [1/2, 1).
                exponent = (bits[i] >> 52) - 1022
                bits[i] = (bits[i] & 0xFFFFFFFFFFFFF) | 0x3FE0000000000000
                low = x[i] < sqrt_half
                q[i] = np.float64(exponent - 1) if low else np.float64(exponent)
                x[i] = x[i] * 2.0 if low else x[i]
            for i in range(BLOCK):
                f = x[i] - 1.0
                s = f / (f + 2.0)
                z = s * s
                r = series[0]
                r = r * z + series[1]
                r = r * z + series[2]
                r = r * z + series[3]
                r = r * z + series[4]
                r = r * z + series[5]
                r = r * z + series[6]
                r = r * z + series[7]
                r = r * z + series[8]
                half = 0.5 * f * f
                logarithm = q[i] * ln2 - ((half - s * (half + 2.0 * z * r)) - f)
                entropy[i] -= here[i] * logarithm
        spread[:] = 0.0
        for i in range(BLOCK):
            variance[i] = variance[i] / m
            q_mean[i] = q_mean[i] / m
        for j in range(m):
            here = base[j * BLOCK : (j + 1) * BLOCK]
            for i in range(BLOCK):
                spread[i] += (here[i] - q_mean[i]) * (here[i] - q_mean[i])
        for i in range(size):
            share = entropy[i] / log_count
            parts[0, begin + i] = np.float32(variance[i])
            parts[1, begin + i] = np.float32(entropy[i])
            parts[2, begin + i] = np.float32(entropy_share * entropy[i] + variance_share * variance[i])
            parts[3, begin + i] = np.float32(entropy_share * share + variance_share * (spread[i] / m * scale))
