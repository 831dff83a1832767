"""`GroupMoments`: scores weights and exponents by how far groups of texts are from one another.

Signatures are linear in the shares of dhātus, so squared distances in the space of signatures are
quadratic forms, whose matrices are computed once from the shares. A candidate then costs the same
whatever the number of texts. Texts that were kept out are compared in `kept_out`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..on_host import on_host
from .labelled_shares import Ints

Floats = npt.NDArray[np.float64]

GRAIN = 1e-6
"""Variance of a noise in each share, as a part of the share's own variance. A signature that is the
same for all texts (Σ shares = 1) is this noise, instead of what rounding leaves."""

_AT_ONCE = 64  # candidates whose intermediate arrays stay in a core's L2 cache


def factors(primes: Sequence[int], dhatus: int, most: int) -> Floats:
    """Return p^((e · k) mod p), of each prime in parts of its greatest: float64 [e, prime, dhatu].

    Examples
    --------
    >>> factors([3], 4, most=2)[:, 0].tolist()
    [[1.0, 1.0, 1.0, 1.0], [0.1111111111111111, 0.3333333333333333, 1.0, 0.1111111111111111], \
[0.1111111111111111, 1.0, 0.3333333333333333, 0.1111111111111111]]
    """
    powers = [
        [[p ** ((e * k) % p) for k in range(dhatus)] for p in primes] for e in range(most + 1)
    ]
    return np.array([[[one / max(row) for one in row] for row in rows] for rows in powers])


@dataclass(frozen=True, kw_only=True)
class Moments:
    """How texts lie around the centres of other texts' groups.

    Attributes
    ----------
    centres : array [groups, m]
        Mean shares of each group.
    variance, noise : array [m, m]
        Covariance of the shares around their mean, with the noise of `GRAIN`; and that noise.
    """

    centres: Floats
    variance: Floats
    noise: Floats

    @classmethod
    def of(cls, shares: Floats, groups: Ints, count: int) -> Moments:
        """Return the moments of texts [n, m] in `count` groups; each has at least one of them."""
        centres = np.stack([shares[groups == group].mean(axis=0) for group in range(count)])
        covariance = _scatter(shares - shares.mean(axis=0), np.full(len(shares), 1 / len(shares)))
        noise = np.diag(np.diag(covariance) * GRAIN)
        return cls(centres=centres, variance=covariance + noise, noise=noise)

    def around(self, shares: Floats, groups: Ints) -> tuple[Floats, Floats]:
        """Return the scatter of texts around the other groups' centres and their own: [m, m] each.

        Each group of the texts counts the same, and so does each other group for a text.
        """
        weights = 1 / np.bincount(groups)[groups] / len(np.unique(groups))
        own = _scatter(shares - self.centres[groups], weights) + self.noise
        to_all = sum(_scatter(shares - centre, weights) for centre in self.centres)
        others = (to_all - (own - self.noise)) / (len(self.centres) - 1) + self.noise
        return others, own


@dataclass(frozen=True, kw_only=True)
class GroupMoments:
    """What the score of a candidate needs to know of the texts.

    Attributes
    ----------
    factors : array [e, primes, m]
        See `factors`.
    forms : array [pair of dhātus, fold, 3]
        Upper triangles of three matrices for each fold, the parts off the diagonal doubled: others'
        scatter less the own, their sum, and the variance.
    """

    factors: Floats
    forms: Floats

    @classmethod
    def of(cls, shares: Floats, groups: Ints, folds: Ints, table: Floats) -> GroupMoments:
        """Return the moments of texts whose folds are 0, 1, ...; others are not used."""
        count = int(groups.max()) + 1
        matrices = []
        for fold in range(int(folds.max()) + 1):
            trained, held = (folds >= 0) & (folds != fold), folds == fold
            moments = Moments.of(shares[trained], groups[trained], count)
            others, own = moments.around(shares[held], groups[held])
            matrices.append([others - own, others + own, moments.variance])
        rows, columns = np.triu_indices(shares.shape[1])
        upper = np.array(matrices)[:, :, rows, columns] * np.where(rows == columns, 1.0, 2.0)
        return cls(factors=table, forms=np.ascontiguousarray(np.moveaxis(upper, 2, 0)))

    def scores(self, candidates: Any) -> Floats:
        """Return the scores of candidates: float64 [k], −1 where all signatures are constant.

        Parameters
        ----------
        candidates : dict
            ``weights``, [k, m], and ``exponents``, [k, primes], of NumPy, CuPy or JAX.
        """
        weights, exponents = candidates["weights"], candidates["exponents"]
        xp = weights.__array_namespace__()
        table, forms = xp.asarray(self.factors), xp.asarray(self.forms)
        found = [
            self._of_block(xp, _multipliers(xp, weights[part], exponents[part], table), forms)
            for start in range(0, len(weights), _AT_ONCE)
            for part in [slice(start, start + _AT_ONCE)]
        ]
        return np.concatenate([on_host(one) for one in found]) if found else np.zeros(0)

    def _of_block(self, xp: Any, multipliers: Any, forms: Any) -> Any:
        """Return scores [k] of multipliers [m, primes, k], in an order of sums that is fixed."""
        pairs = zip(*np.triu_indices(len(multipliers)), strict=True)
        total = xp.zeros((*forms.shape[1:], *multipliers.shape[1:]))
        for form, (one, other) in zip(forms, pairs, strict=True):
            total = total + form[:, :, None, None] * (multipliers[one] * multipliers[other])
        return mean_separation(xp, total)


def mean_separation(xp: Any, total: Any) -> Any:
    """Return the mean over folds of the separation: [k], given [fold, 3, primes, k].

    Sums go over short axes in order: a reduction of NumPy's would depend on the batch's size.
    """
    difference, both, variance = total[:, 0], total[:, 1], total[:, 2]
    varies = variance > 0
    scale = xp.where(varies, variance, 1.0)
    above, below = (xp.where(varies, one / scale, 0.0) for one in (difference, both))
    above, below = (sum(one[:, prime] for prime in range(one.shape[1])) for one in (above, below))
    ratio = xp.where(below > 0, above / xp.where(below > 0, below, 1.0), -1.0)
    return sum(ratio[fold] for fold in range(len(ratio))) / len(ratio)


def _multipliers(xp: Any, weights: Any, exponents: Any, table: Any) -> Any:
    """Return what each dhātu's share is multiplied with for each prime: [m, primes, k]."""
    primes = xp.arange(table.shape[1])
    chosen = table[exponents.astype(xp.int32), primes]  # [k, primes, m]
    return (chosen * weights[:, None, :]).transpose(2, 1, 0).copy()


def _scatter(away: Floats, weights: Floats) -> Floats:
    """Return Σ weight · away · awayᵀ: [m, m]; not by BLAS, whose sums depend on its threads."""
    weighted = weights[:, None] * away
    return np.stack([(one[:, None] * away).sum(axis=0) for one in weighted.T])
