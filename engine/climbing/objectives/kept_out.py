"""`KeptOut`: what a summit is worth on texts that the climb never saw, and against shuffled labels.

The score that was climbed is too high as an estimate, because the summit was chosen for it. The
texts that were kept out had no part in it, so that any labels of theirs would be as likely, if
labels had nothing to do with signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...nsm.measures.significance import p_value
from .group_moments import Floats, GroupMoments, Moments
from .labelled_shares import Ints

LEVEL = 0.01
"""Greatest p that is called more than chance. Climbs are repeated, with other seeds and settings,
and each is judged on few texts: at 0.05, one of twenty would find something where nothing is."""


@dataclass(frozen=True, kw_only=True)
class KeptOut:
    """The texts that were kept out, and the moments of all others.

    Attributes
    ----------
    climbed : GroupMoments
    moments : Moments
        Of all texts that were not kept out.
    shares : array of float64 [n, m]
    groups : array of int64 [n]
    shuffles, seed : int
        Number of shuffled labellings, and what they are drawn from.
    """

    climbed: GroupMoments
    moments: Moments
    shares: Floats
    groups: Ints
    shuffles: int
    seed: int

    def judge(self, candidate: Any) -> Sequence[tuple[str, str]]:
        """Return in words what a candidate is worth: weights [1, m] and exponents [1, primes]."""
        distances, noise = self._distances(candidate)
        score = self._separations(distances, noise, self.groups[None])[0]
        random = np.random.default_rng([self.seed, 1])
        shuffled = random.permuted(np.tile(self.groups, (self.shuffles, 1)), axis=1)
        by_chance = self._separations(distances, noise, shuffled)
        p = p_value(score, by_chance)
        verdict = "more than chance" if p <= LEVEL else "not more than chance"
        climbed = self.climbed.scores(candidate)[0]
        on_those = (
            f"score {score:.4f} on {len(self.groups):,} texts that the climb never saw; "
            f"{self._accuracy(distances):.1%} of them are nearest to their own group (each group "
            f"counts the same; {1 / len(self.moments.centres):.1%} by guessing)"
        )
        against = (
            f"{verdict}: p = {p:.2g} of {self.shuffles:,} shuffles, whose mean score is "
            f"{by_chance.mean():.4f}"
        )
        return [
            ("Held-out folds", f"score {climbed:.4f}; too high an estimate, for it was climbed"),
            ("Texts kept out", on_those),
            ("Against shuffled labels", against),
        ]

    def _distances(self, candidate: Any) -> tuple[Floats, float]:
        """Return standardised squared distances to the groups' centres, [n, groups]; and noise."""
        table = self.climbed.factors
        chosen = table[candidate["exponents"][0].astype(int), np.arange(table.shape[1])]
        multipliers = chosen * candidate["weights"][0]  # [primes, m]
        variance = np.einsum("pi,ij,pj->p", multipliers, self.moments.variance, multipliers)
        noise = np.einsum("pi,ij,pj->p", multipliers, self.moments.noise, multipliers)
        scale = np.where(variance > 0, variance, np.inf)
        away = self.shares[:, None] - self.moments.centres
        projected = np.einsum("ngi,pi->ngp", away, multipliers)
        return (projected * projected / scale).sum(axis=2), float((noise / scale).sum())

    def _separations(self, distances: Floats, noise: float, groups: Ints) -> Floats:
        """Return the separation by each of several labellings [m, n]."""
        weights = (1 / np.bincount(self.groups) / len(self.moments.centres))[groups]
        own_each = np.take_along_axis(distances[None], groups[:, :, None], axis=2)[:, :, 0]
        others_each = (distances.sum(axis=1) - own_each) / (distances.shape[1] - 1)
        own, others = ((weights * one).sum(axis=1) + noise for one in (own_each, others_each))
        both = others + own
        ratio = np.divide(others - own, both, out=np.full_like(both, -1.0), where=both > 0)
        return np.asarray(ratio, "float64")

    def _accuracy(self, distances: Floats) -> float:
        """Return the balanced share of texts whose nearest centre is that of their group."""
        right: npt.NDArray[np.bool_] = distances.argmin(axis=1) == self.groups
        counts = np.bincount(self.groups)
        return float((np.bincount(self.groups, weights=right) / counts).mean())
