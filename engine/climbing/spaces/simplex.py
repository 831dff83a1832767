"""Weights: numbers of at least 0 whose sum is 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from .changes import accumulated, walk
from .dimensions import numbers_of
from .space import Space, States, Steps

TOLERANCE = 1e-6
"""How far from 1 the sum of a start may be; sums of float32 are within it."""

_EXACT = 1e-12  # sums within it are left as they are

_LEAST_SHARE = 2.0**-10  # of a step: a least step that is moved then changes any weight


class Simplex(Space):
    """Weights as float64. A change moves weight from one to another, or is a small step of all.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of weights, or their names.

    Examples
    --------
    >>> space = Simplex(["MOUVEMENT", "EMOTION"])
    >>> space.check([0.25, 0.75])
    array([0.25, 0.75])
    >>> found = space.neighbours(np.random.default_rng(0), np.array([0.25, 0.75]), np.full(9, 0.1))
    >>> bool((found >= 0).all()), bool((abs(found.sum(axis=1) - 1) < 1e-12).all())
    (True, True)
    """

    kind = "simplex"
    dtype = np.dtype("float64")
    first_step = 0.1
    least_step = 1e-9

    def __init__(self, dimensions: int | Sequence[str]) -> None:
        super().__init__(dimensions)
        self.is_point = self.dimensions == 1

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return uniform points of the simplex."""
        return _normalised(rng.standard_exponential((count, self.dimensions)))

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return weights with some of one moved to another, or with a normal step of all."""
        if self.is_point:
            return np.tile(state, (len(steps), 1))
        made = self._moved(rng, state, steps)
        all_ = np.flatnonzero(rng.random(len(steps)) < 0.5)
        spread = self._spread(rng, state, steps[all_])
        # At a corner, a step may lead out of the simplex, and then back to where it came from.
        changed = (spread != state).any(axis=1)
        made[all_[changed]] = spread[changed]
        return made

    def _moved(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return rows in which some of a positive weight went to another one."""
        rows, positive = np.arange(len(steps)), np.flatnonzero(state > 0)
        source = positive[rng.integers(0, len(positive), len(rows))]
        target = walk(rng, np.arange(self.dimensions), len(rows))
        target = np.where(target == source, (target + 1) % self.dimensions, target)
        share = np.maximum(np.abs(rng.standard_normal(len(rows))), _LEAST_SHARE)
        amount = np.minimum(steps * share, state[source])
        made = np.tile(state, (len(rows), 1))
        made[rows, source] -= amount
        made[rows, target] += amount
        return _normalised(made)

    def _spread(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return rows in which every weight took a normal step."""
        noise = rng.standard_normal((len(steps), self.dimensions))
        noise -= noise.mean(axis=1, keepdims=True)  # within the simplex, so that no sum becomes 0
        scale = steps / np.sqrt(self.dimensions)
        return _normalised(np.maximum(state + scale[:, None] * noise, 0.0))

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the differences of the chosen children added, as weights."""
        made = accumulated(np.add, state, children - bases, chosen)
        return _normalised(np.maximum(made, 0.0))

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return the weights for exponential variables with these probabilities to be exceeded.

        Uniform points of the cube give uniform ones of the simplex, and a coordinate of 1 a weight
        of 0.
        """
        least = np.finfo("float64").tiny
        return _normalised(np.abs(np.log(np.clip(unit, least, 1.0))))

    def check(self, state: Any) -> States:
        """Return a start as weights, divided by their sum if that is not quite 1."""
        weights = numbers_of(state, self.dimensions).astype("float64")
        if (weights < 0).any():
            at = int(np.argmax(weights < 0))
            raise UsageError(
                f"weights are at least 0; at position {at} of the start is {weights[at]}"
            )
        total = float(weights.sum())
        if not abs(total - 1) <= TOLERANCE:
            raise UsageError(f"the weights of the start sum to {total:g}; divide them by their sum")
        return weights if abs(total - 1) <= _EXACT else weights / total


def _normalised(rows: States) -> States:
    """Return rows divided by their sums, in place; equal weights where there are only zeros."""
    rows[~rows.any(axis=1)] = 1.0
    rows /= rows.sum(axis=1, keepdims=True)
    return rows
