"""`Climber`: one hill climber, which moves to better neighbours, and leaves summits again.

It climbs in rounds. A candidate whose score is higher than that of its position by the threshold is
its next position, at once, so that a round may take several steps. Changes that gained in a round
are applied together in the next one. At first all climbers look for gains of one state: each goes
on from the best of all, and applies there what it found. After some rounds without a gain the
position is a summit, and the climber begins excursions of its own, each with a larger change of its
highest summit or of the best of all. After some excursions in vain it begins again at random.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import ClimbSettings
from ..spaces.changes import chosen_children
from ..spaces.space import Space
from .proposer import NO_CANDIDATE, Acceptance, Best, Kind, Round
from .tabu import Tabu

MOST_CHILDREN = 32
"""Maximum number of changes kept for combining."""

CHILDREN_BYTES = 4 << 20
"""Maximum bytes of more than one such change, as they are a part of every state that is written."""

_SPREAD, _WIDE_SPREAD = 0.7, 2.0  # standard deviations of the logarithm of step sizes
_REDRAWS = 3  # of a candidate that was proposed lately, each with a change twice as large
_NARROWING = 0.8  # factor of the step size after a round without a gain

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Proposal:
    """Candidates, with what `Round` says of them."""

    states: npt.NDArray[Any]
    steps: _Floats
    chosen: npt.NDArray[np.int64]


def subsets(rng: np.random.Generator, children: int, count: int) -> npt.NDArray[np.int64]:
    """Return which children are applied together: int64 [count, children], filled up with -1.

    First all of them, then the best half, and so on; then random ones.

    Examples
    --------
    >>> subsets(np.random.default_rng(0), 3, 2).tolist()
    [[0, 1, 2], [0, -1, -1]]
    """
    chosen = np.full((count, children), -1)
    row, size = 0, children
    while size and row < count:
        chosen[row, :size] = np.arange(size)
        row, size = row + 1, size // 2
    drawn = chosen_children(rng, children, count - row) if row < count else chosen[:0]
    chosen[row:, : drawn.shape[1]] = drawn
    return chosen


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
    bases, children : ndarray
        States, and better ones that are changes of them, the best first: ``[g, d]``.
    roams : bool
        Whether it is on an excursion of its own.
    kind : Kind
        Why the position is accepted, while its score is not known.
    """

    space: Space
    settings: ClimbSettings
    position: npt.NDArray[Any]
    score: float = -np.inf
    number: int = NO_CANDIDATE
    peak: Best
    summit: Best
    quiet: int = 0
    vain: int = 0
    rounds: int = 0
    step: float
    bases: npt.NDArray[Any]
    children: npt.NDArray[Any]
    roams: bool = False
    kind: Kind = Kind.START
    parent: int = NO_CANDIDATE
    tabu: Tabu = field(default_factory=lambda: Tabu(0))

    @classmethod
    def at(cls, position: npt.NDArray[Any], space: Space, settings: ClimbSettings) -> Climber:
        """Return a climber that begins at a state."""
        unknown = Best(NO_CANDIDATE, -np.inf, position)
        return cls(
            space=space,
            settings=settings,
            position=position,
            peak=unknown,
            summit=unknown,
            step=space.first_step,
            bases=position[None][:0],
            children=position[None][:0],
            tabu=Tabu(settings.tabu),
        )

    @property
    def is_scored(self) -> bool:
        """Whether the score of the position is known."""
        return self.number != NO_CANDIDATE

    # --- proposing --------------------------------------------------------------------------------

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Return candidates ``[n, d]``, the sizes of their changes, and what they combine."""
        count, space = self.settings.neighbours, self.space
        deviation = np.full(count, _SPREAD)
        if space.least_step < space.first_step / 10:  # steps of every size make a difference
            deviation[3::4] = _WIDE_SPREAD
        spread = np.exp(deviation * rng.standard_normal(count))
        steps: _Floats = np.clip(self.step * spread, space.least_step, 1.0)
        states = space.neighbours(rng, self.position, steps)
        combined = min(max(1, count // 4), 4 * len(self.children)) if self.is_scored else 0
        chosen = subsets(rng, len(self.children), combined)
        if combined:
            states[:combined] = space.with_changes(
                self.position, self.bases, self.children, chosen=chosen
            )
            steps[:combined] = np.nan
        for _ in range(_REDRAWS):
            again = combined + np.flatnonzero(self.tabu.has(states[combined:]))
            if not again.size:
                break
            steps[again] = np.minimum(2 * steps[again], 1.0)
            states[again] = space.neighbours(rng, self.position, steps[again])
        if not self.is_scored:
            states[0], steps[0] = self.position, np.nan
        return Proposal(states, steps, chosen)

    # --- retiring ---------------------------------------------------------------------------------

    def retire(
        self, of: Round, scores: _Floats, best: Best, rng: np.random.Generator
    ) -> list[Acceptance]:
        """Take note of a round's scores; return what is accepted."""
        before, position = self.score if self.is_scored else scores[0], self.position
        accepted = self._accept(of, scores, rng)
        gained = any(one.kind is Kind.GAIN for one in accepted)
        self.tabu.add(of.states)
        self._learn(of, scores, before if np.isfinite(before) else -np.inf, position)
        if not self.roams and best.score > self.score + self.settings.threshold:
            self.position, self.score, self.number = best.state, best.score, best.number
            self.peak, gained = best, True
        self.quiet = 0 if gained else self.quiet + 1
        self.rounds += 1
        if self._has_looked_around:
            self._leave(best, rng)
        return accepted

    @property
    def _has_looked_around(self) -> bool:
        """Whether the last rounds without a gain are enough, also to change every coordinate."""
        tried = self.quiet * self.settings.neighbours
        return self.quiet >= self.settings.patience and tried >= self.space.dimensions

    def _accept(self, of: Round, scores: _Floats, rng: np.random.Generator) -> list[Acceptance]:
        heat = self.settings.temperature * self.settings.cooling**self.rounds
        loss = heat * rng.standard_exponential(len(scores)) if heat else np.zeros(len(scores))
        accepted = []
        for row in np.flatnonzero(np.isfinite(scores)).tolist():
            score = float(scores[row])
            if not self.is_scored:  # a position that has failed is left for the first that has not
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
        """Keep the changes that gained and were not applied; adapt the size of steps to them."""
        row = self.number - of.first  # of the new position, if it is of this round
        combined = len(of.chosen)
        kept = np.ones(len(self.children), bool)
        if 0 <= row < combined:
            applied = of.chosen[row]
            kept[applied[applied >= 0]] = False
        better = np.flatnonzero(np.isfinite(of.steps) & (scores > before))
        if not better.size:
            kept &= self.quiet == 0  # they have been tried with this position for a round
        steps = of.steps[better]
        step = float(np.exp(np.log(steps).mean())) if steps.size else _NARROWING * self.step
        self.step = min(1.0, max(self.space.least_step, step))
        better = better[better != row]
        most = max(1, min(MOST_CHILDREN, CHILDREN_BYTES // max(1, position.nbytes)))
        new = better[np.argsort(-scores[better], kind="stable")]
        bases = np.repeat(position[None], len(new), axis=0)
        self.bases = np.concatenate([bases, self.bases[kept]])[:most]
        self.children = np.concatenate([of.states[new], self.children[kept]])[:most]

    def _leave(self, best: Best, rng: np.random.Generator) -> None:
        """Begin an excursion from a summit."""
        higher = self.peak.score > self.summit.score + self.settings.threshold
        self.vain = 0 if higher else self.vain + 1
        if self.peak.score > self.summit.score:
            self.summit = self.peak
        self.kind = Kind.BACKTRACK
        if best.score > self.summit.score + self.settings.threshold and rng.random() < 0.5:
            self.kind, self.summit, self.vain = Kind.SHARED, best, 0
        if self.vain > self.settings.backtracks or self.summit.number == NO_CANDIDATE:
            self.kind, self.vain = Kind.RESTART, 0
            self.position = self.space.random(rng, 1)[0]
            self.summit = Best(NO_CANDIDATE, -np.inf, self.position)
        else:
            size = min(1.0, 2 * (1 + self.vain) * self.space.first_step)
            self.position = self.space.neighbours(rng, self.summit.state, np.array([size]))[0]
        self.roams = True
        self.parent = self.summit.number
        self.score, self.number = -np.inf, NO_CANDIDATE
        self.peak = Best(NO_CANDIDATE, -np.inf, self.position)
        self.quiet = self.rounds = 0
        self.step = self.space.first_step
        self.bases = self.children = self.position[None][:0]
