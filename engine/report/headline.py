"""`HEADLINE`: the figures at the top of a report, one function per figure.

To add a figure, write a function here and add it to the table; the page and the notebook show every
figure listed. A figure that needs values of the arrays is gathered in `reading` first.
"""

from __future__ import annotations

from collections.abc import Callable

from dask.utils import format_bytes

from ..rendering.quantities import duration
from .findings import Findings
from .wording import number

Figure = tuple[str, str]  # name and value


def _texts_done(findings: Findings) -> Figure:
    return f"texts done, of {findings.status.rows:,}", f"{findings.status.rows_done:,}"


def _quarantined(findings: Findings) -> Figure:
    return "quarantined", f"{findings.status.quarantined:,}"


def _text_bytes(findings: Findings) -> Figure:
    return "of text", format_bytes(findings.text_bytes)


def _rate(findings: Findings) -> Figure | None:
    runs = findings.manifest.runs
    return ("texts per second", f"{runs[-1].texts_per_second:,.0f}") if runs else None


def _duration(findings: Findings) -> Figure | None:
    if not findings.manifest.runs:
        return None
    run = findings.manifest.runs[-1]
    did_all = run.rows == findings.status.rows
    name = "duration" if did_all else f"duration of the last run, of {run.rows:,} texts"
    return name, duration(run.seconds)


def _median_ambiguity(findings: Findings) -> Figure | None:
    for field in findings.reading.distributions:
        if field.name == "ambiguity_normalised":
            return "median ambiguity, normalised", number(field.median)
    return None


def _duplicates(findings: Findings) -> Figure | None:
    duplicates = findings.summary and findings.summary.duplicates
    return None if duplicates is None else ("duplicates", f"{duplicates:,}")


HEADLINE: tuple[Callable[[Findings], Figure | None], ...] = (
    _texts_done,
    _quarantined,
    _text_bytes,
    _rate,
    _duration,
    _median_ambiguity,
    _duplicates,
)
"""Functions that return a figure, or None if the store does not have it, in order of display."""


def headline(findings: Findings) -> list[Figure]:
    """Return the figures at the top of a report."""
    figures = (figure(findings) for figure in HEADLINE)
    return [figure for figure in figures if figure is not None]
