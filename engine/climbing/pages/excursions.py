"""`Excursions`: the tree of a climb's summits, of which the highest are kept.

A climber makes excursions. One begins where a state is accepted that is not a gain over the one
before (see `Kind`), its summit is the best state that is accepted in it, and it set out from
another excursion: the one in which the state was accepted that its first state is a change of.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..proposers.proposer import NO_CANDIDATE, Kind

MOST_DRAWN = 200
"""Maximum number of excursions in a picture."""

_MOST_HELD = 4096  # before lower ones are dropped

BEGINNINGS = (Kind.START, Kind.BACKTRACK, Kind.SHARED, Kind.RESTART)
"""Why an excursion begins."""

COLUMNS = ("candidate", "parent", "kind", "climber", "score")
"""Columns of the accepted states that are needed."""


@dataclass(eq=False, kw_only=True)
class Excursion:
    """An excursion of a climber.

    Attributes
    ----------
    climber : int
    kind : Kind
        Why it began.
    first, end : int
        Numbers of its first candidate, and of the first one of the climber's next excursion.
    best : int
        Number of its best accepted state.
    score : float
    parent : Excursion, optional
        Where it set out from: None if it began at random, or if that one was dropped.
    is_root : bool
        Whether it began at random, or at the climb's start.
    """

    climber: int
    kind: Kind
    first: int
    best: int
    score: float
    parent: Excursion | None
    is_root: bool
    end: float = np.inf


class Excursions:
    """The excursions of a climb, from its accepted states.

    Parameters
    ----------
    climbers, neighbours : int
        Number of climbers, and of candidates of a round: who proposed a candidate follows from its
        number.

    Attributes
    ----------
    count : int
        Number of all excursions.
    """

    def __init__(self, climbers: int, neighbours: int) -> None:
        self._climbers, self._neighbours = climbers, neighbours
        self._held: dict[int, list[Excursion]] = {}  # by climber, in order
        self.count = self._kept = 0

    def add(self, rows: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add accepted states, in the order of their numbers: `COLUMNS`."""
        begins = np.isin(rows["kind"], BEGINNINGS) | (rows["parent"] == NO_CANDIDATE)
        parts = []
        for climber in np.unique(rows["climber"]).tolist():
            own = np.flatnonzero(rows["climber"] == climber)
            starts = np.flatnonzero(begins[own])
            edges = np.unique(np.concatenate([[0], starts, [len(own)]]))
            parts += [own[a:b] for a, b in pairwise(edges.tolist())]
        for part in sorted(parts, key=lambda one: int(one[0])):  # as they began
            self._add(part, rows, bool(begins[part[0]]))
        if self._kept > _MOST_HELD:
            self._drop()

    def _add(
        self, part: npt.NDArray[np.intp], rows: Mapping[str, npt.NDArray[Any]], is_new: bool
    ) -> None:
        top = part[int(np.argmax(rows["score"][part]))]
        best, score = int(rows["candidate"][top]), float(rows["score"][top])
        climber, first = int(rows["climber"][top]), int(rows["candidate"][part[0]])
        own = self._held.setdefault(climber, [])
        if is_new or not own:
            kind, parent = Kind(int(rows["kind"][part[0]])), int(rows["parent"][part[0]])
            self._begin(own, kind, parent, climber=climber, first=first, best=best, score=score)
        elif score > own[-1].score:
            own[-1].best, own[-1].score = best, score

    def _begin(
        self, own: list[Excursion], kind: Kind, parent: int, *, climber: int, **found: Any
    ) -> None:
        source = None if parent == NO_CANDIDATE else self._of(parent)
        if own:
            own[-1].end = found["first"]
        own.append(
            Excursion(
                climber=climber, kind=kind, parent=source, is_root=parent == NO_CANDIDATE, **found
            )
        )
        self.count += 1
        self._kept += 1

    def _of(self, candidate: int) -> Excursion | None:
        """Return the excursion in which a candidate was proposed, if it is held."""
        own = self._held.get(candidate // self._neighbours % self._climbers, [])
        at = bisect_right(own, candidate, key=lambda one: one.first) - 1
        return own[at] if at >= 0 and candidate < own[at].end else None

    def _drop(self) -> None:
        """Drop lower excursions, but none that a later one sets out from.

        That is a climber's last one, one that it set out from, or one of the highest.
        """
        needed = [own[-1] for own in self._held.values()]
        every = [one for own in self._held.values() for one in own]
        kept = set(highest(every, _MOST_HELD // 2, needed))
        self._held = {
            climber: [one for one in own if one in kept] for climber, own in self._held.items()
        }
        self._kept = len(kept)

    def highest(self, most: int = MOST_DRAWN) -> Sequence[Excursion]:
        """Return the highest excursions with those that they set out from, by first candidate."""
        every = [one for own in self._held.values() for one in own]
        return sorted(highest(every, most), key=lambda one: one.first)


def highest(
    every: Sequence[Excursion], most: int, needed: Sequence[Excursion] = ()
) -> Sequence[Excursion]:
    """Return the excursions with the highest summits, and those that they set out from.

    If one's ancestors are too many, it is linked to the nearest that is returned.
    """
    order = heapq.nsmallest(most, every, key=lambda one: (-one.score, one.best))
    kept: dict[Excursion, None] = {}
    for one in (*needed, *order):
        chain = []
        above: Excursion | None = one
        while above is not None and above not in kept:
            chain.append(above)
            above = above.parent
        room = most - len(kept)
        kept |= dict.fromkeys(chain if len(chain) <= room else chain[: max(1, room)])
        if len(kept) >= most:
            break
    kept |= dict.fromkeys(needed)
    for one in kept:
        while one.parent is not None and one.parent not in kept:
            one.parent = one.parent.parent
    return list(kept)
