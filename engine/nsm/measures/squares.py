"""Experiment 2: whether the vectors of a semiotic square's corners lie as the square says.

A square holds if its contraries S1 and S2 are closer, by cosine distance, than S1 is to non-S1 and
than S2 is to non-S2. For vectors without any structure a third of the squares holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .significance import UNDEFINED, Estimate, Finer, estimated, permuted
from .usable import cosine_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RELATIONS = {
    "contraries": (0, 1),
    "contradictories_1": (0, 2),
    "contradictories_2": (1, 3),
    "complementaries_1": (0, 3),
    "complementaries_2": (1, 2),
}
"""Relation to the two corners that it connects, in the order S1, S2, non-S1, non-S2."""


class Squares(NamedTuple):
    """What the experiment found."""

    share: Estimate  # of the squares that hold, among those that are defined; jackknife interval
    wilson: tuple[float, float]  # interval of the share if the squares were independent
    distances: Floats  # [square, relation], NaN where a corner is not usable
    holds: npt.NDArray[np.int8]  # [square]: 1, 0, or -1 where a corner is not usable


def squares(vectors: Floats, corners: Ints, *, seed: int, permutations: int) -> Squares:
    """Measure squares, and test them by permuting the vectors among the primitives.

    Parameters
    ----------
    vectors : array of float64 [n, d]
        Usable ones only.
    corners : array of int64 [square, 4]
        Rows of `vectors`, -1 for corners without a usable vector.
    """
    distances = np.full((len(corners), len(RELATIONS)), np.nan)
    holds = np.full(len(corners), -1, "int8")
    there = (corners >= 0).all(axis=1)
    if not there.any():
        return Squares(UNDEFINED, (np.nan, np.nan), distances, holds)
    apart = cosine_distances(vectors)
    known = corners[there]
    distances[there] = np.stack([apart[known[:, a], known[:, b]] for a, b in RELATIONS.values()], 1)
    margins = _margins(apart, known)
    holds[there] = margins > 0
    share = float(holds[there].mean())
    null, finer = [], []
    for rows in permuted(len(vectors), permutations, seed):
        drawn = _margins(apart, rows[:, known])
        null.append((drawn > 0).mean(axis=1))
        finer.append(drawn.mean(axis=1))
    found = estimated(
        share,
        np.concatenate(null),
        _jackknife(holds[there].astype("float64"), known),
        Finer(float(margins.mean()), np.concatenate(finer)),
    )
    return Squares(found, _wilson(int(holds[there].sum()), len(known)), distances, holds)


def _margins(apart: Floats, corners: Ints) -> Floats:
    """Return by how much the contraries are closer, for corners [..., square, 4]."""
    s1, s2, non_s1, non_s2 = (corners[..., at] for at in range(4))
    contradictory = np.minimum(apart[s1, non_s1], apart[s2, non_s2])
    return np.asarray(contradictory - apart[s1, s2], "float64")


def _wilson(held: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(held, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def _jackknife(holds: Floats, corners: Ints) -> tuple[float, float]:
    """Return a 95 % interval of the share, leaving out one primitive with all its squares.

    The sum of squares is divided by the number of corners, because each square is left out once for
    each of them: for pairs, that is the jackknife of [1]_.

    References
    ----------
    .. [1] T. A. B. Snijders and S. P. Borgatti, "Non-parametric standard errors and tests for
       network statistics", Connections 22, 1999.
    """
    members, each = np.unique(corners), corners.shape[1]
    left = [holds[(corners != one).all(axis=1)] for one in members]
    shares = np.array([rest.mean() for rest in left if len(rest)])
    if len(shares) < 2:
        return np.nan, np.nan
    spread = (len(members) - each) / (each * len(members)) * ((shares - shares.mean()) ** 2).sum()
    half = 1.96 * float(np.sqrt(max(spread, 0.0)))
    share = float(holds.mean())
    return max(0.0, share - half), min(1.0, share + half)
