"""Parts of the cards of runs, climbs and collections: HTML without scripts or network access.

Colours are those of the surrounding page, so that a card is readable in a dark notebook too. The
cards are in `card`, `climb_card` and `collect_card`.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from ...rendering.palette import BLUE
from ...rendering.terminal import visible
from ..dashboard.link import DashboardLink

WIDTH = 360
"""Width of what is drawn on a card, in pixels."""

_HEIGHT = 48


def head(
    *, done: float, most: float, label: str, line: str, results: str, link: DashboardLink
) -> str:
    """Return a progress bar with its label for screen readers, a line, a store, and a link."""
    return f"{bar(done, most, label)} {into(line, results)} ({_dashboard(link)})"


def bar(done: float | None, most: float, label: str) -> str:
    """Return a progress bar, labelled for screen readers; an indefinite one without `done`."""
    value = "" if done is None else f' value="{done:.10g}"'
    return f'<progress max="{most:.10g}"{value} aria-label="{label}"></progress>'


def into(line: str, url: str) -> str:
    """Return a line, and where the results land."""
    return f"{html.escape(line)} &rarr; <code>{html.escape(visible(url))}</code>"


def _dashboard(link: DashboardLink) -> str:
    url, note = (html.escape(one, quote=True) for one in (link.url, link.note))
    dashboard = f'<a href="{url}" target="_blank">dask dashboard</a>' if url else "dask dashboard"
    return f"{dashboard}{': ' if note else ''}{note}"


def why(reason: str | None) -> str:
    """Return the reason why something has ended; empty if there is none."""
    return f"<div>{html.escape(visible(reason))}</div>" if reason else ""


def sparkline(times: Sequence[float], values: Sequence[float], caption: str, *, low: float) -> str:
    """Return a small SVG of values over time, at least `low`; empty with fewer than two.

    >>> svg = sparkline([0.0, 1.0, 2.0], [1.0, 1.0, 3.0], "best score", low=1.0)
    >>> 'points="0.0,48.0 180.0,48.0 360.0,4.0"' in svg
    True
    """
    if len(values) < 2 or times[-1] <= times[0]:
        return ""
    span, rise = times[-1] - times[0], max(values) - low or 1.0
    points = " ".join(
        f"{(at - times[0]) / span * WIDTH:.1f},{_HEIGHT - (value - low) / rise * (_HEIGHT - 4):.1f}"
        for at, value in zip(times, values, strict=True)
    )
    return (
        f'<svg width="{WIDTH}" height="{_HEIGHT}" role="img" aria-label="{caption}">'
        f"<title>{caption}</title>"
        f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/></svg>'
        f"<div><small>{caption}</small></div>"
    )
