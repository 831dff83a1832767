"""Eigenvalues and eigenvectors of a symmetric matrix, with the same bits on every machine.

LAPACK's results depend on the processor and on the number of threads. Jacobi's method needs only
+, −, ×, ÷ and √, each rounded as IEEE 754 requires, and the matrices are small.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_SWEEPS = 60
"""Sweeps over all pairs; 6 to 12 are usual."""

SMALL = 2.0**-60
"""Tolerance for what is left beside the diagonal, relative to its greatest value."""

Floats = npt.NDArray[np.float64]


def eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Return the eigenvalues in descending order, and the unit eigenvectors, one per row.

    The entry with the greatest absolute value of each vector is positive, the first one if there
    are several.

    Jacobi's method, with the pairs of a round rotated at once (G. H. Golub and C. F. Van Loan,
    "Matrix Computations", 4th ed., section 8.5).

    Parameters
    ----------
    matrix : float64 [n, n]
        Symmetric. If it contains NaN, so do the values and vectors.

    Examples
    --------
    >>> values, vectors = eigen(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> values.round(12).tolist(), vectors.round(3).tolist()
    ([3.0, 1.0], [[0.707, 0.707], [0.707, -0.707]])
    """
    n = len(matrix)
    if not np.isfinite(matrix).all():
        return np.full(n, np.nan), np.full((n, n), np.nan)
    left, vectors = matrix.copy(), np.eye(n)
    for _ in range(MOST_SWEEPS):
        beside = np.abs(left - np.diag(left.diagonal()))
        if not beside.max(initial=0) > SMALL * np.abs(left.diagonal()).max(initial=0):
            break
        for first, second in _rounds(n):
            _rotate(left, vectors, first, second)
    values = left.diagonal().copy()
    order = np.argsort(-values, kind="stable")
    vectors = vectors[:, order].T
    greatest = np.abs(vectors).argmax(axis=1)
    signs = np.where(vectors[np.arange(n), greatest] < 0, -1.0, 1.0)
    return values[order], vectors * signs[:, np.newaxis]


def _rounds(n: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return every pair of n once, in rounds of pairs that have no number in common."""
    seats = np.arange(n + n % 2)
    half, rounds = len(seats) // 2, []
    for _ in range(len(seats) - 1):
        pairs = np.sort([seats[:half], seats[half:][::-1]], axis=0)
        pairs = pairs[:, pairs[1] < n]
        rounds.append((pairs[0], pairs[1]))
        seats = np.concatenate([seats[:1], seats[-1:], seats[1:-1]])
    return rounds


def _rotate(
    left: Floats, vectors: Floats, p: npt.NDArray[np.intp], q: npt.NDArray[np.intp]
) -> None:
    """Rotate, in place, so that the entries (p, q) become zero."""
    between = left[p, q]
    some = between != 0
    with np.errstate(over="ignore"):  # a square that is infinite makes the angle zero
        theta = (left[q, q] - left[p, p]) / (2 * np.where(some, between, 1))
        tangent = np.where(theta < 0, -1.0, 1.0) / (np.abs(theta) + np.sqrt(theta * theta + 1))
    tangent = np.where(some, tangent, 0.0)
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    sine = tangent * cosine
    for columns in (left, left.T, vectors):
        of_p, of_q = columns[:, p], columns[:, q]
        columns[:, p] = cosine * of_p - sine * of_q
        columns[:, q] = sine * of_p + cosine * of_q
    left[p, q] = left[q, p] = 0.0
