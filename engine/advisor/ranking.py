"""`ranked` and `reasons_of`: which of several machines comes before which, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..rendering.quantities import dollars, duration, times, units
from .feasibility import Row, Tier, taken_for_granted
from .question import Question

TIE = 0.10
"""Costs that differ by less, as a part of the smaller, are as good as equal."""

_LAST = float("inf")  # what is not known comes after what is
Key = Callable[[Row], float]


def ranked(rows: Sequence[Row], question: Question) -> tuple[Row, ...]:
    """Return rows in the order in which they are advised.

    First those that can be had at once and do the work in one session; then those that take more
    than one, or are hard to get; then those for which something has to be done or found out; last
    the impossible ones. Within each:

    - where an hour is worth something, by dollars and the worth of the hours together;
    - else for production the fastest first, then the cheapest;
    - else the cheapest first, by dollars and then by compute units, which are used up even when
      they are paid for; what differs by less than a tenth is a tie, and the faster is first.
    """
    order: list[Row] = []
    for tier in Tier:
        order += _within([row for row in rows if row.tier is tier], question)
    return tuple(order)


def _within(rows: list[Row], question: Question) -> list[Row]:
    worth = question.value_of_time
    if worth is not None:
        return sorted(rows, key=lambda row: (_total(row, worth), _hours(row)))
    if question.fastest_first:
        return sorted(rows, key=lambda row: (_hours(row), _usd(row)))
    return _by_ties(rows, (_usd, _units, _hours))


def _total(row: Row, value_of_time: float) -> float:
    """Return dollars and the worth of the hours together; infinite where not known."""
    return _usd(row) + value_of_time * _hours(row)


def _by_ties(rows: list[Row], keys: tuple[Key, ...]) -> list[Row]:
    """Sort by the first key; among those that tie with the smallest, by the next."""
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
    """Hours, also of a machine that is not to be had."""
    if row.hours is not None:
        return row.hours
    return _LAST if row.prediction is None else row.prediction.seconds / 3600


# --- why ------------------------------------------------------------------------------------------


def reasons_of(rows: Sequence[Row], question: Question) -> tuple[str, ...]:
    """Return why the first of ranked rows is first, and what else a reader should know."""
    able = [row for row in rows if row.tier <= Tier.PATIENCE]
    if not able:
        return ("no machine of the catalogue will do: each says why not", *_unsaid(question))
    said = [_first(able, question), *_cpu(able, question), *_taken(able, question)]
    work = question.work
    if work is not None and len(work.models) > 1:
        said.append(
            f"the {len(work.models)} models are predicted one after another, and the sum is given: "
            "side by side on one GPU they share it, so no gain is promised"
        )
    return (*said, *_unsaid(question))


def _first(able: list[Row], question: Question) -> str:
    best = able[0]
    assert best.prediction is not None
    takes = duration(best.prediction.seconds)
    worth = question.value_of_time
    if best.tier is Tier.PATIENCE:
        how = f"will do, with patience: {best.reasons[0]}"
    elif worth is not None and best.usd is not None:
        how = (
            f"costs least with an hour worth {dollars(worth)}: "
            f"{dollars(_total(best, worth))} {question.span}, time included"
        )
    elif question.fastest_first and worth is None:
        how = "is the fastest of those that will do"
    else:
        how = "is the cheapest of those that will do, or as cheap within a tenth and faster"
    return f"{best.name} {how}; a run takes {takes}"


def _cpu(able: list[Row], question: Question) -> list[str]:
    """Say that a CPU is cheaper than the best accelerator, by how much, and how much slower."""
    cpu = next((row for row in able if row.machine.kind == "cpu" and row.usd is not None), None)
    other = next((row for row in able if row.machine.kind != "cpu" and row.usd is not None), None)
    if cpu is None or other is None:
        return []
    usd, usd_other = _usd(cpu), _usd(other)
    used, used_other = _units(cpu), _units(other)
    hours, hours_other = _hours(cpu), _hours(other)
    if usd < usd_other:
        saving = f"{dollars(usd)} instead of {dollars(usd_other)} {question.span}"
    elif usd == usd_other and used < used_other:
        saving = f"{units(used)} instead of {units(used_other)} {question.span}"
    elif usd == usd_other and hours <= hours_other:
        return [f"{cpu.name} is as cheap as {other.name}, and no slower"]
    else:
        return []
    slower = hours / hours_other if hours_other else 1.0
    pace = (
        f"takes {times(slower)} times as long"
        if slower > 1
        else f"is {times(1 / slower)} times as fast"
    )
    return [f"the CPU is cheaper: {cpu.name} costs {saving} for {other.name}, and {pace}"]


def _taken(able: list[Row], question: Question) -> list[str]:
    """Say what predictions of machines that will do take for granted, and of which machines."""
    said: dict[str, list[str]] = {}
    for row in able:
        for one in taken_for_granted(row.machine, question.work) if question.work else []:
            said.setdefault(one, []).append(row.name)
    return [f"{', '.join(names)}: {one}" for one, names in said.items()]


def _unsaid(question: Question) -> list[str]:
    said = []
    if question.plan is None:
        said.append("no plan was said: each machine is priced without a subscription where it can")
    if question.runs_per_month is None:
        against = "" if question.budget is None else ", and the budget is held against one"
        said.append(f"no runs a month were said: figures are of one run{against}")
    if question.value_of_time is None:
        said.append("no value of an hour was said: no dollars are put on time")
    return said
