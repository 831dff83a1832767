"""`Question`: what somebody asks the advisor, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, get_args

from ...storage.errors import UsageError
from ..costs.work import Work

Stage = Literal["prototyping", "production"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A piece of work, how often it is done, and what it may cost; None where nothing was said.

    Raises
    ------
    UsageError
        Something makes no sense: the message says what.
    """

    work: Work | None  # None only of the catalogue "seed2"
    runs_per_month: int | None = None
    plan: str | None = None  # what the user has
    units_left: float | None = None  # compute units
    budget: float | None = None  # US dollars a month, beyond what the plan costs anyway
    deadline: float | None = None  # hours in which a run has to be done
    stage: Stage | None = None
    value_of_time: float | None = None  # US dollars an hour
    free: frozenset[str] = frozenset()  # machines that cost this user nothing now

    def __post_init__(self) -> None:
        if self.work is not None and not isinstance(self.work, Work):
            raise UsageError(f"advice is on a Work or an open corpus, not on {self.work!r}")
        if self.stage is not None and self.stage not in STAGES:
            raise UsageError(f"the stage is {' or '.join(STAGES)}, not {self.stage!r}")
        if self.plan is not None and not isinstance(self.plan, str):
            raise UsageError(f"the plan is a name as 'pro', not {self.plan!r}")
        runs = self.runs_per_month
        if runs is not None and (not _is(runs, Integral) or runs < 1):
            raise UsageError(f"runs_per_month is a whole number of at least one run, not {runs!r}")
        for name in ("units_left", "budget", "value_of_time"):
            value = getattr(self, name)
            if value is not None and not (_is(value, Real) and 0 <= value < float("inf")):
                raise UsageError(f"{name} is a number from 0 on, not {value!r}")
        hours = self.deadline
        if hours is not None and not (_is(hours, Real) and 0 < hours < float("inf")):
            raise UsageError(f"the deadline is a number of hours above 0, not {hours!r}")

    @property
    def fastest_first(self) -> bool:
        """Whether time comes before dollars, where no value is put on time."""
        return self.stage == "production"

    @property
    def span(self) -> str:
        """What the answer's units, dollars and hours are of."""
        return "a run" if self.runs_per_month is None else "a month"


def names_of(machines: str | Iterable[str]) -> frozenset[str]:
    """Return the machines that were named; a bare text is one name.

    Raises
    ------
    UsageError
        They are no texts.

    Examples
    --------
    >>> names_of("L4") == names_of(["L4"]) == frozenset({"L4"})
    True
    """
    given = [machines] if isinstance(machines, str) else machines
    if not isinstance(given, Iterable):
        raise UsageError(f"machines are given by their names as ['L4', 'T4'], not as {machines!r}")
    names = list(given)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"a machine is given by its name as 'L4', not as {name!r}")
    return frozenset(names)


def _is(value: object, kind: type) -> bool:
    """Whether it is such a number; a truth is none."""
    return isinstance(value, kind) and not isinstance(value, bool)
