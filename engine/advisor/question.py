"""`Question`: the validated input of the advisor. `advise` answers it."""

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
    """A piece of work, how often it is done, and what it may cost. None means not given.

    Raises
    ------
    UsageError
        A value is invalid; the message names it.
    """

    work: Work | None  # None only for the catalogue "seed2"
    runs_per_month: int | None = None
    plan: str | None = None  # the user's plan
    units_left: float | None = None  # compute units
    budget: float | None = None  # US dollars per month, in addition to the subscription
    deadline: float | None = None  # hours within which a run has to finish
    stage: Stage | None = None
    value_of_time: float | None = None  # US dollars per hour
    free: frozenset[str] = frozenset()  # machines that are free for this user now

    def __post_init__(self) -> None:
        if self.work is not None and not isinstance(self.work, Work):
            raise UsageError(f"work must be a Work or an open corpus, not {self.work!r}")
        if self.stage is not None and self.stage not in STAGES:
            raise UsageError(f"stage must be {' or '.join(STAGES)}, not {self.stage!r}")
        if self.plan is not None and not isinstance(self.plan, str):
            raise UsageError(f"plan must be a name such as 'pro', not {self.plan!r}")
        runs = self.runs_per_month
        if runs is not None and (not _is_number(runs, Integral) or runs < 1):
            raise UsageError(f"runs_per_month must be a whole number, at least 1, not {runs!r}")
        for name in ("units_left", "budget", "value_of_time"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value, Real) and 0 <= value < float("inf")):
                raise UsageError(f"{name} must be a non-negative number, not {value!r}")
        hours = self.deadline
        if hours is not None and not (_is_number(hours, Real) and 0 < hours < float("inf")):
            raise UsageError(f"deadline must be a positive number of hours, not {hours!r}")

    @property
    def fastest_first(self) -> bool:
        """Whether machines are ordered by time before dollars; used if time has no value."""
        return self.stage == "production"

    @property
    def span(self) -> str:
        """What the answer's units, dollars and hours refer to."""
        return "per run" if self.runs_per_month is None else "per month"


def names_of(machines: str | Iterable[str]) -> frozenset[str]:
    """Return the names of machines; a string is one name.

    Raises
    ------
    UsageError
        A name is not a string.

    Examples
    --------
    >>> names_of("L4") == names_of(["L4"]) == frozenset({"L4"})
    True
    """
    given = [machines] if isinstance(machines, str) else machines
    if not isinstance(given, Iterable):
        raise UsageError(f"machines must be a list of names such as ['L4', 'T4'], not {machines!r}")
    names = list(given)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"a machine must be given by name, such as 'L4', not as {name!r}")
    return frozenset(names)


def _is_number(value: object, kind: type) -> bool:
    """Return whether a value is a number of a kind; booleans are not."""
    return isinstance(value, kind) and not isinstance(value, bool)
