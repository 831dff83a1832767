"""Binary masks: which of several things are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from .changes import touched
from .dimensions import numbers_of
from .space import Space, States, Steps


class Masks(Space):
    """Masks of 0 and 1, as uint8. A change flips bits.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of bits, or their names.

    Examples
    --------
    >>> space = Masks(["MOUVEMENT", "EMOTION", "CREATION"])
    >>> space.check([1, 0, 1])
    array([1, 0, 1], dtype=uint8)
    >>> space.neighbours(np.random.default_rng(0), space.check([1, 0, 1]), np.full(3, 0.1)).tolist()
    [[1, 0, 0], [0, 0, 1], [1, 1, 1]]
    """

    kind = "masks"
    dtype = np.dtype("uint8")

    def __init__(self, dimensions: int | Sequence[str]) -> None:
        super().__init__(dimensions)
        self.least_step = 1 / self.dimensions
        self.first_step = 1 / self.dimensions

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return uniform masks."""
        return rng.integers(0, 2, (count, self.dimensions), dtype="uint8")

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return masks with about ``step × d`` bits flipped, at least one."""
        flips = np.zeros((len(steps), self.dimensions), "uint8")
        flips[touched(rng, steps, np.arange(self.dimensions))] = 1
        return flips ^ state

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the bits that the chosen children have changed."""
        changed = children ^ bases
        kept = np.concatenate([1 - changed, np.ones_like(changed[:1])])
        given = np.concatenate([children & changed, np.zeros_like(changed[:1])])
        made = np.tile(state, (len(chosen), 1))
        for column in chosen.T:  # -1 is the last row: nothing is changed
            made &= kept[column]
            made |= given[column]
        return made

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return 1 where a coordinate is at least a half."""
        return (unit >= 0.5).astype("uint8")

    def check(self, state: Any) -> States:
        """Return a start as a mask."""
        numbers = numbers_of(state, self.dimensions)
        wrong = (numbers != 0) & (numbers != 1)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise UsageError(
                f"a mask holds 0 and 1; at position {at} of the start is {numbers[at]}"
            )
        return numbers.astype("uint8")
