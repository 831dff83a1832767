"""`climb_card`: a climb as HTML for notebooks, while it goes on; `card` has a run's.

What a climb found, and its whole history, is in the report; the card has what is live.
"""

from __future__ import annotations

from ....storage.store.history import Series
from ...rendering.html import table
from ..climb_figures import ClimbFigures, ClimbSample
from ..dashboard.link import DashboardLink
from .card_parts import head, sparkline, why


def climb_card(
    figures: ClimbFigures, series: Series[ClimbSample], results: str, link: DashboardLink
) -> str:
    """Return HTML with a climb's figures, and its best score over time."""
    best = "" if figures.best is None else f", best {figures.best:.6g}"
    top = head(
        done=figures.share,
        most=1,
        label="budget spent",
        line=f"{figures.state}, {figures.evaluations:,} evaluations{best}",
        results=results,
        link=link,
    )
    if not figures.evaluations:
        return f"<div>{top}{why(figures.reason)}</div>"
    return f"<div>{top}{table(figures.in_words())}{summits(series)}</div>"


def summits(series: Series[ClimbSample]) -> str:
    """Return a small SVG of the best score over time; empty with fewer than two samples."""
    known = [(sample.seconds, sample.best) for sample in series.samples if sample.best is not None]
    if not known:
        return ""
    times, best = [at for at, _ in known], [score for _, score in known]
    span = f"over {times[-1] - times[0]:,.0f} s"
    caption = f"best score, {span}; from {best[0]:.6g} to {best[-1]:.6g}"
    return sparkline(times, best, caption, low=min(best))
