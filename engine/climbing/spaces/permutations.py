"""Permutations: orders of several things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from .changes import Ints, sizes
from .dimensions import numbers_of
from .space import Space, States, Steps

MOST_SEGMENTS = 16
"""Most segments that one change shifts or reverses, each of which takes time for all places."""

_SWAP, _INSERT, _REVERSE = range(3)


class Permutations(Space):
    """Orders of ``range(n)``, as int64: place by place, which thing is there.

    A change swaps things, puts things in at other places, or reverses segments. What a child's
    change moves is combined by place.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of things, or their names.

    Examples
    --------
    >>> space = Permutations(["agent", "action", "object"])
    >>> space.check([2, 0, 1])
    array([2, 0, 1])
    >>> space.neighbours(np.random.default_rng(0), np.arange(3), np.full(3, 0.1)).tolist()
    [[1, 0, 2], [1, 0, 2], [1, 0, 2]]
    """

    kind = "permutations"
    dtype = np.dtype("int64")

    def __init__(self, dimensions: int | Sequence[str]) -> None:
        super().__init__(dimensions)
        self.is_point = self.dimensions == 1
        self.least_step = 1 / self.dimensions
        self.first_step = min(1.0, 2 / self.dimensions)

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return uniform permutations."""
        return rng.permuted(np.tile(np.arange(self.dimensions), (count, 1)), axis=1)

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return orders after ``step × n`` swaps, insertions or reversals, at least one."""
        made = np.tile(state, (len(steps), 1))
        if self.is_point:
            return made
        moves = rng.integers(0, 3, len(steps))
        counts = sizes(steps, self.dimensions)
        counts = np.where(moves == _SWAP, counts, np.minimum(counts, MOST_SEGMENTS))
        for done in range(int(counts.max(initial=0))):
            for move in (_SWAP, _INSERT, _REVERSE):
                self._move(rng, made, np.flatnonzero((counts > done) & (moves == move)), move)
        undone = np.flatnonzero((made == state).all(axis=1))  # one move took back another
        self._move(rng, made, undone, _SWAP)
        return made

    def _move(self, rng: np.random.Generator, made: States, rows: Ints, move: int) -> None:
        """Make a move in each of these rows, in place."""
        n = self.dimensions
        a = rng.integers(0, n, len(rows))
        b = (a + rng.integers(1, n, len(rows))) % n  # another place
        if move == _SWAP:
            made[rows, a], made[rows, b] = made[rows, b], made[rows, a]
            return
        places = _inserted(a, b, n) if move == _INSERT else _reversed(a, b, n)
        made[rows] = made[rows[:, None], places]

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: Ints
    ) -> States:
        """Return `state` after the moves of the chosen children, one after another."""
        places = np.argsort(bases, axis=1, kind="stable")
        places_in_base = np.take_along_axis(places, children, axis=1)
        unmoved = np.arange(self.dimensions)
        padded = np.concatenate([places_in_base, unmoved[None]])  # −1 is the last row: no move
        made = np.tile(state, (len(chosen), 1))
        for column in chosen.T:
            made = np.take_along_axis(made, padded[column], axis=1)
        return made

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return the orders that sort the coordinates."""
        return np.argsort(unit, axis=1, kind="stable").astype("int64")

    def check(self, state: Any) -> States:
        """Return a start as a permutation."""
        numbers = numbers_of(state, self.dimensions)
        if (np.sort(numbers) != np.arange(self.dimensions)).any():
            raise UsageError(
                f"a start of this space has every integer from 0 to {self.dimensions - 1} once"
            )
        return numbers.astype("int64")


def _inserted(a: Ints, b: Ints, n: int) -> Ints:
    """Return which place each place takes its thing from when the one at `a` goes to `b`."""
    places = np.tile(np.arange(n), (len(a), 1))
    between = (places >= np.minimum(a, b)[:, None]) & (places <= np.maximum(a, b)[:, None])
    places += between * np.where(a < b, 1, -1)[:, None]
    places[np.arange(len(a)), b] = a
    return places


def _reversed(a: Ints, b: Ints, n: int) -> Ints:
    """Return which place each place takes its thing from when those from `a` to `b` are reversed.

    Either of them may come first.
    """
    places = np.arange(n)
    between = (places >= np.minimum(a, b)[:, None]) & (places <= np.maximum(a, b)[:, None])
    return np.where(between, (a + b)[:, None] - places, places)
