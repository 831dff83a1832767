"""`assess`: the reasons for and against one machine, for one question.

A machine is impossible if this engine cannot do the work there, the work does not fit in its
memory, it is not in the plan, or it takes or costs more than is allowed. It is uncertain if
something has to be done first, or a figure is unknown. The order of machines is in `ranking`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from ...graphs.kernels import BACKENDS
from ...storage.errors import UsageError
from ..costs.catalogue import HARD_TO_GET, HERE, RENTED, Catalogue, Machine, Offer, Plan
from ..costs.prediction import STORED_BYTES, USUAL_CLOCK_GHZ, USUAL_SHA, Prediction
from ..costs.pricing import MONTH_HOURS, Cost, Return, price
from ..costs.work import Work
from ..rendering.quantities import dollars, duration, times, units
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
    "(sentence-transformers#3457, open in July 2025), and runs once its inference_mode is removed; "
    "converting a model instead takes 30 to 45 min according to the guide of November 2025"
)


class Tier(IntEnum):
    """Groups of machines, whose order precedes all costs."""

    READY = 0  # does it in one session, and is not hard to get
    DELAYED = 1  # needs more than one session, or is hard to get
    UNCERTAIN = 2  # something has to be done or found out first
    IMPOSSIBLE = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """A machine in an answer: its predicted time and cost, and the reasons for and against it."""

    machine: Machine
    verdict: Verdict
    tier: Tier
    reasons: tuple[str, ...]  # one sentence each, most important first
    prediction: Prediction | None = None  # None if nothing is predicted
    cost: Cost | None = None  # None if it is not available, or nothing is predicted
    returns: tuple[Return, ...] = ()  # comparisons with others, each named
    label: str = ""  # the time stated by the catalogue "seed2"; not a prediction

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine.name

    @property
    def usd(self) -> float | None:
        """US dollars, per month if the number of runs is given, else per run."""
        if self.cost is None:
            return None
        return self.cost.usd if self.cost.usd_month is None else self.cost.usd_month

    @property
    def units(self) -> float | None:
        """Compute units, per month if the number of runs is given, else per run."""
        if self.cost is None:
            return None
        return self.cost.units if self.cost.units_month is None else self.cost.units_month

    @property
    def hours(self) -> float | None:
        """Hours, per month if the number of runs is given, else per run."""
        if self.cost is None:
            return None
        return self.cost.hours if self.cost.hours_month is None else self.cost.hours_month


@dataclass
class _Findings:
    """The reasons for and against one machine, in sentences."""

    against: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    delays: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tier(self) -> Tier:
        if self.against:
            return Tier.IMPOSSIBLE
        if self.doubts:
            return Tier.UNCERTAIN
        return Tier.DELAYED if self.delays else Tier.READY

    @property
    def verdict(self) -> Verdict:
        if self.tier is Tier.IMPOSSIBLE:
            return "no"
        return "yes" if self.tier is Tier.READY else "possible"


def assess(
    machine: Machine, question: Question, work: Work, catalogue: Catalogue, predict: Predict
) -> Row:
    """Return a machine with its verdict and the reasons for and against it.

    Parameters
    ----------
    machine : Machine
    question : Question
    work : Work
        The question's work.
    catalogue : Catalogue
    predict : callable
        Predicts the work on a machine. Not called if this engine cannot do the work there; if it
        raises `UsageError`, for lack of a figure for example, the machine is uncertain.
    """
    findings = _Findings()
    prediction = _predicted(findings, machine, work, predict)
    fitting = fit(work, machine, prediction)
    if fitting.fits is False:
        findings.against.append(f"does not fit: {fitting.reason}")
    offered = _offer(findings, machine, question, catalogue)
    cost = None
    if prediction is not None:
        _deadline(findings, prediction, question)
    if prediction is not None and offered is not None:
        offer, plan = offered
        cost = price(
            prediction.seconds,
            machine,
            offer,
            plan,
            runs_per_month=question.runs_per_month,
            units_left=question.units_left,
        )
        _month(findings, cost, question)
        _money(findings, machine, cost, question)
        _sessions(findings, offer, cost)
    if offered is not None:
        _availability(findings, offered[0])
    if fitting.fits is not False and fitting.reason:
        findings.notes.append(fitting.reason)
    if prediction is not None:
        findings.notes += assumptions_about(machine, work)
        findings.notes.append(_time(prediction))
        findings.notes += _limits(prediction)
    reasons = (*findings.against, *findings.doubts, *findings.delays, *findings.notes)
    return Row(
        machine=machine,
        verdict=findings.verdict,
        tier=findings.tier,
        reasons=reasons,
        prediction=prediction,
        cost=cost,
    )


def _predicted(
    findings: _Findings, machine: Machine, work: Work, predict: Predict
) -> Prediction | None:
    if machine.backend == "tpu" and work.kind == "embedding":
        findings.doubts.append(TPU_EMBEDDING)
        return None
    if machine.backend not in BACKENDS:
        tpu = machine.backend == "tpu"
        findings.against.append(
            TPU_HASHING if tpu else f"this engine has no backend {machine.backend!r}"
        )
        return None
    try:
        return predict(machine, work)
    except UsageError as error:
        findings.doubts.append(f"its time cannot be predicted: {error}")
        return None


def _offer(
    findings: _Findings, machine: Machine, question: Question, catalogue: Catalogue
) -> tuple[Offer, Plan] | None:
    """Return the offer and plan that apply to a machine; note why and return None if none does."""
    if machine.name in question.free:
        known = machine.offers.get(question.plan or "")
        hours = known.session_hours if known else None
        findings.notes.append("free, as you stated")
        offer = Offer(True, known.availability if known else None, hours, "own")
        return offer, Plan(
            name="as stated",
            title="as stated",
            usd_month=0,
            units_included=None,
            usd_per_unit=None,
            session_hours=hours,
        )
    if question.plan is not None:
        if question.plan in machine.offers:
            return machine.offers[question.plan], catalogue.plan(question.plan)
        if machine.name != HERE:  # this machine is available in any plan
            findings.against.append(
                f"not in the plan {question.plan!r}; {_elsewhere(machine, catalogue)}"
            )
            return None
    usual = catalogue.usual_offer(machine)
    if usual is None:
        findings.against.append(f"not available; {_elsewhere(machine, catalogue)}")
    elif not usual[0].free:
        why = "no plan was given" if question.plan is None else "you already have the machine"
        findings.notes.append(f"priced as in the plan {usual[1].name!r}, because {why}")
    return usual


def _elsewhere(machine: Machine, catalogue: Catalogue) -> str:
    """Describe the plans that offer a machine, or why none does."""
    plans = [catalogue.plan(name) for name in machine.offers]
    if not plans:
        return machine.note or "no plan in the catalogue includes it"
    listed = []
    for plan in plans:
        month = f" ({dollars(plan.usd_month)} per month)" if plan.usd_month else ""
        hour = machine.usd_per_hour
        if plan.name == RENTED and hour is not None:
            month = f" ({dollars(hour)} per hour)"
        listed.append(f"{plan.name!r}{month}")
    return f"it is in {', '.join(listed)}"


def _time(prediction: Prediction) -> str:
    return (
        f"a run takes {duration(prediction.seconds)} ({prediction.basis}), most of it for "
        f"{prediction.bound}"
    )


def _limits(prediction: Prediction) -> list[str]:
    """Return how many texts per second each part of a GPU run allows, the fewest first."""
    if not prediction.limits:
        return []
    ordered = sorted(prediction.limits.items(), key=lambda one: one[1])
    listed = ", ".join(f"{name} {times(limit / 1e6)}" for name, limit in ordered)
    needed = ordered[0][1] * STORED_BYTES / 1e9
    writing = f"; its results need {times(needed)} GB/s of storage, whose speed is not known"
    return [
        f"limits in million texts/s: {listed}" + ("" if "store" in prediction.limits else writing)
    ]


def assumptions_about(machine: Machine, work: Work) -> list[str]:
    """Return what is assumed about a machine's unknown host.

    Empty for this machine, about which `advise` has its own note.
    """
    if work.kind != "hashing" or machine.name == HERE:
        return []
    assumed = []
    if machine.clock_ghz is None:
        usual = f"Colab's usual {USUAL_CLOCK_GHZ} GHz are assumed"
        assumed.append(f"the clock of its host is not known, so {usual}")
    if machine.sha is None and machine.kind == "cpu":
        assumed.append(
            f"its SHA-256 implementation is not known, so Colab's usual {USUAL_SHA!r} is assumed"
        )
    return assumed


def _deadline(findings: _Findings, prediction: Prediction, question: Question) -> None:
    hours = prediction.seconds / 3600
    if question.deadline is not None and hours > question.deadline:
        allowed = duration(question.deadline * 3600)
        findings.against.append(
            f"misses the deadline of {allowed}: a run takes {duration(prediction.seconds)}"
        )


def _month(findings: _Findings, cost: Cost, question: Question) -> None:
    if not cost.fits_month:
        findings.against.append(
            f"{question.runs_per_month} runs take {cost.hours_month:,.0f} h, but a month has only "
            f"{MONTH_HOURS:.0f} h"
        )


def _money(findings: _Findings, machine: Machine, cost: Cost, question: Question) -> None:
    """Note what a machine costs, whether that is too much, and whether it is unknown."""
    usd = cost.usd if cost.usd_month is None else cost.usd_month
    used = cost.units if cost.units_month is None else cost.units_month
    span = question.span
    if usd is None:
        unknown = "units per hour" if cost.plan != RENTED else "price"
        findings.notes.append(f"its cost is not known: no source for its {unknown}")
        if question.budget is not None:
            findings.doubts.append("its cost is not known, so it may exceed the budget")
        return
    if used:
        left = "" if cost.units_left is None else f" ({units(cost.units_left)} will be left)"
        findings.notes.append(f"costs {units(used)} {span}{left} and {dollars(usd)}")
    else:
        whose = machine.notes.get("usd_per_hour", "") if cost.plan == RENTED else ""
        of = f" ({whose})" if whose else ""
        findings.notes.append(f"costs {dollars(usd)} {span}{of}" if usd else "free")
    if question.budget is not None and question.runs_per_month is None:
        findings.notes.append(
            "the monthly budget is compared with one run, because their number was not given"
        )
    if question.budget is not None and usd > question.budget:
        findings.against.append(
            f"over the budget of {dollars(question.budget)} per month: costs {dollars(usd)} {span}"
        )


def _availability(findings: _Findings, offer: Offer) -> None:
    if offer.availability in HARD_TO_GET:
        findings.delays.append(f"hard to get: availability is {offer.availability}")
    else:
        findings.notes.append(f"availability is {offer.availability or 'not known'}")
    if offer.session_hours is not None:
        findings.notes.append(f"a session lasts at most {offer.session_hours:g} h")


def _sessions(findings: _Findings, offer: Offer, cost: Cost) -> None:
    if cost.sessions is not None and cost.sessions > 1:
        findings.delays.append(
            f"a run needs {cost.sessions} sessions of {offer.session_hours:g} h: repeat the same "
            "command to resume it"
        )
