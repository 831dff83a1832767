"""`Advice`: an answer of the advisor, and how it is shown as text and as HTML.

`advise` makes it and takes every decision; this module only formats the result.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from ...storage.errors import UsageError
from ..rendering.quantities import dollars, duration, units
from ..rendering.terminal import visible
from .feasibility import Row
from .question import Question

OF_GUIDE = "differences from the project's guide of November 2025 (seed2)"
"""Heading of the comparison with the catalogue `seed2`."""

BRIEF = ("recommended", "why")
"""Headings of the sections that are always shown in full."""

HEADINGS = ("machine", "verdict", "time per run", "units", "dollars")


@dataclass(frozen=True, kw_only=True)
class Advice:
    """An answer: ranked machines, which of them to choose, and why."""

    question: Question
    catalogue: str
    as_of: str  # the catalogue's date
    rows: tuple[Row, ...]  # every machine, best first
    recommended: tuple[str, ...]  # the first choice, then alternatives; empty if none is suitable
    why: tuple[str, ...]  # one sentence each
    differs: tuple[str, ...] = ()  # from the catalogue "seed2", one sentence per cause
    sources: tuple[str, ...] = ()  # of the prices of those recommended, with dates

    def row(self, name: str) -> Row:
        """Return the row of a machine. Raises `UsageError`, which lists the names."""
        for one in self.rows:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in self.rows)
        raise UsageError(f"no machine {name!r} in the answer; it has: {names}")

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def table(advice: Advice) -> list[tuple[str, ...]]:
    """Return the ranking as cells of text, one tuple per machine, under `HEADINGS`."""
    return [_cells(row) for row in advice.rows]


def sections(advice: Advice) -> list[tuple[str, tuple[str, ...]]]:
    """Return the sections below the table: each heading with its sentences."""
    order = " -> ".join(advice.recommended) or "none"
    parts = [
        ("recommended", (order,)),
        ("why", advice.why),
        ("each machine", tuple(f"{row.name}: {row.reasons[0]}" for row in advice.rows)),
        (OF_GUIDE, advice.differs),
        ("time and cost compared with others", tuple(_returns(advice))),
        ("prices", advice.sources),
    ]
    return [(name, lines) for name, lines in parts if lines]


def as_text(advice: Advice) -> str:
    """Return advice for a terminal."""
    cells = [HEADINGS, *table(advice)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = [title(advice)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(padded).rstrip())
    for name, sentences in sections(advice):
        lines += ["", f"{name}:", *(f"  {one}" for one in sentences)]
    return visible("\n".join(lines))


def as_html(advice: Advice) -> str:
    """Return advice for a notebook; every text in it is escaped."""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table(advice)
    )
    page = f"<p>{html.escape(title(advice))}</p><table><tr>{head}</tr>{body}</table>"
    for name, sentences in sections(advice):
        listed = "".join(f"<li>{html.escape(one)}</li>" for one in sentences)
        shown = " open" if name in BRIEF else ""
        page += f"<details{shown}><summary>{html.escape(name)}</summary><ul>{listed}</ul></details>"
    return page


def title(advice: Advice) -> str:
    """Return a title: the catalogue, and whether figures are per run or per month."""
    span = advice.question.span
    return f"catalogue {advice.catalogue!r} of {advice.as_of}; units and dollars {span}"


def _cells(row: Row) -> tuple[str, ...]:
    takes = duration(row.prediction.seconds) if row.prediction else row.label or "not known"
    return (
        row.name,
        row.verdict,
        takes,
        "not known" if row.units is None else units(row.units).split(" ")[0],
        "not known" if row.usd is None else dollars(row.usd),
    )


def _returns(advice: Advice) -> list[str]:
    """Describe what the recommended machines save and cost compared with others."""
    lines = []
    for name in advice.recommended:
        mine = advice.row(name)
        for one in mine.returns:
            rival = advice.row(one.rival)
            used = (mine.units or 0.0) - (rival.units or 0.0)
            if not (one.hours_saved or one.usd_extra or used):
                continue
            line = (
                f"{name} against {one.rival}: "
                f"{'saves' if one.hours_saved >= 0 else 'takes'} "
                f"{duration(abs(one.hours_saved) * 3600)}"
                f"{'' if one.hours_saved >= 0 else ' more'} {advice.question.span}, for "
                f"{dollars(abs(one.usd_extra))} {'more' if one.usd_extra >= 0 else 'less'}"
            )
            if used:
                line += f" and {units(abs(used))} {'more' if used > 0 else 'less'}"
            if one.usd_net is not None:
                line += f"; {dollars(one.usd_net)} net"
            elif one.break_even_value:
                line += f"; it pays off if an hour is worth {dollars(one.break_even_value)} or more"
            lines.append(line)
    return lines
