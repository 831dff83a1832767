"""`advise`: which machine suits a piece of work, its time and cost on each machine, and why.

The answer is an `Advice`; how it is shown is in `advice`. The reasons for and against each machine
are found in `feasibility`, the order in `ranking`.
"""

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
from .feasibility import Predict, Row, Tier, assess
from .local_cluster import recommended_cluster
from .models import model_notes
from .question import Question, Stage, names_of
from .ranking import ranked, reasons_of
from .seed2.matrix import seed2
from .seed2_answers import answer_of_seed2, differences

SEED2 = "seed2"
"""Name of the frozen catalogue: a guide of November 2025, cell by cell."""

UNMEASURED = (
    "this machine was not measured, so its cores are assumed to be Colab's usual ones at 2.2 GHz; "
    "`paninifs bench` measures it in a minute or two"
)

MOST_RECOMMENDED = 3
"""Maximum number of recommended machines: the first choice and its alternatives."""


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
    """Rank the machines that can do a piece of work, including this one, with reasons.

    Machines that do the work in one session and are available at once come first, then those that
    need more than one session or are hard to get, then those that need preparation or have unknown
    figures, and last the impossible ones, each with the reason: this engine has no backend for the
    work there, the memory is too small, the machine is not in the plan, or the work would exceed
    the budget, the deadline or a month.

    Within each group, machines are ordered by total cost (dollars plus the value of the hours) if
    `value_of_time` is given; otherwise by time if the stage is production; otherwise by dollars,
    where the fastest comes first among those within a tenth of the cheapest. A deadline only rules
    out machines that are too slow.

    Parameters
    ----------
    work : Work or Corpus, or None with the catalogue "seed2"
        If it is a corpus, its texts are counted.
    runs_per_month : int, optional
        Number of runs per month. By default, figures are per run.
    plan : str, optional
        The user's plan: "free", "pro", "pro+", "payg" (units as needed) or "rented" (a machine by
        the hour). The subscription itself is not part of a run's cost. By default, machines are
        priced without a subscription.
    units_left : float, optional
        Compute units left; by default, what the plan includes per month.
    budget : float, optional
        US dollars per month, in addition to the subscription; compared with one run if the number
        of runs is not given.
    deadline : float, optional
        Hours within which a run has to finish.
    stage : "prototyping" or "production", optional
        Purpose of the runs; for production, time comes before cost.
    value_of_time : float, optional
        US dollars per hour. By default, time has no price.
    free : str or sequence of str
        Machines that are free for this user now, whatever the catalogue says.
    catalogue : path, optional
        A TOML file of the user's own, overlaid on today's catalogue (see `open_catalogue`); or
        "seed2": the frozen guide.

    Raises
    ------
    UsageError
        A value is invalid, a name is unknown, or a catalogue cannot be read.

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
    own, calibration = describe_this_machine(used), calibration_of(processor())

    def predict_calibrated(machine: Machine, work: Work) -> Prediction:
        return predict(machine, work, calibration if machine is own else None)

    machines = {HERE: own} | {n: one for n, one in used.machines.items() if n != HERE}
    advice = answer(question, replace(used, machines=machines), predict_calibrated)
    rows = tuple(_with_cluster(row, used, advice.question) for row in advice.rows)
    advice = replace(advice, rows=rows)
    if calibration or question.work is None or question.work.kind != "hashing":
        return advice
    return replace(advice, why=(*advice.why, UNMEASURED))


def _with_cluster(row: Row, catalogue: Catalogue, question: Question) -> Row:
    """Add what `connect` starts, if the row is this machine."""
    work = question.work
    if row.name != HERE or work is None:
        return row
    starts = f"connect() starts {recommended_cluster(catalogue=catalogue, work=work)}"
    notes = [row.machine.note] if row.machine.note else []
    return replace(row, reasons=(*row.reasons, *notes, starts))


def answer(question: Question, catalogue: Catalogue, predict: Predict) -> Advice:
    """Rank the machines of a catalogue for a question; see `advise`.

    Raises
    ------
    UsageError
        The question has no work, or names a machine or plan that the catalogue lacks.
    """
    work = question.work
    if work is None:
        raise UsageError("advice needs work, except with the catalogue 'seed2'")
    for name in question.free:
        catalogue.machine(name)
    if question.plan is not None:
        catalogue.plan(question.plan)
    assessed = [
        assess(one, question, work, catalogue, predict) for one in catalogue.machines.values()
    ]
    rows = _with_returns(ranked(assessed, question), question)
    workable = [row for row in rows if row.tier <= Tier.DELAYED]
    best = workable[:MOST_RECOMMENDED]
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
    """Return the sources of the prices of some machines."""
    sources: dict[str, None] = {}
    for row in rows:
        if row.cost is None or not (row.units or row.usd):
            continue
        price = "usd_per_hour" if row.cost.plan == RENTED else "units_per_hour"
        value = getattr(row.machine, price)
        source = catalogue.source(row.name, price)
        unit = "dollars" if row.cost.plan == RENTED else "units"
        note = row.machine.notes.get(price)
        whose = f", {note}" if note else ""
        sources[f"{row.name}: {value:g} {unit} per hour{whose} ({source})"] = None
        plan = catalogue.plan(row.cost.plan)
        if row.usd and plan.usd_per_unit is not None:
            of_unit = catalogue.sources[plan.sources["usd_per_unit"]]
            sources[f"a unit: {dollars(plan.usd_per_unit)} ({of_unit})"] = None
    return tuple(sources)


def _with_returns(rows: tuple[Row, ...], question: Question) -> tuple[Row, ...]:
    """Compare each suitable machine with the best one, and with CPUs."""
    able = [row for row in rows if row.tier <= Tier.DELAYED and row.usd is not None]
    rivals = able[:2] + [row for row in able[2:] if row.machine.kind == "cpu"]
    return tuple(
        replace(row, returns=_returns(row, rivals, question)) if row in able else row
        for row in rows
    )


def _returns(row: Row, rivals: list[Row], question: Question) -> tuple[Return, ...]:
    """Compare a machine with the best of the others, and with every CPU."""
    others = [rival for rival in rivals if rival.name != row.name]
    compared = others[:1] + [rival for rival in others[1:] if rival.machine.kind == "cpu"]
    return tuple(
        compare(
            _alternative(row),
            _alternative(rival),
            runs_per_month=question.runs_per_month,
            value_of_time=question.value_of_time,
        )
        for rival in compared
    )


def _alternative(row: Row) -> Alternative:
    assert row.cost is not None
    assert row.cost.usd is not None
    return Alternative(row.name, row.cost.hours, row.cost.usd)
