"""`Figure`: one figure of one model, with its interval, test and threshold; read from the store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .measures.significance import ALPHA

if TYPE_CHECKING:
    import xarray as xr

THRESHOLDS: Mapping[str, float] = {
    "purity": 0.7,
    "silhouette_of_clusters": 0.5,
    "squares_that_hold": 0.7,
    "largest_correlation": 0.6,
    "themes_found": 3.0,
}
"""Figure to the threshold that the guide names for it."""

STRICT = frozenset({"largest_correlation"})
"""Figures that have to be above their threshold; the others may be equal to it."""

GUIDE_SILHOUETTE = 0.6
"""The guide's conclusion asks for a silhouette above this; its criterion is 0.5."""

IN_WORDS: Mapping[str, str] = {
    "purity": "purity",
    "majority_purity": "majority purity",
    "adjusted_rand": "adjusted Rand index",
    "adjusted_mutual_information": "adjusted mutual information",
    "silhouette_of_clusters": "silhouette of the clusters",
    "silhouette_of_categories": "silhouette of the categories",
    "squares_that_hold": "share of squares that hold",
    "largest_correlation": "largest |r|",
    "themes_found": "themes found",
    "theme_accuracy": "accuracy of themes",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the vectors of one block."""

    vectors: str  # name of the field
    is_baseline: bool
    experiment: str  # clustering, squares or isotopies
    lang: str  # language of the primitives; of the sentences, fr
    name: str  # key of `IN_WORDS`
    value: float | None  # None if it is undefined
    low: float | None  # 95 % interval
    high: float | None
    p: float | None  # None if labels do not enter the figure
    chance: float | None  # mean over permuted labels
    chance_high: float | None  # 95th percentile
    used: int  # vectors
    left_out: int  # vectors that are zero, not finite or identical

    @property
    def threshold(self) -> float | None:
        """The guide's threshold, if it names one."""
        return THRESHOLDS.get(self.name)

    @property
    def reached(self) -> bool:
        """Whether the figure has a threshold and reaches it."""
        if self.value is None or self.threshold is None:
            return False
        return self.value > self.threshold or (
            self.name not in STRICT and self.value == self.threshold
        )

    @property
    def significant(self) -> bool:
        """Whether fewer than 5 % of the permutations have a figure as high."""
        return self.p is not None and self.p < ALPHA

    @property
    def verdict(self) -> str:
        """The figure's threshold and test in words."""
        if self.value is None:
            return "undefined"
        tested = "significant" if self.significant else "not significant"
        if self.p is None:
            tested = "no test: labels do not enter it"
        if self.threshold is None:
            return tested
        return f"threshold {'reached' if self.reached else 'not reached'}, {tested}"

    def to_json(self) -> dict[str, Any]:
        """Return the figure and its verdict as JSON."""
        return {
            **vars(self),
            "threshold": self.threshold,
            "reached": self.reached,
            "significant": self.significant,
        }


def figures_of(
    field: str, is_baseline: bool, experiments: Mapping[str, xr.Dataset]
) -> Iterator[Figure]:
    """Yield the figures of a field, from the results of its three reductions."""
    for experiment, found in experiments.items():
        languages = [str(one) for one in found.lang.values] if "lang" in found.coords else [""]
        for lang in languages:
            one = found.sel(lang=lang) if lang else found
            names = _names(one)
            flags = one.flag.values
            for at, name in enumerate(names):
                tested = {key: _at(one[key].values, at) for key in _TESTED}
                yield Figure(
                    vectors=field,
                    is_baseline=is_baseline,
                    experiment=experiment,
                    lang=lang or "fr",
                    name=name,
                    used=int((flags == 0).sum()),
                    left_out=int((flags != 0).sum()),
                    **tested,
                )


_TESTED = ("value", "low", "high", "p", "chance", "chance_high")


def _names(found: xr.Dataset) -> Sequence[str]:
    if "figure" in found.coords:
        return [str(name) for name in found.figure.values]
    return ["squares_that_hold"]


def _at(values: Any, at: int) -> float | None:
    value = float(values[at] if values.ndim else values)
    return None if math.isnan(value) else value
