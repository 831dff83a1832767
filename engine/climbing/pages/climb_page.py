"""The page of climbs: one HTML document that loads nothing and runs no script.

It shares colours, style and pictures with `report`. Its sentences are in `climbs.html.j2`. Names,
reasons and judgements come from outside: control characters become visible escapes, then Jinja
escapes HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from .... import __version__
from ...rendering.quantities import dollars, duration
from ...rendering.templates import page_environment
from ...rendering.terminal import one_line
from ...report import page as report_page
from ...report import theme
from ...report.page import Picture, store_name
from ...report.wording import number
from .climb_findings import ClimbFindings
from .climb_pictures import (
    CANDIDATE,
    KINDS,
    MOST_COMPARED,
    SECONDS,
    compared,
    kind_of,
    scores,
    style_of,
    summits,
)
from .excursions import MOST_DRAWN, Excursion

GENERATOR = "PaniniFS climbs"
"""Generator named in a page's first bytes."""

MOST_SUMMITS, MOST_WORKERS = 10, 20
"""Maximum numbers of rows of the tables of summits and of workers."""

_EXCERPT = 300


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Climbs of one objective and space, over the same evaluations."""

    climbs: Sequence[ClimbFindings]
    evaluations: int
    picture: Picture | None
    drawn: Sequence[tuple[ClimbFindings, str, str]]  # with colour and pattern


def climb_page(results: str, climbs: Sequence[ClimbFindings], evaluations: Sequence[int]) -> str:
    """Return the HTML.

    Parameters
    ----------
    results : str
        The store.
    evaluations : sequence of int
        For each climb the number of candidates that it is compared by.
    """
    environment = page_environment(__package__, report_page.__package__)
    environment.filters.update(
        number=lambda value: "–" if value is None else number(float(value)),
        whole=lambda value: f"{value:,}",
        duration=duration,
        excerpt=_excerpt,
    )
    return environment.get_template("climbs.html.j2").render(
        name=store_name(results),
        results=results,
        made=datetime.now(UTC),
        comparisons=_comparisons(climbs, evaluations),
        climbs=[_view(at, one) for at, one in enumerate(climbs)],
        key=[
            (character, theme.variable(colour), words)
            for _, character, colour, words in KINDS.values()
        ],
        most_drawn=MOST_DRAWN,
        most_workers=MOST_WORKERS,
        generator=GENERATOR,
        version=__version__,
        theme=Markup(theme.style()),  # noqa: S704 (colours of our own)
    )


def _excerpt(text: str, most: int = _EXCERPT) -> str:
    text = one_line(str(text))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _comparisons(climbs: Sequence[ClimbFindings], evaluations: Sequence[int]) -> list[Comparison]:
    """Return the groups of at least two climbs that solve the same problem."""
    groups: dict[str, list[int]] = {}
    for at, one in enumerate(climbs):
        groups.setdefault(one.begun.problem, []).append(at)
    found: list[Comparison] = []
    for group in (one for one in groups.values() if len(one) > 1):
        own = sorted(
            (climbs[at] for at in group),
            key=lambda one: (one.best_within is None, -(one.best_within or 0.0)),
        )
        lines = [one for one in own if len(one.best_so_far)][:MOST_COMPARED]
        name = f"compared-{len(found)}"
        picture = compared(name, [one.best_so_far for one in lines]) if lines else None
        found.append(
            Comparison(
                climbs=own,
                evaluations=evaluations[group[0]],
                picture=picture,
                drawn=[(one, *style_of(line)) for line, one in enumerate(lines)],
            )
        )
    return found


def _view(at: int, one: ClimbFindings) -> dict[str, Any]:
    """Return what the template shows of a climb."""
    has_line = len(one.best_so_far) > 0
    return {
        "id": f"climb-{at}",
        "f": one,
        "facts": one.begun.facts,
        "best": one.begun.best,
        "budget": _budget(one),
        "warnings": _warnings(one),
        "settings": one.begun.facts["settings"].items(),
        "judgement": [tuple(said) for said in one.begun.attributes.get("judgement") or ()],
        "over_evaluations": scores(f"scores-{at}", one.best_so_far, one.accepted, CANDIDATE)
        if has_line
        else None,
        "over_time": scores(f"times-{at}", one.best_so_far, one.accepted, SECONDS)
        if has_line
        else None,
        "tree": summits(f"summits-{at}", one.excursions) if one.excursions else None,
        "summits": _highest(one.excursions),
    }


def _highest(excursions: Sequence[Excursion]) -> list[tuple[Excursion, str, str]]:
    """Return the highest summits, with where they set out from in words, and from which one."""
    order = sorted(excursions, key=lambda one: (-one.score, one.best))[:MOST_SUMMITS]
    return [
        (
            one,
            KINDS[kind_of(one)][-1],
            f"{one.parent.best:,}" if one.parent else "–" if one.is_root else "left out",
        )
        for one in order
    ]


def _budget(one: ClimbFindings) -> str:
    """Return what was spent, of what, in words."""
    said, known = one.begun.attributes, one.begun.attributes.get("budget") or {}
    limits: dict[str, tuple[str, Callable[[Any], str]]] = {
        "evaluations": (f"{one.begun.evaluations:,} evaluations", lambda most: f"{most:,}"),
        "seconds": (duration(one.begun.seconds), duration),
        "dollars": (dollars(said["usd"]) if said.get("usd") is not None else "", dollars),
    }
    parts = [
        spent + (f" of {words(known[name])}" if known.get(name) else "")
        for name, (spent, words) in limits.items()
        if spent
    ]
    return ", ".join(parts)


def _warnings(one: ClimbFindings) -> list[str]:
    found = []
    if not one.begun.attributes.get("over"):
        found.append(
            "This climb has not spent its budget: it goes on, or was stopped. Climb again to go on."
        )
    if one.begun.best["score"] is None:
        found.append("No candidate has a score.")
    return found
