"""`card`: a run as HTML for notebooks, without scripts, open ports or network access.

Colours are those of the surrounding page, so that the card is readable in a dark notebook too.
Updating it in place is in `notebook`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from ....storage.store.history import Timeline
from ...rendering.html import table
from ...rendering.palette import BLUE, COLOURS
from ...rendering.terminal import visible
from ..dashboard.link import DashboardLink
from ..figures import Figures

_WIDTH, _HEIGHT = 360, 48


def card(figures: Figures, timeline: Timeline, results: str, link: DashboardLink) -> str:
    """Return HTML with a run's figures, its speed over time, and its threads' use of time."""
    url, note = (html.escape(one, quote=True) for one in (link.url, link.note))
    dashboard = f'<a href="{url}" target="_blank">dask dashboard</a>' if url else "dask dashboard"
    head = (
        f'<progress max="{max(figures.rows, 1)}" value="{figures.rows_computed}" '
        f'aria-label="texts computed"></progress> {html.escape(_line(figures))} '
        f"&rarr; <code>{html.escape(visible(results))}</code> "
        f"({dashboard}{': ' if note else ''}{note})"
    )
    if not figures.elapsed:
        why = f"<div>{html.escape(visible(figures.reason))}</div>" if figures.reason else ""
        return f"<div>{head}{why}</div>"
    return (
        f"<div>{head}{table(figures.in_words())}"
        f"{sparkline(timeline)}{shares(figures.block_seconds)}</div>"
    )


def _line(figures: Figures) -> str:
    if figures.state == "staging":
        return "staging the frame"
    if figures.state == "indexing":
        return "counting rows"
    if not figures.rows:  # it ended before they were counted
        return figures.state
    return f"{figures.state}, {figures.rows_computed:,} of {figures.rows:,} texts"


def sparkline(timeline: Timeline) -> str:
    """Return a small SVG of texts per second over the run; empty with fewer than two samples."""
    rates = timeline.rates("rows_done")
    times = [sample.seconds for sample in timeline.samples]
    most = max(rates, default=0.0)
    if len(rates) < 2 or not most or times[-1] <= times[0]:
        return ""
    span = times[-1] - times[0]
    points = " ".join(
        f"{(at - times[0]) / span * _WIDTH:.1f},{_HEIGHT - rate / most * (_HEIGHT - 4):.1f}"
        for at, rate in zip(times, rates, strict=True)
    )
    caption = f"texts per second, over {span:,.0f} s; at most {most:,.0f}"
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{caption}">'
        f"<title>{caption}</title>"
        f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/></svg>'
        f"<div><small>{caption}</small></div>"
    )


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
        f'<div style="display:flex;width:{_WIDTH}px;height:10px" aria-hidden="true">{bar}</div>'
        f"<div><small>time of the threads: {' &nbsp; '.join(names)}</small></div>"
    )


def _colours(count: int) -> Sequence[str]:
    return [COLOURS[at % len(COLOURS)] for at in range(count)]
