"""`ClimbFigures`: everything that displays show of a climb in progress; `figures` has a run's.

It is made on the client from `ClimbProgress` and the workers' load, and sent to dask's scheduler.
To show another figure, declare a field here and measure it in `climb_progress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..rendering.palette import BLUE, GREEN
from ..rendering.quantities import dollars, duration
from .climb_progress import ClimbProgress
from .figure_declaration import Chart, FigureHolder, Line, Metric, Words, figure, from_fields
from .load import Load


@dataclass(frozen=True, kw_only=True)
class ClimbSample:
    """The state of a climb at one moment. None: not reported by then."""

    seconds: float  # of the climb, with those of earlier sessions
    evaluations: int  # that were retired, also by earlier sessions
    best: float | None = None
    memory: int | None = None  # bytes that all workers hold
    spilled: int | None = None  # bytes that they have on disk
    cpu: float | None = None  # cores that they keep busy
    threads: int | None = None  # of all workers
    device: float | None = None  # share of the time in which their devices compute
    device_memory: int | None = None  # bytes of the devices' memory in use


def _evaluations(now: ClimbFigures) -> str:
    earlier = f", {now.evaluations_before:,} of them earlier" if now.evaluations_before else ""
    return f"{now.evaluations:,}{earlier}"


def _best(now: ClimbFigures) -> str:
    if now.best is None:
        return "no candidate has a score yet"
    return f"{now.best:.6g}, candidate {now.best_candidate:,}"


def _failed(now: ClimbFigures) -> str | None:
    return f"{now.failed:,} without a score" if now.failed else None


def _time_left(now: ClimbFigures) -> str | None:
    if now.state != "running":
        return None
    return "not known yet" if now.seconds_left is None else duration(now.seconds_left)


@dataclass(frozen=True, kw_only=True)
class ClimbFigures(FigureHolder):
    """The figures of a climb at one moment. A figure that is not known yet is None."""

    state: str  # see `ClimbProgress`
    reason: str | None = figure(  # why the climb failed or was stopped
        default=None, words=Words("reason", lambda now: now.reason)
    )
    evaluations: int = figure(  # that were retired, also by earlier sessions
        words=Words("evaluations", _evaluations),
        metric=Metric("evaluations", "Evaluations, including earlier sessions", counter=True),
        column="evaluations",
    )
    evaluations_before: int  # by earlier sessions
    evaluations_per_second: float = figure(  # of this session, on average
        words=Words("rate", lambda now: f"{now.evaluations_per_second:,.0f} evaluations/s"),
        metric=Metric("evaluations_per_second", "Evaluations per second, on average"),
        line=Line(Chart.EVALUATIONS, "evaluations", BLUE, column="evaluations", rate=True),
    )
    best: float | None = figure(
        words=Words("best score", _best),
        metric=Metric("best_score", "The best score"),
        column="best",
        line=Line(Chart.BEST, "best", GREEN, column="best"),
    )
    best_candidate: int  # that has it; -1: none
    stagnation: int = figure(  # evaluations since the best score was found
        words=Words("stagnation", lambda now: f"{now.stagnation:,} evaluations since the best"),
        metric=Metric("stagnation_evaluations", "Evaluations since the best score was found"),
    )
    accepted: int = figure(
        words=Words("accepted", lambda now: f"{now.accepted:,} states"),
        metric=Metric("states_accepted", "States that were accepted", counter=True),
    )
    failed: int = figure(
        words=Words("failed", _failed),
        metric=Metric("evaluations_failed", "Candidates without a score", counter=True),
    )
    budget: str = figure(words=Words("budget", lambda now: now.budget))  # in words
    share: float = figure(  # of the budget that is spent, 0 to 1
        metric=Metric("budget_spent_ratio", "Share of the budget that is spent")
    )
    seconds_left: float | None = figure(
        words=Words("time left", _time_left),
        metric=Metric("left_seconds", "Seconds until the budget is spent, at this rate"),
    )
    elapsed: float = figure(  # seconds of the climb, with those of earlier sessions
        words=Words("time", lambda now: duration(now.elapsed)),
        metric=Metric("elapsed_seconds", "Seconds of the climb, including earlier sessions"),
        column="seconds",
        digits=3,
    )
    load: Load | None = figure(default=None, holder=Load)  # noqa: RUF009 (it makes a field)
    usd: float | None = figure(  # US dollars so far, if a price is known
        default=None,
        words=Words("cost so far", lambda now: None if now.usd is None else dollars(now.usd)),
        metric=Metric("cost_usd", "Cost in US dollars so far, if a price is known"),
    )

    @classmethod
    def of(cls, now: ClimbProgress, load: Load | None = None) -> ClimbFigures:
        """Return the figures of a climb's progress.

        Examples
        --------
        >>> figures = ClimbFigures.of(
        ...     ClimbProgress(evaluations=250, most_evaluations=1000, best=0.5, best_candidate=9)
        ... )
        >>> figures.share, dict(figures.in_words())["stagnation"]
        (0.25, '240 evaluations since the best')
        """
        names = [one.name for one in fields(cls) if one.name != "load"]
        return cls(**{name: getattr(now, name) for name in names}, load=load)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> ClimbFigures:
        """Decode what `to_message` made."""
        load = message["load"] and from_fields(Load, message["load"])
        return from_fields(cls, {**message, "load": load})

    def sample(self) -> ClimbSample:
        """Return the figures that the series of samples keeps."""
        return ClimbSample(**self.columns())

    @property
    def block_seconds(self) -> Mapping[str, float]:
        """Nothing: a climb has no blocks."""
        return {}
