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

from .proposers.proposer import NOBODY, Acceptance, Best, Proposer, Round
from .settings import ClimbSettings


class Search:
    """The rounds of a climb, and the best candidate.

    Attributes
    ----------
    retired : int
        Number of rounds that were retired.
    best : Best
    pending : deque of Round
        Rounds that were proposed and not retired, in order.
    """

    def __init__(self, proposer: Proposer, settings: ClimbSettings) -> None:
        self._proposer, self._settings = proposer, settings
        self.retired = 0
        self.best = Best(NOBODY, -np.inf, np.zeros(0))
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
        accepted = self._proposer.retire(of, scores, self.best, rng)
        self.retired += 1
        top = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
        if np.isfinite(scores[top]) and scores[top] > self.best.score:
            self.best = Best(of.first + top, float(scores[top]), of.states[top])
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
            "best_number": np.array(self.best.number),
            "best_score": np.array(self.best.score),
            "best_state": self.best.state,
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what `state` returned; rounds that were pending are proposed again."""
        self.retired = int(state["retired"])
        self.best = Best(int(state["best_number"]), float(state["best_score"]), state["best_state"])
        self._proposer.restore(
            {
                name.removeprefix("proposer_"): value
                for name, value in state.items()
                if name.startswith("proposer_")
            }
        )
