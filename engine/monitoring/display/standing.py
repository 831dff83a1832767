"""`Standing`: how far a run, climb or collection has come, as bars and logs show it."""

from __future__ import annotations

from dataclasses import dataclass

from ...rendering.quantities import duration
from ..climb_progress import ClimbProgress
from ..collecting.collect_figures import CollectFigures
from ..progress import Progress


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far something has come.

    Attributes
    ----------
    description : str
        What is going on, in a few words.
    done, total : float
        The length of the bar; no total if it is not known.
    counted : str
        What is done, of how much, and how fast.
    line : str
        All of it in one line.
    """

    description: str
    done: float
    total: float | None
    counted: str
    line: str


def of_run(now: Progress) -> Standing:
    """Return how far a run has come.

    >>> of_run(Progress(state="running", rows=200, rows_done=50)).line
    'running, 50 of 200 texts (25 %)'
    """
    rate = f" ({now.texts_per_second:,.0f}/s)" if now.elapsed else ""
    share = f" ({100 * now.rows_computed / now.rows:.0f} %)" if now.rows else ""
    return Standing(
        description=_described(now),
        done=now.rows_computed,
        total=now.rows or None,
        counted=f"{now.rows_computed:,}/{now.rows:,} texts{rate}" if now.rows else "",
        line=now.line().replace(" texts", f" texts{share}", 1) + _left(now),
    )


def of_climb(now: ClimbProgress) -> Standing:
    """Return how far a climb has come.

    >>> now = ClimbProgress(evaluations=50, most_evaluations=200, best=0.5, best_candidate=40)
    >>> print(of_climb(now).counted)
    50/200 evaluations, best 0.5
    >>> print(of_climb(now).line)
    running, 50 evaluations, best 0.5 (9 evaluations ago), 25 % of the budget
    """
    of = f"/{now.most_evaluations:,}" if now.most_evaluations else ""
    rate = f" ({now.evaluations_per_second:,.0f}/s)" if now.evaluations_per_second else ""
    best = "" if now.best is None else f", best {now.best:.6g}"
    return Standing(
        description=now.state,
        done=now.share,
        total=1.0,
        counted=f"{now.evaluations:,}{of} evaluations{rate}{best}",
        line=f"{now.line()}, {100 * now.share:.0f} % of the budget{_left(now)}",
    )


def of_collection(now: CollectFigures) -> Standing:
    """Return how far a collection has come.

    >>> now = CollectFigures(state="collecting", total=40, kept=5, share=0.125, seconds_left=70)
    >>> print(of_collection(now).line)
    collecting, 5 of 40 items: 5 kept (12 %), 0 items/s, 0 B/s, 70 s left
    """
    share = "" if now.share is None else f" ({100 * now.share:.0f} %)"
    waits = f", waiting for {now.waiting}" if now.waiting else ""
    of = "" if now.total is None else f"/{now.total:,}"
    failed = f", {now.failed:,} failed" if now.failed else ""
    return Standing(
        description=now.state,
        done=now.share or 0.0,
        total=None if now.share is None else 1.0,
        counted=f"{now.decided:,}{of} items ({now.items_per_second:,.3g}/s){failed}{waits}",
        line=now.line().replace(now.counted, f"{now.counted}{share}", 1) + _left(now),
    )


def _described(now: Progress) -> str:
    if now.state == "staging":
        return now.staging
    if now.state == "indexing":
        return "counting rows"
    return (now.state == "running" and now.stage) or now.state


def _left(now: Progress | ClimbProgress | CollectFigures) -> str:
    left = now.seconds_left if now.state in ("running", "collecting") else None
    return "" if left is None else f", {duration(left)} left"
