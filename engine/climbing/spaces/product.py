"""Products of spaces: candidates that consist of several parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from .space import Space, States, Steps

_ALL = 0.25  # probability that a neighbour changes all components

_LEAST_WEIGHT = 0.1  # of a component's choice, beside its share of the dimensions


class Product(Space):
    """States of several spaces side by side, as float64. A change is one of a component, or of all.

    Arrays that are stored and that objectives get are by component, in the component's own dtype.

    Parameters
    ----------
    **components : Space
        At least one, by name; none is a product itself.

    Raises
    ------
    UsageError
        A component is not such a space, or its name is not an identifier.

    Examples
    --------
    >>> from paninifs.engine.climbing.spaces.masks import Masks
    >>> from paninifs.engine.climbing.spaces.simplex import Simplex
    >>> space = Product(weights=Simplex(2), taken=Masks(["a", "b", "c"]))
    >>> space.names
    ('weights.0', 'weights.1', 'taken.a', 'taken.b', 'taken.c')
    >>> space.check({"weights": [0.5, 0.5], "taken": [1, 0, 1]})
    array([0.5, 0.5, 1. , 0. , 1. ])
    >>> space.argument(np.array([[0.5, 0.5, 1.0, 0.0, 1.0]]))["taken"]
    array([[1, 0, 1]], dtype=uint8)
    """

    kind = "product"
    dtype = np.dtype("float64")

    def __init__(self, **components: Space) -> None:
        for name, space in components.items():
            _check_component(name, space)
        if not components:
            raise UsageError("a product has at least one component: Product(weights=Simplex(9))")
        super().__init__(
            [
                f"{name}.{part}"
                for name, space in components.items()
                for part in space.names or range(space.dimensions)
            ]
        )
        self.components: Mapping[str, Space] = dict(components)
        spaces = list(components.values())
        ends = np.cumsum([space.dimensions for space in spaces]).tolist()
        starts = [0, *ends[:-1]]
        self._parts = [slice(*pair) for pair in zip(starts, ends, strict=True)]
        self.is_point = all(space.is_point for space in spaces)
        self.first_step = max(space.first_step for space in spaces)
        self.least_step = min(
            self.first_step * (space.least_step / space.first_step) for space in spaces
        )

    @property
    def unit_dimensions(self) -> int:
        """Dimensions of the unit cube that `from_unit` decodes: those of all components."""
        return sum(space.unit_dimensions for space in self.components.values())

    def random(self, rng: np.random.Generator, count: int) -> States:
        """Return states of which each component is random."""
        return _joined([space.random(rng, count) for space in self.components.values()])

    def neighbours(self, rng: np.random.Generator, state: States, steps: Steps) -> States:
        """Return states with a neighbour of one component, or of all for a quarter of the rows."""
        made = np.tile(state, (len(steps), 1))
        if self.is_point:
            return made
        spaces = list(self.components.values())
        chosen = rng.choice(len(spaces), len(steps), p=self._weights())
        every = rng.random(len(steps)) < _ALL
        for at, (space, part) in enumerate(zip(spaces, self._parts, strict=True)):
            rows = np.flatnonzero(every | (chosen == at))
            own = state[part].astype(space.dtype)
            made[rows, part] = space.neighbours(rng, own, self._own_steps(space, steps[rows]))
        return made

    def _weights(self) -> npt.NDArray[np.float64]:
        """Return the probability of each component to be changed: none for a single point."""
        weights = np.array(
            [
                (not space.is_point) * (space.dimensions / self.dimensions + _LEAST_WEIGHT)
                for space in self.components.values()
            ]
        )
        return np.asarray(weights / weights.sum(), "float64")

    def _own_steps(self, space: Space, steps: Steps) -> Steps:
        """Return the steps of a component: its first step for the first step of the product."""
        scaled = steps * (space.first_step / self.first_step)
        return np.clip(scaled, space.least_step, 1.0)

    def with_changes(
        self, state: States, bases: States, children: States, *, chosen: npt.NDArray[np.int64]
    ) -> States:
        """Return `state` with the changes of the chosen children in every component."""
        return _joined(
            [
                space.with_changes(
                    state[part].astype(space.dtype),
                    bases[:, part].astype(space.dtype),
                    children[:, part].astype(space.dtype),
                    chosen=chosen,
                )
                for space, part in zip(self.components.values(), self._parts, strict=True)
            ]
        )

    def from_unit(self, unit: npt.NDArray[np.float64]) -> States:
        """Return states whose components are decoded from one stretch of the coordinates each."""
        made, start = [], 0
        for space in self.components.values():
            end = start + space.unit_dimensions
            made.append(space.from_unit(unit[:, start:end]))
            start = end
        return _joined(made)

    def check(self, state: Any) -> States:
        """Return a start, given by component in a mapping or as all numbers, as a state."""
        parts = self._by_component(state)
        made = []
        for name, space in self.components.items():
            try:
                made.append(space.check(parts[name]))
            except UsageError as error:
                raise UsageError(f"in the component {name!r}: {error}") from error
        return np.concatenate(made, dtype="float64")

    def _by_component(self, state: Any) -> Mapping[str, Any]:
        if isinstance(state, Mapping):
            if set(state) != set(self.components):
                raise UsageError(
                    f"a start of this space has the components {', '.join(self.components)}, not "
                    f"{', '.join(map(str, state)) or 'none'}"
                )
            return state
        if np.shape(state) != (self.dimensions,):
            raise UsageError(
                f"a start of this space is a dictionary of {', '.join(self.components)}, or "
                f"{self.dimensions} numbers"
            )
        names = self.components
        return {name: state[part] for name, part in zip(names, self._parts, strict=True)}

    def columns(self, states: States) -> dict[str, States]:
        """Return states, [k, d], as an array for each component, in its own dtype."""
        return {
            name: states[:, part].astype(space.dtype)
            for (name, space), part in zip(self.components.items(), self._parts, strict=True)
        }

    def argument(self, states: States) -> dict[str, States]:
        """Return states as an objective gets them: as `columns`."""
        return self.columns(states)

    def _particulars(self) -> Mapping[str, Any]:
        # A list, for their order is that of the numbers of a state.
        return {"components": [[name, part.describe()] for name, part in self.components.items()]}


def _check_component(name: str, space: Any) -> None:
    if not name.isidentifier() or name == "state":
        raise UsageError(
            f"a component's name is an identifier other than state, such as weights, not {name!r}"
        )
    if not isinstance(space, Space):
        raise UsageError(f"the component {name!r} is a space, such as Masks(9), not {space!r}")
    if isinstance(space, Product):
        raise UsageError(f"the component {name!r} is a product; give its components instead")


def _joined(parts: list[States]) -> States:
    return np.concatenate(parts, axis=1, dtype="float64")
