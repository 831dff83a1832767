"""`Neighbourhoods`: a population of climbers that share the best summit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import ClimbSettings
from ..spaces.space import Space
from .climber import Climber
from .proposer import Acceptance, Best, Kind, Round
from .tabu import Tabu

_NUMBERS = ("score", "number", "quiet", "vain", "rounds", "step", "kind", "parent", "roams")
_STATES = ("peak", "summit")
_CHANGES = ("bases", "children")


class Neighbourhoods:
    """Climbers that take turns: round r is one of climber r modulo their number.

    So a climber has one round in flight, and proposes it knowing all of its own rounds before.

    Parameters
    ----------
    start : ndarray, optional
        Where every climber begins; by default each at a random state of its own.
    """

    def __init__(
        self, space: Space, settings: ClimbSettings, start: npt.NDArray[Any] | None = None
    ) -> None:
        self._space, self._settings = space, settings
        rng = np.random.Generator(
            np.random.Philox(key=np.array([settings.seed, 2**64 - 1], np.uint64))
        )
        drawn = space.random(rng, settings.climbers)
        states = drawn if start is None else [start] * settings.climbers
        self.climbers = [Climber.at(one, space, settings) for one in states]

    @property
    def ahead(self) -> int:
        """The number of climbers."""
        return len(self.climbers)

    def propose(self, number: int, rng: np.random.Generator) -> Round:
        """Propose a round of the climber whose turn it is."""
        turn = number % len(self.climbers)
        climber = self.climbers[turn]
        proposed = climber.propose(rng)
        return Round(
            number=number,
            first=number * self._settings.neighbours,
            climber=turn,
            parent=climber.number if climber.is_scored else climber.parent,
            states=proposed.states,
            steps=proposed.steps,
            chosen=proposed.chosen,
        )

    def retire(
        self,
        of: Round,
        scores: npt.NDArray[np.float64],
        best: Best,
        rng: np.random.Generator,
    ) -> Sequence[Acceptance]:
        """Give a round's scores to its climber."""
        return self.climbers[of.climber].retire(of, scores, best, rng)

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the climbers' states, one row for each."""
        every = self.climbers
        found = {name: np.array([getattr(one, name) for one in every]) for name in _NUMBERS}
        for name in _STATES:
            found[f"{name}_number"] = np.array([getattr(one, name).number for one in every])
            found[f"{name}_score"] = np.array([getattr(one, name).score for one in every])
            found[f"{name}_state"] = np.stack([getattr(one, name).state for one in every])
        found["position"] = np.stack([one.position for one in every])
        most = max(len(one.children) for one in every)
        shape = len(every), most, self._space.dimensions
        for name in _CHANGES:
            found[name] = np.zeros(shape, self._space.dtype)
            for row, one in enumerate(every):
                found[name][row, : len(one.children)] = getattr(one, name)
        found["children_count"] = np.array([len(one.children) for one in every])
        found["tabu"] = np.stack([one.tabu.ring for one in every])
        found["tabu_added"] = np.array([one.tabu.added for one in every])
        return found

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what `state` returned."""
        for row, one in enumerate(self.climbers):
            for name in _NUMBERS:
                setattr(one, name, state[name][row].item())
            one.kind = Kind(one.kind)
            for name in _STATES:
                number, score = (
                    state[f"{name}_{part}"][row].item() for part in ("number", "score")
                )
                setattr(one, name, Best(number, score, state[f"{name}_state"][row]))
            one.position = state["position"][row]
            for name in _CHANGES:
                setattr(one, name, state[name][row, : state["children_count"][row]])
            one.tabu = Tabu(self._settings.tabu)
            one.tabu.ring[:] = state["tabu"][row]
            one.tabu.added = int(state["tabu_added"][row])
