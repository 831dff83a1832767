"""`card`: a run as HTML for notebooks, without scripts, open ports or network access.

Updating it in place is in `notebook`; the card of a climb is in `climb_card`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from ....storage.store.history import Timeline
from ...rendering.html import table
from ...rendering.palette import COLOURS
from ..dashboard.link import DashboardLink
from ..figures import Figures
from .card_parts import WIDTH, head, sparkline, why


def card(figures: Figures, timeline: Timeline, results: str, link: DashboardLink) -> str:
    """Return HTML with a run's figures, its speed over time, and its threads' use of time."""
    top = head(
        done=figures.rows_computed,
        most=max(figures.rows, 1),
        label="texts computed",
        line=_line(figures),
        results=results,
        link=link,
    )
    if not figures.elapsed:
        return f"<div>{top}{why(figures.reason)}</div>"
    return (
        f"<div>{top}{table(figures.in_words())}{speed(timeline)}{shares(figures.block_seconds)}"
        "</div>"
    )


def _line(figures: Figures) -> str:
    if figures.state == "staging":
        return "staging the frame"
    if figures.state == "indexing":
        return "counting rows"
    if not figures.rows:  # it ended before they were counted
        return figures.state
    return f"{figures.state}, {figures.rows_computed:,} of {figures.rows:,} texts"


def speed(timeline: Timeline) -> str:
    """Return a small SVG of texts per second over the run; empty with fewer than two samples."""
    rates = timeline.rates("rows_done")
    times = [sample.seconds for sample in timeline.samples]
    most = max(rates, default=0.0)
    if not most:
        return ""
    caption = f"texts per second, over {times[-1] - times[0]:,.0f} s; at most {most:,.0f}"
    return sparkline(times, rates, caption, low=0.0)


def shares(seconds: Mapping[str, float]) -> str:
    """Return the threads' use of time as a stacked bar with a legend below."""
    total = sum(seconds.values())
    if not total:
        return ""
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    bar, names = "", []
    for colour, (name, spent) in zip(_colours(len(parts)), parts, strict=True):
        share = 100 * spent / total
        bar += f'<div style="width:{share:.1f}%;background:{colour}"></div>'
        names.append(
            f'<span style="color:{colour}" aria-hidden="true">&#9632;</span> '
            f"{html.escape(name)} {share:.0f}&nbsp;%"
        )
    return (
        f'<div style="display:flex;width:{WIDTH}px;height:10px" aria-hidden="true">{bar}</div>'
        f"<div><small>time of the threads: {' &nbsp; '.join(names)}</small></div>"
    )


def _colours(count: int) -> Sequence[str]:
    return [COLOURS[at % len(COLOURS)] for at in range(count)]
