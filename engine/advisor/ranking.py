"""`ranked` and `reasons_of`: the order of machines, and the reasons for it.

The reasons for and against a single machine are found in `feasibility`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..rendering.quantities import dollars, duration, times, units
from .feasibility import Row, Tier, assumptions_about
from .question import Question

TIE = 0.10
"""Difference, as a share of the smaller cost, up to which two costs are considered equal."""

ALIKE = 1.05
"""Smallest ratio of two times at which they are reported as different."""

_LAST = float("inf")  # unknown values come after known ones
Key = Callable[[Row], float]


def ranked(rows: Sequence[Row], question: Question) -> tuple[Row, ...]:
    """Return rows in order of recommendation.

    The order is by tier (see `Tier`) and, within a tier:

    - with a value of time, by the sum of dollars and the value of the hours;
    - otherwise for production, the fastest first, then the cheapest;
    - otherwise the cheapest first, by dollars and then by compute units, which are used up even if
      they are paid for; costs that differ by less than a tenth tie, and the faster comes first.
    """
    order: list[Row] = []
    for tier in Tier:
        order += _within([row for row in rows if row.tier is tier], question)
    return tuple(order)


def _within(rows: list[Row], question: Question) -> list[Row]:
    value = question.value_of_time
    if value is not None:
        return sorted(rows, key=lambda row: (_total(row, value), _hours(row)))
    if question.fastest_first:
        return sorted(rows, key=lambda row: (_hours(row), _usd(row)))
    return _by_ties(rows, (_usd, _units, _hours))


def _total(row: Row, value_of_time: float) -> float:
    """Return dollars plus the value of the hours; infinite if unknown."""
    return _usd(row) + value_of_time * _hours(row)


def _by_ties(rows: list[Row], keys: tuple[Key, ...]) -> list[Row]:
    """Sort by the first key, and rows that tie with the smallest by the next one."""
    key, *others = keys
    left, order = sorted(rows, key=key), list[Row]()
    if not others:
        return left
    while left:
        edge = key(left[0]) * (1 + TIE)
        tied = [row for row in left if key(row) <= edge]
        order += _by_ties(tied, tuple(others))
        left = left[len(tied) :]
    return order


def _usd(row: Row) -> float:
    return _LAST if row.usd is None else row.usd


def _units(row: Row) -> float:
    return _LAST if row.units is None else row.units


def _hours(row: Row) -> float:
    """Return hours, also for a machine that is not available."""
    if row.hours is not None:
        return row.hours
    return _LAST if row.prediction is None else row.prediction.seconds / 3600


# --- reasons --------------------------------------------------------------------------------------


def reasons_of(rows: Sequence[Row], question: Question) -> tuple[str, ...]:
    """Return why the first of the ranked rows is first, and what else a reader should know."""
    able = [row for row in rows if row.tier <= Tier.DELAYED]
    if not able:
        return (
            "no machine in the catalogue is suitable; each one is listed with its reason",
            *_defaults(question),
        )
    reasons = [_first(able, question), *_cpu(able, question), *_assumed(able, question)]
    work = question.work
    if work is not None and len(work.models) > 1:
        reasons.append(
            f"the {len(work.models)} models are predicted one after another, and times are summed: "
            "side by side they would share the GPU, so no gain is promised"
        )
    return (*reasons, *_defaults(question))


def _first(able: list[Row], question: Question) -> str:
    best = able[0]
    assert best.prediction is not None
    takes = duration(best.prediction.seconds)
    value = question.value_of_time
    if best.tier is Tier.DELAYED:
        how = f"is suitable, with delays: {best.reasons[0]}"
    elif value is not None and best.usd is not None:
        how = (
            f"costs least with an hour worth {dollars(value)}: "
            f"{dollars(_total(best, value))} {question.span}, time included"
        )
    elif question.fastest_first and value is None:
        how = "is the fastest suitable machine"
    else:
        how = "is the cheapest suitable machine, or within a tenth of the cheapest and faster"
    return f"{best.name} {how}; a run takes {takes}"


def _cpu(able: list[Row], question: Question) -> list[str]:
    """Return whether a CPU beats the best accelerator on cost, and how much slower it is."""
    cpu = next((row for row in able if row.machine.kind == "cpu" and row.usd is not None), None)
    other = next((row for row in able if row.machine.kind != "cpu" and row.usd is not None), None)
    if cpu is None or other is None:
        return []
    usd, usd_other = _usd(cpu), _usd(other)
    used, used_other = _units(cpu), _units(other)
    hours, hours_other = _hours(cpu), _hours(other)
    if usd < usd_other:
        saving = (
            f"{dollars(usd) if usd else 'nothing'} instead of {dollars(usd_other)} {question.span}"
        )
    elif usd == usd_other and used < used_other:
        saving = (
            f"{units(used) if used else 'no units'} instead of {units(used_other)} {question.span}"
        )
    elif usd == usd_other and hours <= hours_other:
        return [f"{cpu.name} is as cheap as {other.name}, and no slower"]
    else:
        return []
    slower = hours / hours_other if hours_other else 1.0
    if ALIKE > slower > 1 / ALIKE:
        pace = "takes about as long"
    elif slower > 1:
        pace = f"takes {times(slower)} times as long"
    else:
        pace = f"is {times(1 / slower)} times as fast"
    return [f"the CPU is cheaper: {cpu.name} costs {saving} for {other.name}, and {pace}"]


def _assumed(able: list[Row], question: Question) -> list[str]:
    """Return what predictions for suitable machines assume, and for which machines."""
    assumed: dict[str, list[str]] = {}
    for row in able:
        for one in assumptions_about(row.machine, question.work) if question.work else []:
            assumed.setdefault(one, []).append(row.name)
    return [f"{', '.join(names)}: {one}" for one, names in assumed.items()]


def _defaults(question: Question) -> list[str]:
    """Return the defaults that were used where the question gives no value."""
    notes = []
    if question.plan is None:
        notes.append("no plan given: machines are priced without a subscription if possible")
    if question.runs_per_month is None:
        against = "" if question.budget is None else ", and the budget is compared with one"
        notes.append(f"number of runs per month not given: figures are per run{against}")
    if question.value_of_time is None:
        notes.append("no value of time given: time has no price")
    return notes
