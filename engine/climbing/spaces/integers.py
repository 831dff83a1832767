"""Integers within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from .bounds import Bounds
from .changes import accumulated, touched
from .dimensions import numbers_of
from .space import Space, States, Steps

MOST = 2**53
"""Greatest magnitude of a bound: float64, in which a product holds them, has all integers up to it.
"""


class Integers(Space):
    """Integers from `low` to `high`, both included, as int64. A change moves some of them.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of integers, or their names.
    low, high : int or sequence of int
        Bounds, one for all or one for each; of a magnitude of 2⁵³ at most.

    Raises
    ------
    UsageError
        A bound is not such an integer, or a lower bound is above the upper one.

    Examples
    --------
    >>> space = Integers(["a", "b"], 0, [3, 1])
    >>> space.check([3, 1])
    array([3, 1])
    >>> space.neighbours(np.random.default_rng(0), space.check([3, 1]), np.full(2, 0.1)).tolist()
    [[2, 1], [3, 0]]
    """

    kind = "integers"
    dtype = np.dtype("int64")

    def __init__(self, dimensions: int | Sequence[str], low: Any, high: Any) -> None:
        super().__init__(dimensions)
        self._bounds = Bounds(low, high, dimensions=self.dimensions, dtype=self.dtype, most=MOST)
        self.is_point = not len(self._bounds.free)
        # A smaller step than this still changes one coordinate by 1.
        self.least_step = 1 / max(self.dimensions, int(self._bounds.width.max()))
        self.first_step = max(self.least_step, min(0.1, 2 / self.dimensions))

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return uniform integers."""
        bounds = self._bounds
        return rng.integers(bounds.low, bounds.high, (count, self.dimensions), endpoint=True)

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return states with about ``step × d`` integers moved, each by about ``step × range``."""
        made = np.tile(state, (len(steps), 1))
        if self.is_point:
            return made
        bounds = self._bounds
        rows, columns = touched(rng, steps, bounds.free)
        moves = rng.geometric(1 / np.maximum(steps[rows] * bounds.width[columns], 1.0))
        here = state[columns]
        above, below = bounds.high[columns] - here, here - bounds.low[columns]
        # A move without room in one direction is made in the other, so each changes something.
        upwards = (rng.integers(0, 2, len(rows)) == 1) & (above > 0) | (below == 0)
        made[rows, columns] = here + np.where(
            upwards, np.minimum(moves, above), -np.minimum(moves, below)
        )
        return made

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the moves of the chosen children, within the bounds."""
        made = accumulated(np.add, state, children - bases, chosen)
        return self._bounds.clip(made)

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return integers, for each of which the same share of the unit interval stands."""
        values = self._bounds.width + 1
        offset = np.floor(unit * values).astype("int64")
        return self._bounds.clip(self._bounds.low + offset)  # 1 is as the last number below it

    def check(self, state: Any) -> States:
        """Return a start as integers."""
        numbers = numbers_of(state, self.dimensions)
        self._bounds.check(numbers)
        whole = numbers == np.rint(numbers)
        if not whole.all():
            at = int(np.argmin(whole))
            raise UsageError(f"at position {at} of the start is {numbers[at]}, not a whole number")
        return numbers.astype("int64")

    def _particulars(self) -> Mapping[str, Any]:
        return self._bounds.describe()
