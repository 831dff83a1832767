"""`Numbers` and `ComponentSums`: statistics of a field with one, or several, numbers per text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field

if TYPE_CHECKING:
    from ...storage.store.dataset import StoredArray

DECADES = 2.0
"""Powers of ten; positive values that span more are drawn on a logarithmic scale."""

LOGARITHMIC = frozenset({"ambiguity", "variance"})
"""Fields always drawn on a logarithmic scale: their values reach 1e20."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 48
"""Maximum number of bins of a histogram; a small sample has fewer."""

FEW = 40
"""Range of integers below which each integer has its own bar."""

MOST_COMPONENTS = 20
"""Maximum number of components of a field that are read: an embedding has hundreds."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The distribution of one field's values."""

    name: str
    description: str
    count: int  # texts with a finite value
    not_finite: int  # texts without one
    mean: float  # like `least` and `most`, over all texts
    least: float
    most: float
    quantiles: tuple[float, ...]  # at `QUANTILES`, over the sample
    is_log: bool
    counts: npt.NDArray[np.int64]  # texts of the sample, by bin
    edges: npt.NDArray[np.float64]  # one more than bins; log10 of the values if `is_log`
    sampled: int  # texts in the sample

    @property
    def median(self) -> float:
        """The value that half of the texts do not exceed."""
        return self.quantiles[2]


class Numbers:
    """Accumulate a field's values, piece by piece.

    Parameters
    ----------
    name, description : str
        The field's name and description.

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
        """Add the values of some texts; those at the positions `chosen` join the sample."""
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
        """Return the distribution so far, or None if no text has a value."""
        sample = np.concatenate([np.empty(0), *self._sample])
        if not len(sample):
            return None
        spans = self._least > 0 and np.log10(self._most) - np.log10(self._least) > DECADES
        is_log = bool(spans or (self._name in LOGARITHMIC and self._least > 0))
        edges = _edges(np.log10(sample) if is_log else sample, self._whole and not is_log)
        counts, _ = np.histogram(np.log10(sample) if is_log else sample, edges)
        return Distribution(
            name=self._name,
            description=self._description,
            count=self._count,
            not_finite=self._not_finite,
            mean=self._total / self._count,
            least=self._least,
            most=self._most,
            quantiles=tuple(float(q) for q in np.quantile(sample, QUANTILES)),
            is_log=is_log,
            counts=counts,
            edges=edges,
            sampled=len(sample),
        )


@dataclass(frozen=True)
class Component:
    """One of the numbers that a field has per text; None if no text has a finite value."""

    label: str
    mean: float | None
    least: float | None
    most: float | None


@dataclass(frozen=True)
class Components:
    """The first components of a field."""

    name: str
    description: str
    count: int  # of all components
    shown: tuple[Component, ...]


class ComponentSums:
    """Accumulate the components of a field, piece by piece.

    Parameters
    ----------
    field : Field
        A field whose shape is not empty.
    labels : sequence of str, optional
        Labels of the last dimension; by default its positions, from 0.
    """

    def __init__(self, field: Field, labels: Sequence[str] | None) -> None:
        self.name = field.name
        self._description = field.description
        self._count = math.prod(field.shape)
        shown = min(self._count, MOST_COMPONENTS)
        self._at = [tuple(map(int, np.unravel_index(at, field.shape))) for at in range(shown)]
        last = labels if labels and len(labels) == field.shape[-1] else range(field.shape[-1])
        self._labels = [", ".join(map(str, (*at[:-1], last[at[-1]]))) for at in self._at]
        self._totals, self._known = np.zeros(shown), np.zeros(shown, np.int64)
        self._least, self._most = np.full(shown, np.inf), np.full(shown, -np.inf)

    def add(self, array: StoredArray, start: int, places: npt.NDArray[np.int64]) -> None:
        """Add texts: the rows at `places` after `start`, ascending."""
        if not self._at or not len(places):
            return
        rows = slice(start, start + int(places[-1]) + 1)
        *outer, last = (max(at) + 1 for at in zip(*self._at, strict=True))
        read = np.asarray(array[(rows, *(slice(stop) for stop in outer), slice(last))])
        values = np.stack([read[(places, *at)] for at in self._at], axis=1).astype(np.float64)
        finite = np.isfinite(values)
        self._known += finite.sum(axis=0)
        self._totals += np.where(finite, values, 0).sum(axis=0)
        self._least = np.minimum(self._least, np.where(finite, values, np.inf).min(axis=0))
        self._most = np.maximum(self._most, np.where(finite, values, -np.inf).max(axis=0))

    def components(self) -> Components:
        """Return the statistics of everything added."""
        return Components(self.name, self._description, self._count, tuple(self._shown()))

    def _shown(self) -> Iterator[Component]:
        for at, label in enumerate(self._labels):
            if self._known[at]:
                mean = float(self._totals[at] / self._known[at])
                yield Component(label, mean, float(self._least[at]), float(self._most[at]))
            else:
                yield Component(label, None, None, None)


def _edges(values: npt.NDArray[np.float64], whole: bool) -> npt.NDArray[np.float64]:
    """Return the edges of a histogram's bins, which together cover every value.

    >>> _edges(np.array([1.0, 3.0]), whole=True).tolist()
    [0.5, 1.5, 2.5, 3.5]
    """
    least, most = float(values.min()), float(values.max())
    if whole and most - least < FEW:
        return np.arange(least - 0.5, most + 1)
    margin = max(abs(least), abs(most), 1e-300) * 1e-6  # equal but for rounding: one bar
    if most - least <= margin:
        return np.array([least - margin, most + margin])
    bins = min(BINS, round(2 * len(values) ** (1 / 3)))  # Rice's rule
    return np.linspace(least, most, bins + 1)
