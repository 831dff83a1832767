"""Loops for the arithmetic: shares, prime bases, variance, entropy and ambiguity.

They repeat the operations of `reference` in the same order; Numba does not contract by default.
Rows are processed in blocks stored column by column, so that every inner loop runs over independent
rows and is vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic import ENTROPY_SHARE, EPSILON, LN2, LOG_SERIES, SQRT_HALF, VARIANCE_SHARE
from ..moments import BLOCK
from .numba_compiler import inlined, loop

_SERIES = LOG_SERIES[:0:-1]


@loop
def shares(weights: Any, out: Any) -> None:
    """Write each row's weights divided by their sum."""
    rows, count = weights.shape
    for row in range(rows):
        total = 0
        for k in range(count):
            total += weights[row, k]
        whole = np.float64(total)
        for k in range(count):
            share = np.float64(weights[row, k]) / whole
            out[row, k] = np.float32(share) if total > 0 else np.float32(0)


@inlined
def _log(x: Any, bits: Any, logarithm: Any) -> None:
    """Write ln x of positive, normal numbers; `bits` is a view of x as integers. Overwrites x."""
    c0, c1, c2, c3, c4, c5, c6, c7, c8 = _SERIES
    for i in range(len(x)):
        # frexp: the exponent, and the mantissa within [1/2, 1).
        exponent = (bits[i] >> 52) - 1022
        bits[i] = (bits[i] & 0xFFFFFFFFFFFFF) | 0x3FE0000000000000
        low = x[i] < SQRT_HALF
        logarithm[i] = np.float64(exponent - 1) if low else np.float64(exponent)
        x[i] = x[i] * 2.0 if low else x[i]
    for i in range(len(x)):
        f = x[i] - 1.0
        s = f / (f + 2.0)
        z = s * s
        r = ((((c0 * z + c1) * z + c2) * z + c3) * z + c4) * z + c5
        r = ((r * z + c6) * z + c7) * z + c8
        half = 0.5 * f * f
        logarithm[i] = logarithm[i] * LN2 - ((half - s * (half + 2.0 * z * r)) - f)


@inlined
def _add_squares(values: Any, mean: Any, total: Any) -> None:
    """Add the squared distances from the mean to `total`."""
    for i in range(len(values)):
        total[i] += (values[i] - mean[i]) * (values[i] - mean[i])


@inlined
def _bases(weights: Any, factors: Any, base: Any, total: Any) -> None:
    """Write the prime bases of a block, and their sum."""
    total[:] = 0.0
    for j in range(len(base)):
        base[j, :] = 0.0
        for k in range(len(weights)):
            factor, column, here = factors[j, k], weights[k], base[j]
            for i in range(BLOCK):
                here[i] += column[i] * factor
        for i in range(BLOCK):
            total[i] += base[j, i]


@loop
def moments(
    dhatu: Any, factors: Any, log_count: float, scratch: Any, base_out: Any, parts: Any
) -> None:
    """Write prime bases and the four parts of ambiguity; scratch is float64 [k + m + 8, BLOCK]."""
    rows, count = dhatu.shape
    m = factors.shape[0]
    scale = np.float64(m * m) / np.float64(m - 1)
    weights, base = scratch[:count], scratch[count : count + m]
    rest = scratch[count + m :]
    x, logarithm, total, mean = rest[0], rest[1], rest[2], rest[3]
    q_mean, variance, entropy, spread = rest[4], rest[5], rest[6], rest[7]
    bits = x.view(np.int64)
    for begin in range(0, rows, BLOCK):
        size = min(BLOCK, rows - begin)
        for i in range(size):
            for k in range(count):
                weights[k, i] = np.float64(dhatu[begin + i, k])
        _bases(weights, factors, base, total)
        for i in range(size):
            for j in range(m):
                base_out[begin + i, j] = np.float32(base[j, i])
        for i in range(BLOCK):
            mean[i] = total[i] / m
            total[i] += EPSILON
            variance[i] = entropy[i] = spread[i] = q_mean[i] = 0.0
        for j in range(m):
            _add_squares(base[j], mean, variance)
            q = base[j]
            for i in range(BLOCK):
                q[i] = q[i] / total[i]
                q_mean[i] += q[i]
                x[i] = q[i] + EPSILON
            _log(x, bits, logarithm)
            for i in range(BLOCK):
                entropy[i] -= q[i] * logarithm[i]
        for i in range(BLOCK):
            variance[i] = variance[i] / m
            q_mean[i] = q_mean[i] / m
        for j in range(m):
            _add_squares(base[j], q_mean, spread)
        for i in range(size):
            mixed = ENTROPY_SHARE * entropy[i] + VARIANCE_SHARE * variance[i]
            even = ENTROPY_SHARE * (entropy[i] / log_count)
            parts[0, begin + i] = np.float32(variance[i])
            parts[1, begin + i] = np.float32(entropy[i])
            parts[2, begin + i] = np.float32(mixed)
            parts[3, begin + i] = np.float32(even + VARIANCE_SHARE * (spread[i] / m * scale))
