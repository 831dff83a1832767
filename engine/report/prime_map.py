"""The map of prime bases: texts as points, close together where their signatures are similar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .groups import Grouping

MOST_POINTS = 10_000
FEWEST_POINTS = 3

COLOURS = 8
"""Number of kinds of points with a colour of their own; all others share one colour."""


@dataclass(frozen=True)
class Components:
    """The first two principal components of some texts' prime bases."""

    points: npt.NDArray[np.float64]  # [n, 2]
    explained: tuple[float, float]  # share of the variance explained by each component, 0 to 1
    kept: npt.NDArray[np.bool_]  # by input text: whether it has a point


@dataclass(frozen=True)
class PrimeMap:
    """Points, and the kind of text that each point represents."""

    points: npt.NDArray[np.float64]  # [n, 2]
    explained: tuple[float, float]  # share of the variance explained by each component, 0 to 1
    column: str | None  # whose values are the kinds; None: a kind is the strongest dhātu
    kinds: tuple[str, ...]  # the most frequent first, "others" last; empty: all points are alike
    kind: npt.NDArray[np.int64]  # by point: an index into `kinds`


class MapPoints:
    """Accumulate the texts of the map, piece by piece."""

    def __init__(self) -> None:
        self._bases: list[npt.NDArray[Any]] = []
        self._codes: dict[str, list[npt.NDArray[np.int64]]] = {}

    def add(self, bases: npt.NDArray[Any], colours: Mapping[str, npt.NDArray[np.int64]]) -> None:
        """Add texts: their prime bases, shape [n, primes], and the codes that may colour them.

        `colours` holds, by column, each text's value as a number, and under "" its strongest dhātu.
        """
        self._bases.append(bases)
        for name, codes in colours.items():
            self._codes.setdefault(name, []).append(codes)

    def drawn(self, grouping: Grouping | None, dhatus: Sequence[str]) -> PrimeMap | None:
        """Return the map, coloured by the grouping if there is one, else by the strongest dhātu."""
        found = principal_components(np.concatenate(self._bases)) if self._bases else None
        if found is None:
            return None
        if grouping:
            names = [group.name for group in grouping.groups]
            codes = grouping.group_of[np.concatenate(self._codes[grouping.column])]
        elif dhatus:
            names, codes = list(dhatus), np.concatenate(self._codes[""])
        else:
            names, codes = [], np.zeros(len(found.kept), np.int64)
        kinds, kind = _most_frequent(names, codes[found.kept])
        column = grouping.column if grouping else None
        return PrimeMap(found.points, found.explained, column, kinds, kind)


def _most_frequent(
    names: Sequence[str], codes: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return the most frequent names, one per colour, and each code's index among them.

    >>> _most_frequent(["a", "b"], np.array([1, 1, 0]))
    (('b', 'a'), array([0, 0, 1]))
    """
    order = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
    kinds = [names[at] for at in order]
    if len(kinds) > COLOURS + 1:
        kinds = [*kinds[:COLOURS], f"({len(kinds) - COLOURS} others)"]
    colour = np.minimum(np.argsort(order), COLOURS)
    return tuple(kinds), colour[codes] if len(names) else codes


def principal_components(bases: npt.NDArray[Any]) -> Components | None:
    """Return the principal components of texts, or None if they are too few or do not differ.

    These are the components of the standardised logarithms of the prime bases. The bases themselves
    span twelve powers of ten, so the largest prime would hide all others.

    Parameters
    ----------
    bases : array, shape [n, primes]
        A text with a base that is not positive has no logarithm and gets no point.

    Examples
    --------
    >>> found = principal_components(np.array([[1, 10], [2, 20], [4, 40], [0, 1]]))
    >>> [round(share, 6) for share in found.explained], found.kept.tolist()
    ([1.0, 0.0], [True, True, True, False])
    """
    if bases.ndim != 2 or bases.shape[1] < 2:
        return None
    kept = np.isfinite(bases).all(axis=1) & (bases > 0).all(axis=1)
    logs = np.log10(bases[kept].astype(np.float64))
    if len(logs) < FEWEST_POINTS:
        return None
    spread = logs.std(axis=0)
    logs = (logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    _, singular, directions = np.linalg.svd(logs, full_matrices=False)
    variances = singular**2
    if not variances.sum():
        return None
    # The sign of a component is arbitrary: make its largest entry positive.
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    points = logs @ (directions[:2] * signs[:2, None]).T
    first, second = (variances[:2] / variances.sum()).tolist()
    return Components(points, (first, second), kept)
