"""`Proposer`: decides which candidates are tried next, and which of them are accepted.

It gets the scores of rounds in the order of their numbers, and knows neither clock nor workers, so
that what it proposes depends on its settings alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

NO_CANDIDATE = -1
"""Stands for the number of a candidate where there is none, such as the parent of a start."""


class Kind(IntEnum):
    """Why a state was accepted; stored as a number."""

    START = 0
    GAIN = 1
    ANNEALED = 2  # by chance, although its score is not higher by the threshold
    BACKTRACK = 3  # an excursion from a climber's last summit begins
    SHARED = 4  # an excursion from the best summit of all climbers begins
    RESTART = 5  # a climber begins again at random


@dataclass(frozen=True, kw_only=True)
class Round:
    """Candidates that are proposed together: numbers ``first`` to ``first + len(states) - 1``.

    Attributes
    ----------
    number : int
        Of the round.
    first : int
        Number of its first candidate.
    climber : int
        Number of the climber; 0 if the proposer has no climbers.
    parent : int
        Number of the candidate that they are changes of, or `NO_CANDIDATE`.
    states : ndarray
        ``[n, d]``
    steps : ndarray
        ``[n]``, float64: relative size of each change; NaN if it has none.
    chosen : ndarray
        int64: the earlier changes that each of the first candidates combines.
    """

    number: int
    first: int
    climber: int
    parent: int
    states: npt.NDArray[Any]
    steps: npt.NDArray[np.float64]
    chosen: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Acceptance:
    """An accepted candidate: its row in the round, why, and the candidate that it replaces."""

    row: int
    kind: Kind
    parent: int


@dataclass(frozen=True)
class Best:
    """The best candidate so far. Its number is `NO_CANDIDATE` if there is none."""

    number: int
    score: float
    state: npt.NDArray[Any]


class Proposer(Protocol):
    """Proposes rounds, and gets their scores."""

    @property
    def ahead(self) -> int:
        """Rounds that are proposed before the first of them is retired."""

    def propose(self, number: int, rng: np.random.Generator) -> Round:
        """Propose a round, once round ``number - ahead`` is retired."""

    def retire(
        self,
        of: Round,
        scores: npt.NDArray[np.float64],
        best: Best,
        rng: np.random.Generator,
    ) -> Sequence[Acceptance]:
        """Take note of the scores of a round, NaN for failed candidates; return what is accepted.

        Rounds are retired in order. `best` is the best accepted state of all rounds before.
        """

    def state(self) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return all that later rounds depend on; None if rounds have to be retired again."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what `state` returned."""
