"""`price` and `compare`: what runs cost per month, and whether a faster machine is worth its price.

This is arithmetic over given figures; if a figure is unknown, results that depend on it are None.
Time has no price unless the user gives the value of an hour. Times are predicted in `prediction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .catalogue import RENTED, Machine, Offer, Plan

MONTH_HOURS = 730.0
"""Hours in a month, the most that a machine can run."""

_ALMOST = 1e-9  # tolerance for whole numbers computed in floating point


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Time and cost of runs on a machine, in addition to the subscription of a plan."""

    plan: str
    hours: float  # per run
    hours_month: float | None  # of all runs; None if their number is not given
    units: float | None  # compute units per run; None if unknown
    units_month: float | None
    units_left: float | None  # paid units left after the month's runs, or after one; None: no units
    usd: float | None  # US dollars per run, on average, in addition to the subscription
    usd_month: float | None
    sessions: int | None  # needed for a run; None if no limit is known

    @property
    def fits_month(self) -> bool:
        """Whether the runs fit in a month."""
        return self.hours_month is None or self.hours_month <= MONTH_HOURS


@dataclass(frozen=True)
class Alternative:
    """Time and cost of a run on a machine, for `compare`."""

    name: str
    hours: float  # per run
    usd: float  # US dollars per run
    usd_fixed: float = 0.0  # US dollars per month, whatever the number of runs


@dataclass(frozen=True, kw_only=True)
class Return:
    """Savings and extra cost over a rival machine; per month if runs are given, else per run."""

    rival: str
    hours_saved: float  # negative if the rival is faster
    usd_extra: float  # negative if the rival is more expensive
    usd_net: float | None  # value of the time saved, minus `usd_extra`; None: no value of time
    break_even_runs: int | None  # runs per month from which it pays off; None: never, or unknown
    break_even_value: float | None  # US dollars per hour from which it pays off; None: never


def price(
    seconds: float,
    machine: Machine,
    offer: Offer,
    plan: Plan,
    *,
    runs_per_month: int | None = None,
    units_left: float | None = None,
) -> Cost:
    """Return the cost of runs on a machine in a plan.

    Units that the plan includes are already paid for: they cost no further dollars but are used up.
    Further units are bought at the plan's price. A run longer than a session resumes in the next
    one.

    Parameters
    ----------
    seconds : float
        Duration of a run.
    machine, offer, plan : Machine, Offer, Plan
        The offer is the one of this machine in this plan.
    runs_per_month : int, optional
        By default, the price is that of one run.
    units_left : float, optional
        Compute units left; by default, what the plan includes per month.

    Examples
    --------
    The first 100 units are sunk, and 8 more are bought:

    >>> plan = Plan(
    ...     name="pro",
    ...     title="Pro",
    ...     usd_month=9.99,
    ...     units_included=100,
    ...     usd_per_unit=0.0999,
    ...     session_hours=24,
    ... )
    >>> gpu = Machine(name="A100", title="A100", kind="gpu", backend="cuda", units_per_hour=5.4)
    >>> cost = price(3600, gpu, Offer(False, None, 24, "x"), plan, runs_per_month=20)
    >>> round(cost.units_month, 6), cost.units_left, round(cost.usd_month, 4)
    (108.0, 0.0, 0.7992)
    """
    hours = seconds / 3600
    runs = 1 if runs_per_month is None else runs_per_month
    units, usd_all, left = _bill(hours * runs, machine, offer, plan, units_left)
    sessions = None
    if offer.session_hours:
        sessions = max(1, math.ceil(hours / offer.session_hours - _ALMOST))
    monthly = runs_per_month is not None
    return Cost(
        plan=plan.name,
        hours=hours,
        hours_month=hours * runs if monthly else None,
        units=None if units is None else units / runs,
        units_month=units if monthly else None,
        units_left=left,
        usd=None if usd_all is None else usd_all / runs,
        usd_month=usd_all if monthly else None,
        sessions=sessions,
    )


def _bill(
    hours: float, machine: Machine, offer: Offer, plan: Plan, units_left: float | None
) -> tuple[float | None, float | None, float | None]:
    """Return units, dollars and the included units left, for a number of hours."""
    if offer.free:
        return 0.0, 0.0, units_left
    if plan.name == RENTED:
        rate = machine.usd_per_hour
        return 0.0, None if rate is None else hours * rate, None
    if machine.units_per_hour is None:
        return None, None, None
    units = hours * machine.units_per_hour
    included = (plan.units_included or 0.0) if units_left is None else units_left
    left = max(0.0, included - units) if included else None
    beyond = max(0.0, units - included)
    if plan.usd_per_unit is None:
        return units, None if beyond else 0.0, left
    return units, beyond * plan.usd_per_unit, left


def compare(
    mine: Alternative,
    rival: Alternative,
    *,
    runs_per_month: int | None = None,
    value_of_time: float | None = None,
) -> Return:
    """Compare the time and cost of `mine` with those of a rival.

    Parameters
    ----------
    mine, rival : Alternative
    runs_per_month : int, optional
        By default, the figures are those of one run.
    value_of_time : float, optional
        Value of an hour in US dollars. Without it, time has no price; the result then states the
        value from which `mine` pays off.

    Examples
    --------
    The guide's own figures, 50 runs per month and 20 dollars per hour:

    >>> a100 = Alternative("A100", 3 / 60, usd=0, usd_fixed=10)
    >>> found = compare(a100, Alternative("T4", 7 / 60, 0), runs_per_month=50, value_of_time=20)
    >>> round(found.usd_net, 2), found.break_even_runs, found.break_even_value
    (56.67, 8, 3.0)
    """
    runs = 1 if runs_per_month is None else runs_per_month
    saved, dearer = rival.hours - mine.hours, mine.usd - rival.usd
    fixed = mine.usd_fixed - rival.usd_fixed
    extra = dearer * runs + fixed
    net = None if value_of_time is None else saved * runs * value_of_time - extra
    return Return(
        rival=rival.name,
        hours_saved=saved * runs,
        usd_extra=extra,
        usd_net=net,
        break_even_runs=_break_even_runs(saved, dearer, fixed, value_of_time),
        break_even_value=max(0.0, extra / (saved * runs)) if saved > 0 else None,
    )


def _break_even_runs(
    saved: float, dearer: float, fixed: float, value_of_time: float | None
) -> int | None:
    if value_of_time is None:
        return None
    gain = saved * value_of_time - dearer  # per run
    runs = fixed / gain if gain > 0 else math.inf
    return None if math.isinf(runs) else max(1, math.ceil(runs - _ALMOST))
