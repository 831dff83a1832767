"""`judge`: what speaks for and against one machine, for one question. Ranking is elsewhere.

A machine is out of the question when this engine cannot do the work there, the work does not fit in
its memory, it is not to be had in the plan, or it takes or costs more than was asked for. It is
doubtful when something has to be done first, or a figure is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from ...graphs.kernels import BACKENDS
from ...storage.errors import UsageError
from ..costs.catalogue import HARD_TO_GET, HERE, RENTED, Catalogue, Machine, Offer, Plan
from ..costs.prediction import USUAL_CLOCK_GHZ, USUAL_SHA, Prediction
from ..costs.pricing import MONTH_HOURS, Cost, Return, price
from ..costs.work import Work
from ..rendering.quantities import dollars, duration, units
from .fit import fit
from .question import Question

Verdict = Literal["yes", "possible", "no"]
Predict = Callable[[Machine, Work], Prediction]

TPU_HASHING = (
    "the hashing is 32-bit integer operations, which a TPU can do through JAX, but this engine has "
    "no backend 'tpu'"
)
TPU_EMBEDDING = (
    "not out of the box: sentence-transformers' encode() fails under torch_xla as it is "
    "(sentence-transformers#3457, open in July 2025), and runs once its inference_mode is taken "
    "out; converting a model instead takes 30 to 45 min by the guide of November 2025"
)


class Tier(IntEnum):
    """What comes before what, whatever the costs."""

    READY = 0  # in one session, and not hard to get
    PATIENCE = 1  # in more than one session, or hard to get
    UNTRIED = 2  # something has to be done or found out first
    IMPOSSIBLE = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """A machine in an answer: what it takes and costs there, and what speaks for and against it."""

    machine: Machine
    verdict: Verdict
    tier: Tier
    reasons: tuple[str, ...]  # a sentence each, what weighs most first
    prediction: Prediction | None = None  # None where nothing is predicted
    cost: Cost | None = None  # None where it is not to be had, or nothing is predicted
    returns: tuple[Return, ...] = ()  # what it gives back against others, each named
    label: str = ""  # of the catalogue "seed2": the time that it gives, no prediction

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine.name

    @property
    def usd(self) -> float | None:
        """US dollars, a month where runs are known, else a run."""
        if self.cost is None:
            return None
        return self.cost.usd if self.cost.usd_month is None else self.cost.usd_month

    @property
    def units(self) -> float | None:
        """Compute units, a month where runs are known, else a run."""
        if self.cost is None:
            return None
        return self.cost.units if self.cost.units_month is None else self.cost.units_month

    @property
    def hours(self) -> float | None:
        """Hours, a month where runs are known, else a run."""
        if self.cost is None:
            return None
        return self.cost.hours if self.cost.hours_month is None else self.cost.hours_month


@dataclass
class _Case:
    """What is gathered about one machine."""

    against: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tier(self) -> Tier:
        if self.against:
            return Tier.IMPOSSIBLE
        if self.doubts:
            return Tier.UNTRIED
        return Tier.PATIENCE if self.waits else Tier.READY

    @property
    def verdict(self) -> Verdict:
        if self.tier is Tier.IMPOSSIBLE:
            return "no"
        return "yes" if self.tier is Tier.READY else "possible"


def judge(
    machine: Machine, question: Question, work: Work, catalogue: Catalogue, predict: Predict
) -> Row:
    """Return what speaks for and against a machine.

    Parameters
    ----------
    machine : Machine
    question : Question
    work : Work
        The question's.
    catalogue : Catalogue
    predict : callable
        Says how long the work takes on a machine. Not asked where this engine cannot do it; when it
        raises `UsageError`, for want of a figure say, the machine is doubtful, and that is why.
    """
    case = _Case()
    prediction = _predicted(case, machine, work, predict)
    fitting = fit(work, machine, prediction)
    if fitting.fits is False:
        case.against.append(f"does not fit: {fitting.reason}")
    had = _offer(case, machine, question, catalogue)
    cost = None
    if prediction is not None:
        _deadline(case, prediction, question)
    if prediction is not None and had is not None:
        offer, plan = had
        cost = price(
            prediction.seconds,
            machine,
            offer,
            plan,
            runs_per_month=question.runs_per_month,
            units_left=question.units_left,
        )
        _month(case, cost, question)
        _money(case, machine, cost, question)
        _sessions(case, offer, cost)
    if had is not None:
        _availability(case, had[0])
    if fitting.fits is not False and fitting.reason:
        case.notes.append(fitting.reason)
    if prediction is not None:
        case.notes += taken_for_granted(machine, work)
        case.notes.append(_time(prediction))
    reasons = (*case.against, *case.doubts, *case.waits, *case.notes)
    return Row(
        machine=machine,
        verdict=case.verdict,
        tier=case.tier,
        reasons=reasons,
        prediction=prediction,
        cost=cost,
    )


def _predicted(case: _Case, machine: Machine, work: Work, predict: Predict) -> Prediction | None:
    if machine.backend == "tpu" and work.kind == "embedding":
        case.doubts.append(TPU_EMBEDDING)
        return None
    if machine.backend not in BACKENDS:
        tpu = machine.backend == "tpu"
        case.against.append(TPU_HASHING if tpu else f"no backend {machine.backend!r} here")
        return None
    try:
        return predict(machine, work)
    except UsageError as error:
        case.doubts.append(f"nothing is predicted for it: {error}")
        return None


def _offer(
    case: _Case, machine: Machine, question: Question, catalogue: Catalogue
) -> tuple[Offer, Plan] | None:
    """Return how the user has a machine; None, and why, where not."""
    if machine.name in question.free:
        known = machine.offers.get(question.plan or "")
        hours = known.session_hours if known else None
        case.notes.append("costs nothing, as was said")
        offer = Offer(True, known.availability if known else None, hours, "own")
        return offer, Plan(
            name="as was said",
            title="as was said",
            usd_month=0,
            units_included=None,
            usd_per_unit=None,
            session_hours=hours,
        )
    if question.plan is not None:
        if question.plan in machine.offers:
            return machine.offers[question.plan], catalogue.plan(question.plan)
        if machine.name != HERE:  # that one is at hand, whatever the plan
            case.against.append(
                f"not in the plan {question.plan!r}; {_elsewhere(machine, catalogue)}"
            )
            return None
    had = catalogue.usual_offer(machine)
    if had is None:
        case.against.append(f"not to be had; {_elsewhere(machine, catalogue)}")
    elif not had[0].free:
        why = "for none was said" if question.plan is None else "for it is at hand"
        case.notes.append(f"priced as in the plan {had[1].name!r}, {why}")
    return had


def _elsewhere(machine: Machine, catalogue: Catalogue) -> str:
    """Say in which plans a machine is."""
    plans = [catalogue.plan(name) for name in machine.offers]
    if not plans:
        return machine.note or "no plan of the catalogue has it"
    listed = []
    for plan in plans:
        month = f" ({dollars(plan.usd_month)} a month)" if plan.usd_month else ""
        hour = machine.usd_per_hour
        if plan.name == RENTED and hour is not None:
            month = f" ({dollars(hour)} an hour)"
        listed.append(f"{plan.name!r}{month}")
    return f"it is in {', '.join(listed)}"


def _time(prediction: Prediction) -> str:
    return (
        f"a run takes {duration(prediction.seconds)} ({prediction.basis}), most of all for "
        f"{prediction.bound}"
    )


def taken_for_granted(machine: Machine, work: Work) -> list[str]:
    """Say what a host is taken to be that nobody tells; of the one at hand its reader says it."""
    if work.kind != "hashing" or machine.name == HERE:
        return []
    said = []
    if machine.clock_ghz is None:
        usual = f"Colab's usual {USUAL_CLOCK_GHZ} GHz are taken"
        said.append(f"the clock of its host is not known, so {usual}")
    if machine.sha is None and machine.kind == "cpu":
        said.append(f"how it hashes is not known, so Colab's usual {USUAL_SHA!r} is taken")
    return said


def _deadline(case: _Case, prediction: Prediction, question: Question) -> None:
    hours = prediction.seconds / 3600
    if question.deadline is not None and hours > question.deadline:
        asked = duration(question.deadline * 3600)
        case.against.append(f"misses the deadline: {duration(prediction.seconds)}, not {asked}")


def _month(case: _Case, cost: Cost, question: Question) -> None:
    if not cost.fits_month:
        case.against.append(
            f"{question.runs_per_month} runs take {cost.hours_month:,.0f} h, and a month has "
            f"{MONTH_HOURS:.0f}"
        )


def _money(case: _Case, machine: Machine, cost: Cost, question: Question) -> None:
    """Say what it costs; that it is too much, or not known."""
    usd = cost.usd if cost.usd_month is None else cost.usd_month
    used = cost.units if cost.units_month is None else cost.units_month
    span = question.span
    if usd is None:
        unknown = "units an hour" if cost.plan != RENTED else "price"
        case.notes.append(f"its cost is not known: no source for its {unknown}")
        if question.budget is not None:
            case.doubts.append("its cost is not known, so nor is whether the budget is enough")
        return
    if used:
        left = "" if cost.units_left is None else f", {units(cost.units_left)} left of those paid"
        case.notes.append(f"costs {units(used)} {span}{left}, {dollars(usd)} beyond")
    else:
        whose = machine.notes.get("usd_per_hour", "") if cost.plan == RENTED else ""
        of = f" ({whose})" if whose else ""
        case.notes.append(f"costs {dollars(usd)} {span}{of}" if usd else "costs nothing")
    if question.budget is not None and question.runs_per_month is None:
        case.notes.append("the budget of a month is held against one run, for none were said")
    if question.budget is not None and usd > question.budget:
        case.against.append(
            f"over the budget: {dollars(usd)} {span}, not {dollars(question.budget)} a month"
        )


def _availability(case: _Case, offer: Offer) -> None:
    if offer.availability in HARD_TO_GET:
        case.waits.append(f"hard to get: availability is {offer.availability}")
    else:
        case.notes.append(f"availability is {offer.availability or 'not known'}")
    if offer.session_hours is not None:
        case.notes.append(f"a session lasts {offer.session_hours:g} h at most")


def _sessions(case: _Case, offer: Offer, cost: Cost) -> None:
    if cost.sessions is not None and cost.sessions > 1:
        case.waits.append(
            f"a run needs {cost.sessions} sessions of {offer.session_hours:g} h: it goes on where "
            "the last one stopped when the same command is given again"
        )
