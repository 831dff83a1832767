"""`Extremes`: the texts with the largest and the smallest values in a stream of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ranking = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]  # rows, and their values


class Extremes:
    """Keep the rows with the largest and with the smallest values; the earlier row wins a tie.

    Parameters
    ----------
    most : int
        How many rows to keep at each end.

    Examples
    --------
    >>> extremes = Extremes(2)
    >>> extremes.add(np.array([10, 11]), np.array([0.5, np.nan]))
    >>> extremes.add(np.array([12, 13]), np.array([0.5, 0.1]))
    >>> extremes.highest
    [(10, 0.5), (12, 0.5)]
    >>> extremes.lowest
    [(13, 0.1), (10, 0.5)]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        nothing = np.empty(0, np.int64), np.empty(0)
        self._highest: Ranking = nothing
        self._lowest: Ranking = nothing

    def add(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Add texts: their rows, ascending, and one number per row; NaN is ignored."""
        known = ~np.isnan(values)
        rows, values = rows[known], values[known].astype(np.float64)
        self._highest = self._best(self._highest, rows, values, -1)
        self._lowest = self._best(self._lowest, rows, values, 1)

    @property
    def highest(self) -> list[tuple[int, float]]:
        """Rows and values, the largest first."""
        return _pairs(self._highest)

    @property
    def lowest(self) -> list[tuple[int, float]]:
        """Rows and values, the smallest first."""
        return _pairs(self._lowest)

    def _best(
        self, before: Ranking, rows: npt.NDArray[np.int64], values: npt.NDArray[Any], sign: int
    ) -> Ranking:
        rows = np.concatenate([before[0], rows])
        values = np.concatenate([before[1], values])
        order = np.argsort(sign * values, kind="stable")[: self._most]
        return rows[order], values[order]


def _pairs(ranking: Ranking) -> list[tuple[int, float]]:
    return list(zip(ranking[0].tolist(), ranking[1].tolist(), strict=True))
