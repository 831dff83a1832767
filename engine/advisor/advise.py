"""`advise`: which machine suits a piece of work, what it takes and costs on each, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ...storage.corpus.corpus import Corpus
from ...storage.errors import UsageError
from ..costs.catalogue import HERE, RENTED, Catalogue, Machine
from ..costs.catalogue_files import open_catalogue
from ..costs.prediction import Prediction, predict
from ..costs.pricing import Alternative, Return, compare
from ..costs.this_machine import calibration_of, describe_this_machine
from ..costs.work import Work
from ..hardware.cpu import processor
from ..rendering.quantities import dollars
from .advice import Advice
from .feasibility import Predict, Row, Tier, judge
from .models import model_notes
from .question import Question, Stage, names_of
from .ranking import ranked, reasons_of
from .seed2.matrix import seed2
from .seed2_answers import answer_of_seed2, differences

SEED2 = "seed2"
"""The catalogue that is frozen: a guide of November 2025, cell by cell."""

UNMEASURED = (
    "this machine was not measured, so its cores are taken for Colab's usual ones at 2.2 GHz; "
    "`paninifs bench` measures it, in a minute or two"
)

FALL_BACKS = 3
"""Machines that are recommended at most: the first, else the next."""


def advise(
    work: Work | Corpus | None,
    *,
    runs_per_month: int | None = None,
    plan: str | None = None,
    units_left: float | None = None,
    budget: float | None = None,
    deadline: float | None = None,
    stage: Stage | None = None,
    value_of_time: float | None = None,
    free: str | Sequence[str] = (),
    catalogue: str | os.PathLike[str] | None = None,
) -> Advice:
    """Rank the machines that a piece of work can be done on, this one among them, and say why.

    First come those that do the work in one session and can be had at once; then those that need
    more than one session or are hard to get; then those for which something has to be done or found
    out first; last the impossible ones, each with the reason: no backend of this engine for the
    work, not enough memory, not in the plan, over the budget, past the deadline or the month.
    Within each of these, where `value_of_time` is given, the least of dollars and the worth of the
    hours together; else for production the fastest; else the cheapest, and of those within a tenth
    of it the faster. A deadline rules out what is too slow, and no more.

    Parameters
    ----------
    work : Work, or Corpus, or None with the catalogue "seed2"
        The texts of a corpus are counted for it.
    runs_per_month : int, optional
        Figures are of one run when left out.
    plan : str, optional
        What the user has: "free", "pro", "pro+", "payg" (units as they are needed) or "rented" (a
        cloud's machine by the hour). What it costs anyway is no part of a run's cost. When left
        out, machines are priced without a subscription.
    units_left : float, optional
        Compute units that are left; what the plan includes a month when left out.
    budget : float, optional
        US dollars a month, beyond what the plan costs anyway; held against one run where nobody
        says how many there are.
    deadline : float, optional
        Hours in which a run has to be done.
    stage : "prototyping" or "production", optional
    value_of_time : float, optional
        US dollars an hour. No dollars are put on time when left out.
    free : str or sequence of str
        Machines that cost this user nothing now, whatever the catalogue says.
    catalogue : path, optional
        A TOML of the user's own, over today's (see `open_catalogue`); or "seed2": the frozen guide.

    Raises
    ------
    UsageError
        A number makes no sense, a name is unknown, or a catalogue does not read.

    Examples
    --------
    >>> from paninifs.engine.costs.work import Work
    >>> advise(None, runs_per_month=150, catalogue="seed2").recommended
    ('A100',)
    """
    if isinstance(work, Corpus):
        work = Work.on(work)
    question = Question(
        work=work,
        runs_per_month=runs_per_month,
        plan=plan,
        units_left=units_left,
        budget=budget,
        deadline=deadline,
        stage=stage,
        value_of_time=value_of_time,
        free=names_of(free),
    )
    if catalogue == SEED2:
        matrix = seed2()
        if plan is not None:
            open_catalogue().plan(plan)
        rows, recommended, why = answer_of_seed2(matrix, question)
        return Advice(
            question=question,
            catalogue=SEED2,
            as_of=matrix.date,
            rows=rows,
            recommended=recommended,
            why=why,
        )
    used = open_catalogue(catalogue)
    here, calibration = describe_this_machine(used), calibration_of(processor())

    def foretell(machine: Machine, work: Work) -> Prediction:
        return predict(machine, work, calibration if machine is here else None)

    machines = {HERE: here} | {n: one for n, one in used.machines.items() if n != HERE}
    advice = answer(question, replace(used, machines=machines), foretell)
    if calibration or question.work is None or question.work.kind != "hashing":
        return advice
    return replace(advice, why=(*advice.why, UNMEASURED))


def answer(question: Question, catalogue: Catalogue, foretell: Predict) -> Advice:
    """Rank the machines of a catalogue for a question; see `advise`.

    Raises
    ------
    UsageError
        The question has no work, or names what the catalogue has not.
    """
    work = question.work
    if work is None:
        raise UsageError("there is no advice without work; only the catalogue 'seed2' needs none")
    for name in question.free:
        catalogue.machine(name)
    if question.plan is not None:
        catalogue.plan(question.plan)
    judged = [
        judge(one, question, work, catalogue, foretell) for one in catalogue.machines.values()
    ]
    rows = _with_returns(ranked(judged, question), question)
    workable = [row for row in rows if row.tier <= Tier.PATIENCE]
    best = workable[:FALL_BACKS]
    return Advice(
        question=question,
        catalogue=catalogue.name,
        as_of=catalogue.as_of,
        rows=rows,
        recommended=tuple(row.name for row in best),
        why=(*reasons_of(rows, question), *model_notes(work)),
        differs=differences(rows, question),
        sources=_sources(best, catalogue),
    )


def _sources(rows: Sequence[Row], catalogue: Catalogue) -> tuple[str, ...]:
    """Say where the prices of some machines are from."""
    said: dict[str, None] = {}
    for row in rows:
        if row.cost is None or not (row.units or row.usd):
            continue
        price = "usd_per_hour" if row.cost.plan == RENTED else "units_per_hour"
        value = getattr(row.machine, price)
        source = catalogue.source(row.name, price)
        unit = "dollars" if row.cost.plan == RENTED else "units"
        note = row.machine.notes.get(price)
        whose = f", {note}" if note else ""
        said[f"{row.name}: {value:g} {unit} an hour{whose} ({source})"] = None
        plan = catalogue.plan(row.cost.plan)
        if row.usd and plan.usd_per_unit is not None:
            of_unit = catalogue.sources[plan.sources["usd_per_unit"]]
            said[f"a unit: {dollars(plan.usd_per_unit)} ({of_unit})"] = None
    return tuple(said)


def _with_returns(rows: tuple[Row, ...], question: Question) -> tuple[Row, ...]:
    """Say what each machine that will do gives back against the best, and against a CPU."""
    able = [row for row in rows if row.tier <= Tier.PATIENCE and row.usd is not None]
    rivals = able[:2] + [row for row in able[2:] if row.machine.kind == "cpu"]
    return tuple(
        replace(row, returns=_returns(row, rivals, question)) if row in able else row
        for row in rows
    )


def _returns(row: Row, rivals: list[Row], question: Question) -> tuple[Return, ...]:
    """Compare with the best but itself, and with every CPU."""
    others = [rival for rival in rivals if rival.name != row.name]
    chosen = others[:1] + [rival for rival in others[1:] if rival.machine.kind == "cpu"]
    return tuple(
        compare(
            _alternative(row),
            _alternative(rival),
            runs_per_month=question.runs_per_month,
            value_of_time=question.value_of_time,
        )
        for rival in chosen
    )


def _alternative(row: Row) -> Alternative:
    assert row.cost is not None
    assert row.cost.usd is not None
    return Alternative(row.name, row.cost.hours, row.cost.usd)
