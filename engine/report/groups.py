"""`Groups`: texts grouped by the values of a kept column, with their means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SHOWN = 20
"""Maximum number of groups shown separately, and of values of a column chosen by default."""

MOST_VALUES = 10_000
"""Maximum number of distinct values of a column to group texts by."""


@dataclass(frozen=True)
class Group:
    """Texts with the same value of a column, or with several values that are shown as one group."""

    name: str
    texts: int
    means: Mapping[str, float | None]  # by array, over finite values; None: no finite value
    shares: tuple[float, ...]  # mean of each dhātu; empty: no such array
    errors: tuple[float, ...]  # standard errors of these means


@dataclass(frozen=True)
class Grouping:
    """All groups of a column, the largest first."""

    column: str
    values: int  # number of distinct values
    groups: tuple[Group, ...]
    group_of: npt.NDArray[np.int64]  # group of each value; values in order of first appearance


class Groups:
    """Accumulate the groups of a column, piece by piece.

    Parameters
    ----------
    column : str
        An array with one value per text.
    most : int
        Maximum number of distinct values; a column that has more is `overfull`.

    Examples
    --------
    >>> groups = Groups("lang", 20)
    >>> shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    >>> numbers = {"words": np.array([2, 5, 4])}
    >>> groups.add(np.array(["fr", "en", "fr"]), None, shares, numbers).tolist()
    [0, 1, 0]
    >>> [(group.name, group.texts, group.shares) for group in groups.grouping().groups]
    [('fr', 2, (0.5, 0.5)), ('en', 1, (0.5, 0.5))]
    >>> [group.means for group in groups.grouping().groups]
    [{'words': 3.0}, {'words': 5.0}]
    """

    def __init__(self, column: str, most: int) -> None:
        self.column = column
        self._most = most
        self._codes: dict[Any, int] = {}
        self._counts: npt.NDArray[Any] = np.zeros(0, np.int64)
        self._sums: npt.NDArray[Any] = np.zeros(0)  # by value: see `_sum`
        self._numbers: tuple[str, ...] = ()

    @property
    def overfull(self) -> bool:
        """Whether there are too many distinct values."""
        return len(self._codes) > self._most

    @property
    def values(self) -> int:
        """Distinct values found so far."""
        return len(self._codes)

    def add(
        self,
        values: npt.NDArray[Any],
        known: npt.NDArray[np.bool_] | None,
        shares: npt.NDArray[Any] | None,
        numbers: Mapping[str, npt.NDArray[Any]],
    ) -> npt.NDArray[np.int64]:
        """Add texts; return the code of each text's value. Codes count values as they first appear.

        Parameters
        ----------
        values : array, shape [n]
        known : bool array, shape [n], or None
            Whether a value is not null; None: none is null.
        shares : array, shape [n, k], or None
            Shares of the dhātus.
        numbers : mapping of arrays, shape [n]
            Further numbers to average, by name.
        """
        import pandas as pd

        if values.dtype.kind not in "biuf":
            values = values.astype(object)
        local, unique = pd.factorize(values, use_na_sentinel=False)
        names = [None if pd.isna(value) else value for value in unique.tolist()]
        if known is not None and not known.all():
            local = np.where(known, local, len(names))
            names.append(None)
            found = np.unique(local)  # the slot of a null holds a value that may occur nowhere else
        else:
            found = np.arange(len(names))
        table = np.zeros(len(names), np.int64)
        for local_code in found:
            table[local_code] = self._codes.setdefault(names[local_code], len(self._codes))
        codes: npt.NDArray[np.int64] = table[local]
        if not self.overfull:
            self._sum(codes, shares, numbers)
        return codes

    def _sum(
        self,
        codes: npt.NDArray[np.int64],
        shares: npt.NDArray[Any] | None,
        numbers: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        size = len(self._codes)
        finite = [np.isfinite(values) for values in numbers.values()]
        # The numbers, how many of them are finite, the shares, and the squared shares.
        columns = [
            np.where(known, values, 0)
            for known, values in zip(finite, numbers.values(), strict=True)
        ]
        columns += finite
        if shares is not None:
            columns += [*shares.T, *np.square(shares, dtype=np.float64).T]
        sums: npt.NDArray[Any] = (
            np.stack([np.bincount(codes, column, size) for column in columns], axis=1)
            if columns
            else np.zeros((size, 0))
        )
        counts = np.bincount(codes, minlength=size)
        if len(self._counts):
            sums[: len(self._counts)] += self._sums
        counts[: len(self._counts)] += self._counts
        self._counts, self._sums = counts, sums
        self._numbers = tuple(numbers)

    def grouping(self) -> Grouping:
        """Return the groups; all but the largest are joined, so that at most `SHOWN` remain."""
        order = np.argsort(-self._counts, kind="stable")
        alone = SHOWN if len(order) <= SHOWN else SHOWN - 1
        parts = [[at] for at in order[:alone]] + ([order[alone:]] if len(order) > alone else [])
        names = [shown(value) for value in self._codes]
        group_of = np.zeros(len(order), np.int64)
        groups = []
        for number, part in enumerate(parts):
            group_of[part] = number
            others = f"(the {len(part):,} others)"
            groups.append(self._group(names[part[0]] if len(part) == 1 else others, part))
        return Grouping(self.column, self.values, tuple(groups), group_of)

    def _group(self, name: str, part: Any) -> Group:
        texts = int(self._counts[part].sum())
        sums, count = self._sums[part].sum(axis=0), len(self._numbers)
        totals, finite, moments = np.split(sums, (count, 2 * count))
        numbers = {
            name: float(total / known) if known else None
            for name, total, known in zip(self._numbers, totals, finite, strict=True)
        }
        means, squares = np.split(moments / texts, 2)
        spread = np.sqrt(np.maximum(squares - means**2, 0) / max(texts - 1, 1))
        return Group(
            name,
            texts,
            numbers,
            tuple(means.tolist()),
            tuple(spread.tolist()),
        )


def shown(value: Any) -> str:
    """Return the displayed name of a value's group.

    >>> shown(2.0), shown(""), shown(None)
    ('2', '(empty)', '(null)')
    """
    if value is None:
        return "(null)"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "(empty)"
