"""`Numbers`: one field's values, as much of them as a histogram and its quantiles take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DECADES = 2.0
"""Positive values that span more powers of ten than this are drawn on a logarithmic scale."""

LOGARITHMIC = frozenset({"ambiguity", "variance"})
"""Fields that are drawn so in any case: their values reach 1e20."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 48
"""Of a histogram, at most; of a few texts there are fewer."""

FEW = 40
"""Whole numbers that lie within so few have a bar each."""


@dataclass(frozen=True)
class Distribution:
    """How one field's values are distributed."""

    name: str
    description: str
    count: int  # texts that have a finite value
    not_finite: int  # texts whose value is no finite number
    mean: float  # of all texts, as are the next two
    least: float
    most: float
    quantiles: tuple[float, ...]  # at `QUANTILES`, of the sample
    is_log: bool
    counts: npt.NDArray[np.int64]  # of the sample, by bin
    edges: npt.NDArray[np.float64]  # of the bins, one more; to base 10 on a logarithmic scale
    sampled: int  # texts of the sample

    @property
    def median(self) -> float:
        """The value that half of the texts do not exceed."""
        return self.quantiles[2]


class Numbers:
    """Gathers a field's values, piece by piece.

    Parameters
    ----------
    name, description : str
        Of the field.

    Examples
    --------
    >>> numbers = Numbers("n", "")
    >>> numbers.add(np.array([1, 2, 3, 6]), np.array([0, 3]))
    >>> found = numbers.distribution()
    >>> found.mean, found.least, found.most, found.sampled
    (3.0, 1.0, 6.0, 2)
    """

    def __init__(self, name: str, description: str) -> None:
        self._name, self._description = name, description
        self._count = self._not_finite = 0
        self._total, self._least, self._most = 0.0, np.inf, -np.inf
        self._sample: list[npt.NDArray[Any]] = []
        self._whole = True

    def add(self, values: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> None:
        """Take some texts' values, and those at the places `chosen` into the sample."""
        self._whole &= values.dtype.kind in "biu"
        picked = values[chosen]
        self._sample.append(picked[np.isfinite(picked)])
        finite = values[np.isfinite(values)]
        self._not_finite += len(values) - len(finite)
        if len(finite):
            self._count += len(finite)
            self._total += float(finite.sum(dtype=np.float64))
            self._least = min(self._least, float(finite.min()))
            self._most = max(self._most, float(finite.max()))

    def distribution(self) -> Distribution | None:
        """Return what was gathered; None where no text has a value."""
        sample = np.concatenate([np.empty(0), *self._sample])
        if not len(sample):
            return None
        spans = self._least > 0 and np.log10(self._most) - np.log10(self._least) > DECADES
        is_log = bool(spans or (self._name in LOGARITHMIC and self._least > 0))
        edges = _edges(np.log10(sample) if is_log else sample, self._whole and not is_log)
        counts, _ = np.histogram(np.log10(sample) if is_log else sample, edges)
        return Distribution(
            self._name,
            self._description,
            self._count,
            self._not_finite,
            self._total / self._count,
            self._least,
            self._most,
            tuple(float(q) for q in np.quantile(sample, QUANTILES)),
            is_log,
            counts,
            edges,
            len(sample),
        )


def _edges(values: npt.NDArray[np.float64], whole: bool) -> npt.NDArray[np.float64]:
    """Return the edges of a histogram's bins, which hold every value.

    >>> _edges(np.array([1.0, 3.0]), whole=True).tolist()
    [0.5, 1.5, 2.5, 3.5]
    """
    least, most = float(values.min()), float(values.max())
    if whole and most - least < FEW:
        return np.arange(least - 0.5, most + 1)
    room = max(abs(least), abs(most), 1e-300) * 1e-6  # all alike, but for rounding: one bar
    if most - least <= room:
        return np.array([least - room, most + room])
    bins = min(BINS, round(2 * len(values) ** (1 / 3)))  # Rice's rule
    return np.linspace(least, most, bins + 1)
