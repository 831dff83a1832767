"""Which vectors can be compared: those that are zero, not finite or identical are left out.

A model that does not know a word often gives it the zero vector, or the vector of all unknown
words. Such vectors form a clump at distance zero, which alone can bring the silhouette above its
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

USABLE, ZERO, NOT_FINITE, IDENTICAL, SAME_FORM, MISSING = range(6)

REASONS = (
    "usable",
    "the zero vector",
    "a value that is not finite",
    "the same vector as another text",
    "the same text as an earlier one",
    "no vector, because the text was quarantined, or no number in it",
)
"""In words, by code."""

NEAR = 1e-6
"""Cosine distance below which vectors are taken for identical: a batch may change the last bits."""


class Checked(NamedTuple):
    """Vectors, and which of them can be used."""

    vectors: Floats  # [usable, d]
    rows: Ints  # [usable]: their rows
    flags: npt.NDArray[np.int8]  # [n]: codes, see `REASONS`
    twins: Ints  # [n]: the first row with the same vector or text, else -1


def checked(vectors: npt.NDArray[Any], texts: Sequence[str]) -> Checked:
    """Return the usable ones among vectors [n, d]; a row of NaN throughout is a missing one.

    Texts that are equal have equal vectors, and the first of them is kept. If different texts have
    the same vector, none of them is.

    >>> found = checked(np.eye(4)[[0, 1, 1, 2, 2]], ["je", "a", "b", "alpa", "alpa"])
    >>> found.rows.tolist(), [REASONS[flag] for flag in found.flags[[1, 4]]]
    ([0, 3], ['the same vector as another text', 'the same text as an earlier one'])
    """
    values = np.asarray(vectors, "float64")
    flags = np.full(len(values), USABLE, "int8")
    twins = np.full(len(values), -1, "int64")
    finite = np.isfinite(values).all(axis=1)
    flags[~finite] = NOT_FINITE
    flags[np.isnan(values).all(axis=1)] = MISSING
    flags[finite & ~values.any(axis=1)] = ZERO
    rows = np.flatnonzero(flags == USABLE)
    near = cosine_distances(values[rows]) < NEAR if len(rows) else np.zeros((0, 0), bool)
    known = np.array([*texts], object)[rows]
    same_text = known[:, None] == known
    for at, row in enumerate(rows):
        first = int(np.argmax(near[at]))
        if (near[at] & ~same_text[at]).any():
            flags[row], twins[row] = IDENTICAL, rows[_other(near[at], at)]
        elif first < at:
            flags[row], twins[row] = SAME_FORM, rows[first]
    kept = np.flatnonzero(flags == USABLE)
    return Checked(values[kept], kept, flags, twins)


def _other(near: npt.NDArray[np.bool_], at: int) -> int:
    return next(int(one) for one in np.flatnonzero(near) if one != at)


def cosine_distances(vectors: Floats) -> Floats:
    """Return 1 − cosine for all pairs of vectors [n, d] without zero vectors: float64 [n, n]."""
    scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True)  # squares cannot overflow
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    distances: Floats = 1.0 - unit @ unit.T
    np.fill_diagonal(distances, 0.0)
    return distances
