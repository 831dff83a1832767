"""`Scored`: the scores of a round, and who computed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class BatchScores:
    """What a worker returns for a batch of candidates.

    Attributes
    ----------
    scores : ndarray
        float64 [k]; NaN for a candidate that failed.
    failures : mapping of int to str
        Why candidates failed, by row.
    seconds : float
        Seconds that the objective took.
    worker : str
    unanswered : bool
        The objective did not return in time, so there are no scores.
    """

    scores: npt.NDArray[np.float64]
    failures: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    unanswered: bool = False


class Scored:
    """The scores of a round, filled batch by batch.

    Attributes
    ----------
    scores, seconds : ndarray
        float64 [n]; the seconds of a batch are shared equally by its candidates.
    order : ndarray
        int64 [n]: place of each candidate in the order in which results came.
    workers : list of str
    failures : dict of int to str
    """

    def __init__(self, count: int) -> None:
        self.scores = np.full(count, np.nan)
        self.seconds = np.zeros(count)
        self.order = np.full(count, -1, np.int64)
        self.workers = [""] * count
        self.failures: dict[int, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every candidate has a score, or has failed."""
        return bool((self.order >= 0).all())

    def fill(self, first: int, batch: BatchScores, evaluated: int) -> None:
        """Enter the scores of a batch, whose first candidate is that row of the round.

        Parameters
        ----------
        evaluated : int
            Number of candidates whose results came before.
        """
        count = len(batch.scores)
        rows = slice(first, first + count)
        self.scores[rows] = batch.scores
        self.seconds[rows] = batch.seconds / max(1, count)
        self.order[rows] = evaluated + np.arange(count)
        self.workers[rows] = [batch.worker] * count
        self.failures |= {first + row: why for row, why in batch.failures.items()}
