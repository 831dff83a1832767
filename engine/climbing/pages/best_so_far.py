"""`BestSoFar` and `Thinned`: lines of a million points as some of their points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MOST_POINTS = 2000
"""Maximum number of points of a line."""

Points = npt.NDArray[np.float64]
"""Rows of candidate, seconds and score: float64 [n, 3]."""


class Thinned:
    """Points of which every second one is left out whenever there are too many.

    Examples
    --------
    >>> thinned = Thinned(4)
    >>> for start in range(0, 90, 30):
    ...     thinned.add(np.repeat(np.arange(start, start + 30.0), 3).reshape(-1, 3))
    >>> thinned.points()[:, 0].tolist()
    [0.0, 32.0, 64.0, 89.0]
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most - 1  # besides the last point
        self._added, self._stride = 0, 1
        self._kept = self._last = np.zeros((0, 3))

    def add(self, points: Points) -> None:
        """Add points that come after those that were added before."""
        if not len(points):
            return
        numbers = self._added + np.arange(len(points))
        self._added += len(points)
        self._last = points[-1:].copy()
        self._kept = np.concatenate([self._kept, points[numbers % self._stride == 0]])
        while len(self._kept) > self._most:
            self._kept, self._stride = self._kept[::2].copy(), 2 * self._stride

    def points(self) -> Points:
        """Return the points that were kept; the first and the last one are among them."""
        is_there = (self._added - 1) % self._stride == 0
        return self._kept if is_there else np.concatenate([self._kept, self._last])


class BestSoFar:
    """The running maximum of the scores: exact at each point that is kept.

    Parameters
    ----------
    at_candidate : int
        Number of candidates whose best score is `best_within`, however the line is thinned.

    Attributes
    ----------
    best_within : float or None
        The best score of the first candidates.
    """

    def __init__(self, at_candidate: int) -> None:
        self._limit = at_candidate
        self.best_within: float | None = None
        self._best = -np.inf
        self._line = Thinned(MOST_POINTS - 1)

    def add(self, candidate: npt.NDArray[Any], at: Points, score: Points) -> None:
        """Add candidates by number, seconds and score (NaN: none), in order."""
        known = np.where(np.isfinite(score), score, -np.inf)
        running = np.maximum.accumulate(np.concatenate([[self._best], known]))
        higher = np.flatnonzero(running[1:] > running[:-1])
        within = higher[candidate[higher] < self._limit]
        if len(within):
            self.best_within = float(running[1 + within[-1]])
        self._best = float(running[-1])
        self._line.add(np.column_stack([candidate[higher], at[higher], running[1 + higher]]))

    def points(self, candidates: int, seconds: float) -> Points:
        """Return the line, up to a number of candidates and seconds."""
        found = self._line.points()
        if not len(found):
            return found
        end = [[max(candidates - 1, found[-1, 0]), max(seconds, found[-1, 1]), found[-1, 2]]]
        return np.concatenate([found, end])
