"""`Space`: what every kind of space of candidates can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .dimensions import names_of

States = npt.NDArray[Any]
"""States of a space, [k, d], or one of them, [d]."""

Steps = npt.NDArray[np.float64]
"""Relative sizes of changes, in (0, 1]: float64 [k]."""


class Space(ABC):
    """A set of candidates, each of which is an array of as many numbers as there are dimensions.

    A space does not change, and the rows that its methods return depend on nothing but their
    arguments: the same generator in the same state gives the same bits.

    Parameters
    ----------
    dimensions : int or sequence of str
        The number of dimensions, or their names.

    Attributes
    ----------
    dtype : dtype
        The dtype of states.
    dimensions : int
        Length of a state.
    names : tuple of str or None
        What readers call the dimensions.
    unit_dimensions : int
        Dimensions of the unit cube that `from_unit` decodes.
    is_point : bool
        Whether the space has a single state, which then has no neighbour.
    first_step, least_step : float
        Relative size of a change in (0, 1]: of a fresh climber's, and the least that differs from
        smaller ones.

    Raises
    ------
    UsageError
        The dimensions are neither a number of at least 1 nor different names.
    """

    kind: ClassVar[str]
    dtype: np.dtype[Any]
    is_point: bool = False
    first_step: float
    least_step: float

    def __init__(self, dimensions: int | Sequence[str]) -> None:
        self.dimensions, self.names = names_of(dimensions)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.dimensions} dimensions>"

    @property
    def unit_dimensions(self) -> int:
        """Dimensions of the unit cube that `from_unit` decodes."""
        return self.dimensions

    @abstractmethod
    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return states from all of the space, [count, d]."""

    @abstractmethod
    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return changed states, [k, d], each of which differs from `state` unless it is alone.

        Parameters
        ----------
        rng : Generator
            Source of random numbers.
        state : array [d]
            The state that is changed.
        steps : array of float64 [k]
            Relative size of the change of each row, in (0, 1].
        """

    @abstractmethod
    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the changes of the chosen children, [count, d].

        Parameters
        ----------
        state : array [d]
            The state that is changed.
        bases, children : array [g, d]
            At least one child, and the state that each is a change of.
        chosen : array of int64 [count, m]
            Rows of `children`, or −1 for no further one.
        """

    @abstractmethod
    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return the states, [k, d], that points of the unit cube, [k, unit_dimensions], stand for.

        Points near each other stand for states near each other, as far as the space allows, and
        uniform points for states from all of the space.
        """

    @abstractmethod
    def check(self, state: Any) -> States:
        """Return a start that the user gave as a state, [d], or say what is wrong with it.

        Raises
        ------
        UsageError
            It is not a state of this space.
        """

    def columns(self, states: States) -> dict[str, States]:
        """Return states, [k, d], as the arrays that are stored, by name."""
        return {"state": states}

    def argument(self, states: States) -> Any:
        """Return states, [k, d], as an objective gets them: as they are."""
        return states

    def describe(self) -> dict[str, Any]:
        """Return what makes this space differ from others, for JSON."""
        names = None if self.names is None else list(self.names)
        return {
            "kind": self.kind,
            "dimensions": self.dimensions,
            "names": names,
            **self._particulars(),
        }

    def _particulars(self) -> Mapping[str, Any]:
        """Return what else `describe` says about this kind of space."""
        return {}
