"""`find_climb`: what a page says about a climb, as numbers and names, from its history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import ResultsDamaged
from ....storage.targets.target import Target
from ..history.history import ACCEPTED, CANDIDATES, CLIMB_KEY, FAILED, state_column
from ..history.open_climb import attributes_of
from ..history.stored_table import StoredTable
from .best_so_far import BestSoFar, Points, Thinned
from .excursions import COLUMNS, MOST_DRAWN, Excursion, Excursions
from .failed_candidates import Failures, Reason, count_failures
from .shown_state import Part, in_one_line, shown_state


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a climb's attributes say.

    Attributes
    ----------
    target : Target
    name : str
    facts : mapping
        The objective, the space, the start and the settings, as JSON.
    every : bool
        Whether every candidate was kept.
    attributes : mapping
        See `History.commit`.
    about : mapping
        When and with which versions it was begun.
    """

    target: Target
    name: str
    facts: Mapping[str, Any]
    attributes: Mapping[str, Any]
    about: Mapping[str, Any]

    @classmethod
    def read(cls, target: Target, name: str) -> Begun:
        """Read the attributes of a climb.

        Raises
        ------
        ResultsDamaged
            They cannot be read.
        """
        attributes = attributes_of(target)
        try:
            about = dict(json.loads(target.get(CLIMB_KEY) or b"{}"))
            facts = attributes["climb"]
            facts["objective"]["name"], facts["space"]["kind"], facts["settings"]["climbers"]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsDamaged(f"{target.url} is damaged: it does not say what it is") from error
        return cls(target=target, name=name, facts=facts, attributes=attributes, about=about)

    @property
    def evaluations(self) -> int:
        """Candidates that were retired."""
        return int(self.attributes.get("evaluations", 0))

    @property
    def seconds(self) -> float:
        """Seconds of all sessions."""
        return float(self.attributes.get("seconds", 0.0))

    @property
    def best(self) -> Mapping[str, Any]:
        """Score, candidate and state of the best; the score is None if there is none."""
        return dict(self.attributes.get("best") or {"score": None, "candidate": -1, "state": {}})

    @property
    def problem(self) -> str:
        """Equal for climbs that can be compared: those of one objective and space."""
        return json.dumps([self.facts["objective"], self.facts["space"]], sort_keys=True)


@dataclass(frozen=True)
class Worker:
    """What a worker scored, of the rows of a table: how many, and the seconds that they took."""

    name: str
    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ClimbFindings:
    """A climb, reduced to what a page shows.

    Attributes
    ----------
    best_so_far : ndarray
        [n, 3]: candidate, seconds, and best score so far. Of all candidates if all were kept.
    accepted : ndarray
        [n, 3]: candidate, seconds and score of accepted states; some of them if they are many.
    accepted_count : int
    best_within : float or None
        The best score of the candidates that climbs are compared by.
    excursions : sequence of Excursion
        Those with the highest summits, and their ancestors.
    excursion_count : int
    failures : Failures
    failed_states : mapping of int to str
        The first failed candidates in words, by number.
    workers : sequence of Worker
        Of all candidates if all were kept, else of accepted states.
    """

    begun: Begun
    every: bool
    state: Sequence[Part]
    best_so_far: Points
    accepted: Points
    accepted_count: int
    best_within: float | None
    excursions: Sequence[Excursion]
    excursion_count: int
    failures: Failures
    failed_states: Mapping[int, str]
    workers: Sequence[Worker]


def find_climb(begun: Begun, compared_by: int) -> ClimbFindings:
    """Read the history of a climb once.

    Parameters
    ----------
    compared_by : int
        Number of candidates that climbs are compared by.

    Raises
    ------
    ResultsDamaged
        A part of it is missing or damaged.
    """
    settings, best = begun.facts["settings"], begun.best
    tables = {one: StoredTable(begun.target, one) for one in (ACCEPTED, FAILED, CANDIDATES)}
    every = tables[CANDIDATES].rows > 0
    line, accepted = BestSoFar(compared_by), Thinned()
    tree = Excursions(int(settings["climbers"]), int(settings["neighbours"]))
    totals = _WorkerTotals()
    for _, rows in tables[ACCEPTED].pieces([*COLUMNS, "at", "worker", "seconds"]):
        tree.add(rows)
        accepted.add(np.column_stack([rows["candidate"], rows["at"], rows["score"]]))
        if not every:
            line.add(rows["candidate"], rows["at"], rows["score"])
            totals.add(rows)
    for start, rows in tables[CANDIDATES].pieces(["score", "at", "worker", "seconds"]):
        line.add(start + np.arange(len(rows["score"])), rows["at"], rows["score"])
        totals.add(rows)
    within = [line.best_within]
    if best["score"] is not None and best["candidate"] < compared_by:
        within.append(float(best["score"]))  # it may have been no gain, and so not accepted
    failures = count_failures(tables[FAILED], begun.attributes.get("reasons", []))
    return ClimbFindings(
        begun=begun,
        every=every,
        state=shown_state(begun.facts["space"], best["state"]) if best["state"] else [],
        best_so_far=line.points(begun.evaluations, begun.seconds),
        accepted=accepted.points(),
        accepted_count=tables[ACCEPTED].rows,
        best_within=max((one for one in within if one is not None), default=None),
        excursions=tree.highest(MOST_DRAWN),
        excursion_count=tree.count,
        failures=failures,
        failed_states=_states(begun.facts["space"], tables[FAILED], failures.reasons),
        workers=totals.workers(begun.attributes.get("workers", [])),
    )


def _states(
    space: Mapping[str, Any], table: StoredTable, reasons: Sequence[Reason]
) -> dict[int, str]:
    is_product = space["kind"] == "product"
    names = [name for name, _ in space["components"]] if is_product else ["state"]
    columns = dict(zip(names, map(state_column, names), strict=True))
    return {
        one.candidate: in_one_line(
            {name: table.row(column, one.row).tolist() for name, column in columns.items()}
        )
        for reason in reasons
        for one in reason.first
    }


class _WorkerTotals:
    """Rows and seconds by the number of the worker."""

    def __init__(self) -> None:
        self._rows: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._seconds = np.zeros(0)

    def add(self, rows: Mapping[str, npt.NDArray[Any]]) -> None:
        number, seconds = np.maximum(rows["worker"], 0), rows["seconds"]
        size = max(len(self._rows), int(number.max()) + 1)
        missing = size - len(self._rows)
        counted = np.bincount(number, minlength=size)
        self._rows = np.pad(self._rows, (0, missing)) + counted
        self._seconds = np.pad(self._seconds, (0, missing)) + np.bincount(
            number, weights=seconds, minlength=size
        )

    def workers(self, names: Sequence[str]) -> list[Worker]:
        """Return those that scored something, the busiest first."""
        order = np.argsort(-self._rows, kind="stable").tolist()
        return [
            Worker(
                str(names[at]) if at < len(names) else f"number {at}",
                int(self._rows[at]),
                float(self._seconds[at]),
            )
            for at in order
            if self._rows[at]
        ]
