"""`Climber`: one hill climber, which moves to better neighbours, and leaves summits again.

It climbs in rounds. A candidate whose score is higher than that of its position by the threshold is
its next position, at once, so that a round may take several steps. Changes that gained in a round
are combined in the next one. After some rounds without a gain the position is a summit: the climber
begins an excursion with a larger change of its highest summit, and leaves that after some
excursions in vain, for the best summit of all climbers or for a random state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import ClimbSettings
from ..spaces.space import Space
from .proposer import NOBODY, Acceptance, Best, Kind, Round
from .tabu import Tabu

MOST_CHILDREN = 32
"""Maximum number of changes kept for combining."""

_SPREAD = 0.7  # standard deviation of the logarithm of a round's step sizes
_NARROWING = 0.8  # factor of the step size after a round without a gain

_Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class Climber:
    """A climber. All but `settings` and `space` changes only when one of its rounds is retired.

    Attributes
    ----------
    position : ndarray
        The state whose neighbours are proposed. Its score is ``-inf`` until it is known.
    peak, summit : Best
        The best state of this excursion, and of those before it.
    quiet : int
        Rounds since the last gain.
    vain : int
        Excursions since the last higher summit.
    rounds : int
        Of this excursion.
    step : float
        Relative size of the changes that are proposed.
    base, children : ndarray
        A former position, and candidates that are better than it.
    kind : Kind
        Why the position is accepted, while its score is not known.
    """

    space: Space
    settings: ClimbSettings
    position: npt.NDArray[Any]
    score: float = -np.inf
    number: int = NOBODY
    peak: Best
    summit: Best
    quiet: int = 0
    vain: int = 0
    rounds: int = 0
    step: float
    base: npt.NDArray[Any]
    children: npt.NDArray[Any]
    kind: Kind = Kind.START
    parent: int = NOBODY
    tabu: Tabu = field(default_factory=lambda: Tabu(0))

    @classmethod
    def at(cls, position: npt.NDArray[Any], space: Space, settings: ClimbSettings) -> Climber:
        """Return a climber that begins at a state."""
        unknown = Best(NOBODY, -np.inf, position)
        return cls(
            space=space,
            settings=settings,
            position=position,
            peak=unknown,
            summit=unknown,
            step=space.first_step,
            base=position,
            children=position[None][:0],
            tabu=Tabu(settings.tabu),
        )

    @property
    def is_scored(self) -> bool:
        """Whether the score of the position is known."""
        return self.number != NOBODY

    # --- proposing --------------------------------------------------------------------------------

    def propose(self, rng: np.random.Generator) -> tuple[npt.NDArray[Any], _Floats]:
        """Return candidates ``[n, d]``, and the sizes of their changes."""
        count, space = self.settings.neighbours, self.space
        spread = np.exp(_SPREAD * rng.standard_normal(count))
        steps: _Floats = np.clip(self.step * spread, space.least_step, 1.0)
        states = space.neighbours(rng, self.position, steps)
        combined = count // 2 if len(self.children) else 0
        if combined:
            states[:combined] = space.combine(
                rng, self.position, self.base, self.children, combined
            )
            steps[:combined] = np.nan
        again = np.flatnonzero(self.tabu.has(states))
        if again.size:
            steps[again] = np.clip(
                2 * np.nan_to_num(steps[again], nan=self.step), space.least_step, 1
            )
            states[again] = space.neighbours(rng, self.position, steps[again])
        if not self.is_scored:
            states[0], steps[0] = self.position, np.nan
        return states, steps

    # --- retiring ---------------------------------------------------------------------------------

    def retire(
        self, of: Round, scores: _Floats, best: Best, rng: np.random.Generator
    ) -> list[Acceptance]:
        """Take note of a round's scores; return what is accepted."""
        before, position = self.score, self.position
        known = scores[0] if not self.is_scored else before
        accepted = self._accept(of, scores, rng)
        gained = any(one.kind is Kind.GAIN for one in accepted)
        self.tabu.add(of.states)
        self._learn(of, scores, known if np.isfinite(known) else -np.inf, position)
        self.quiet = 0 if gained else self.quiet + 1
        self.rounds += 1
        if self.quiet >= self.settings.patience:
            self._leave(best, rng)
        return accepted

    def _accept(self, of: Round, scores: _Floats, rng: np.random.Generator) -> list[Acceptance]:
        heat = self.settings.temperature * self.settings.cooling**self.rounds
        loss = heat * rng.standard_exponential(len(scores)) if heat else np.zeros(len(scores))
        accepted = []
        for row in np.flatnonzero(np.isfinite(scores)).tolist():
            score = float(scores[row])
            if row == 0 and not self.is_scored:
                kind, parent = self.kind, self.parent
            elif score > self.score + self.settings.threshold:
                kind, parent = Kind.GAIN, self.number
            elif heat and score != self.score and score > self.score - loss[row]:
                kind, parent = Kind.ANNEALED, self.number
            else:
                continue
            accepted.append(Acceptance(row, kind, parent))
            self.position, self.score, self.number = of.states[row], score, of.first + row
            if score > self.peak.score:
                self.peak = Best(self.number, score, self.position)
        return accepted

    def _learn(self, of: Round, scores: _Floats, before: float, position: npt.NDArray[Any]) -> None:
        """Keep the changes that gained, and adapt the size of steps to them."""
        better = np.flatnonzero(scores > before)
        better = better[of.first + better != self.number]  # the position has its own change already
        order = np.argsort(-scores[better], kind="stable")[:MOST_CHILDREN]
        self.base, self.children = position, of.states[better[order]]
        steps = of.steps[np.flatnonzero(scores > before)]
        steps = steps[np.isfinite(steps)]
        step = float(np.exp(np.log(steps).mean())) if steps.size else _NARROWING * self.step
        self.step = min(1.0, max(self.space.least_step, step))

    def _leave(self, best: Best, rng: np.random.Generator) -> None:
        """Begin an excursion from a summit."""
        higher = self.peak.score > self.summit.score + self.settings.threshold
        self.vain = 0 if higher else self.vain + 1
        if self.peak.score > self.summit.score:
            self.summit = self.peak
        self.kind = Kind.BACKTRACK
        if self.vain > self.settings.backtracks:
            self.vain = 0
            self.kind = Kind.RESTART
            if best.score > self.summit.score + self.settings.threshold:
                self.kind, self.summit = Kind.SHARED, best
        if self.kind is Kind.RESTART or self.summit.number == NOBODY:
            self.kind = Kind.RESTART
            self.position = self.space.random(rng, 1)[0]
            self.summit = Best(NOBODY, -np.inf, self.position)
        else:
            size = min(1.0, 2 * (1 + self.vain) * self.space.first_step)
            self.position = self.space.neighbours(rng, self.summit.state, np.array([size]))[0]
        self.parent = self.summit.number
        self.score, self.number = -np.inf, NOBODY
        self.peak = Best(NOBODY, -np.inf, self.position)
        self.quiet = self.rounds = 0
        self.step = self.space.first_step
        self.base, self.children = self.position, self.position[None][:0]
