"""`Search`: numbers candidates when they are proposed, and retires them in order.

As a processor does it: candidates are scored in any order, by whatever worker, but take effect in
the order of their numbers. So the states of a search depend on its settings and scores alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .proposers.proposer import NO_CANDIDATE, Acceptance, Best, Proposer, Round
from .settings import ClimbSettings

SEARCH_VERSION = 1
"""Raised when the same settings, objective and space propose or accept other candidates."""


class Search:
    """The rounds of a climb, and the best candidate.

    Attributes
    ----------
    retired : int
        Number of rounds that were retired.
    best : Best
        The best candidate, accepted or not.
    summit : Best
        The best accepted state, which climbers share.
    pending : deque of Round
        Rounds that were proposed and not retired, in order.
    """

    def __init__(self, proposer: Proposer, settings: ClimbSettings) -> None:
        self._proposer, self._settings = proposer, settings
        self.retired = 0
        self.best = self.summit = Best(NO_CANDIDATE, -np.inf, np.zeros(0))
        self.pending: deque[Round] = deque()

    @property
    def evaluations(self) -> int:
        """Number of candidates that were retired."""
        return self.retired * self._settings.neighbours

    def propose(self, rounds: int) -> Round | None:
        """Propose the next round; None if one must be retired first, or there are as many."""
        number = self.retired + len(self.pending)
        if len(self.pending) >= self._proposer.ahead or number >= rounds:
            return None
        proposed = self._proposer.propose(number, self._generator(number, 0))
        proposed.states.flags.writeable = False
        self.pending.append(proposed)
        return proposed

    def retire(self, scores: npt.NDArray[np.float64]) -> tuple[Round, Sequence[Acceptance]]:
        """Retire the oldest round, given its scores; NaN is the score of a failed candidate."""
        of = self.pending.popleft()
        rng = self._generator(of.number, 1)
        accepted = self._proposer.retire(of, scores, self.summit, rng)
        self.retired += 1
        known = np.where(np.isfinite(scores), scores, -np.inf)
        self.best = _better(self.best, of, int(np.argmax(known)), known)
        for one in accepted:
            self.summit = _better(self.summit, of, one.row, known)
        return of, accepted

    def _generator(self, number: int, purpose: int) -> np.random.Generator:
        """Return a generator of its own for each round, so that none has a state to keep."""
        return np.random.Generator(
            np.random.Philox(key=[self._settings.seed, 2 * number + purpose])
        )

    def state(self) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return what later rounds depend on; None if the proposer has to be told all of them."""
        known = self._proposer.state()
        if known is None:
            return None
        return {
            **{f"proposer_{name}": value for name, value in known.items()},
            "retired": np.array(self.retired),
            **{
                f"{name}_{part}": np.asarray(getattr(one, part))
                for name, one in (("best", self.best), ("summit", self.summit))
                for part in ("number", "score", "state")
            },
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what `state` returned; rounds that were pending are proposed again."""
        self.retired = int(state["retired"])
        self.best, self.summit = (
            Best(
                int(state[f"{name}_number"]), float(state[f"{name}_score"]), state[f"{name}_state"]
            )
            for name in ("best", "summit")
        )
        self._proposer.restore(
            {
                name.removeprefix("proposer_"): value
                for name, value in state.items()
                if name.startswith("proposer_")
            }
        )


def _better(known: Best, of: Round, row: int, scores: npt.NDArray[np.float64]) -> Best:
    """Return a candidate of a round if its score is higher than the best that is known."""
    if not scores[row] > known.score:
        return known
    return Best(of.first + row, float(scores[row]), of.states[row])
