"""`count_failures`: why candidates have no score, and the first of each reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..history.history import MOST_REASONS
from ..history.stored_table import StoredTable

MOST_SHOWN = 20
"""Maximum number of reasons that are shown; the rest is only counted."""

FIRST = 3
"""Candidates that are shown of each reason."""


@dataclass(frozen=True)
class Failure:
    """A candidate that failed: its number, and its row in the table."""

    candidate: int
    row: int


@dataclass(frozen=True)
class Reason:
    """Why candidates failed, how many, and the first of them."""

    words: str
    count: int
    first: tuple[Failure, ...]


@dataclass(frozen=True)
class Failures:
    """Failed candidates.

    Attributes
    ----------
    count : int
    reasons : tuple of Reason
        At most `MOST_SHOWN`, the most frequent first.
    rest : int
        Candidates that failed for other reasons.
    """

    count: int
    reasons: tuple[Reason, ...]
    rest: int


def count_failures(table: StoredTable, reasons: Sequence[str]) -> Failures:
    """Read the table of failed candidates once.

    Parameters
    ----------
    reasons : sequence of str
        What the column ``reason`` is an index of.
    """
    counts = np.zeros(len(reasons), np.int64)
    first: dict[int, list[Failure]] = {}
    for start, rows in table.pieces(["reason", "candidate"]):
        known = np.clip(rows["reason"], 0, max(0, len(reasons) - 1))  # some may be new since
        counts += np.bincount(known, minlength=len(reasons))[: len(reasons)]
        for reason in np.unique(known).tolist():
            found = first.setdefault(reason, [])
            at = np.flatnonzero(known == reason)[: FIRST - len(found)]
            found += [Failure(int(rows["candidate"][one]), start + int(one)) for one in at]
    order = [one for one in np.argsort(-counts, kind="stable").tolist() if counts[one]]
    shown = tuple(
        Reason(words, int(counts[at]), tuple(first[at]))
        for at, words in _worded(order[:MOST_SHOWN], reasons)
    )
    return Failures(table.rows, shown, table.rows - sum(one.count for one in shown))


def _worded(order: Sequence[int], reasons: Sequence[str]) -> Iterator[tuple[int, str]]:
    for at in order:
        last = at == MOST_REASONS - 1  # further reasons are counted as this one
        yield at, f"{reasons[at]}, or another reason" if last else str(reasons[at])
