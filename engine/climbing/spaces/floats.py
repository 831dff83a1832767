"""Floats within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .bounds import Bounds
from .changes import accumulated, walk
from .dimensions import numbers_of
from .space import Space, States, Steps

MOST = 1e300
"""Greatest magnitude of a bound: ranges and sums of a few of them stay finite."""


class Floats(Space):
    """Numbers from `low` to `high`, both included, as float64. A change moves one of them or all.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of floats, or their names.
    low, high : float or sequence of float
        Bounds, one for all or one for each; of a magnitude of 1e300 at most.

    Raises
    ------
    UsageError
        A bound is not such a number, or a lower bound is above the upper one.

    Examples
    --------
    >>> space = Floats(["threshold", "scale"], [0, -1], 1)
    >>> space.check([0.5, -1])
    array([ 0.5, -1. ])
    >>> space.from_unit(np.array([[0.25, 0.25]])).tolist()
    [[0.25, -0.5]]
    """

    kind = "floats"
    dtype = np.dtype("float64")
    first_step = 0.1
    least_step = 1e-9

    def __init__(self, dimensions: int | Sequence[str], low: Any, high: Any) -> None:
        super().__init__(dimensions)
        self._bounds = Bounds(low, high, dimensions=self.dimensions, dtype=self.dtype, most=MOST)
        self.is_point = not len(self._bounds.free)

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return uniform floats."""
        return self.from_unit(rng.random((count, self.dimensions)))

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return states with a normal step in one coordinate, or with one of that length in all."""
        made = np.tile(state, (len(steps), 1))
        if self.is_point:
            return made
        width, free = self._bounds.width, self._bounds.free
        columns = walk(rng, free, len(steps))
        alone = rng.random(len(steps)) < 0.5
        one, all_ = np.flatnonzero(alone), np.flatnonzero(~alone)
        scale = steps[one] * width[columns[one]]
        made[one, columns[one]] += scale * rng.standard_normal(len(one))
        scales = steps[all_, None] * (width / np.sqrt(len(free)))
        made[all_] += scales * rng.standard_normal((len(all_), self.dimensions))
        self._reflect(made)
        same = np.flatnonzero((made == state).all(axis=1))  # the step was lost in rounding
        made[same, columns[same]] = self._next(state)[columns[same]]
        return made

    def _reflect(self, made: States) -> None:
        """Fold what lies outside of the bounds back into them, in place."""
        bounds = self._bounds
        rows, columns = np.nonzero((made < bounds.low) | (made > bounds.high))
        low, width = bounds.low[columns], bounds.width[columns]
        turned = np.mod(made[rows, columns] - low, 2 * width)
        made[rows, columns] = low + np.minimum(turned, 2 * width - turned)
        np.clip(made, bounds.low, bounds.high, out=made)  # sums are rounded

    def _next(self, state: States) -> States:
        """Return the next float to each, within the bounds."""
        high = self._bounds.high
        return np.nextafter(state, np.where(state < high, high, self._bounds.low))

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the differences of the chosen children added, within the bounds."""
        made = accumulated(np.add, state, children - bases, chosen)
        return self._bounds.clip(made)

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return the points at these shares of the ranges."""
        bounds = self._bounds
        return bounds.clip(bounds.low * (1 - unit) + bounds.high * unit)  # 0 and 1 are the bounds

    def check(self, state: Any) -> States:
        """Return a start as floats."""
        numbers = numbers_of(state, self.dimensions)
        self._bounds.check(numbers)
        return numbers.astype("float64")

    def _particulars(self) -> Mapping[str, Any]:
        return self._bounds.describe()
