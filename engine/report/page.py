"""`page`: a report as one HTML document that loads nothing from the network and runs no script.

Everything that comes from outside the engine (texts, ids, names, errors) is escaped twice: control
characters become visible escapes, then Jinja escapes HTML. The page's sentences are in
`page.html.j2`, the formatting of numbers in `wording`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.utils import format_bytes
from markupsafe import Markup

from ... import __version__
from ...storage.cleaning.normal_forms import NormalForms
from ...storage.store.duplicates import mark_fields
from ...storage.store.history import WINDOW_SECONDS, RunRecord
from ..rendering.quantities import duration, times
from ..rendering.templates import page_environment
from ..rendering.terminal import one_line
from ..results.store_inventories import Inventories
from . import plots, theme, wording
from .findings import Findings
from .headline import headline
from .numbers import Distribution
from .wording import number

GENERATOR = "PaniniFS report"
"""Generator named in a page's first bytes; a report only overwrites files that contain it."""

EXCERPT = 300
"""Maximum number of characters of a text that are shown."""

MOST_LINES = 200
"""Maximum number of rows of a table that are shown; the rest is only counted."""


@dataclass(frozen=True)
class Picture:
    """A picture and its text alternative."""

    svg: Markup
    alt: str


def page(findings: Findings) -> str:
    """Return the HTML of a report."""
    environment = page_environment(__package__)
    environment.filters.update(
        number=lambda value: "–" if value is None else number(value),
        excerpt=_excerpt,
        bytes=lambda nbytes: format_bytes(int(nbytes)),
        duration=duration,
        sentence=lambda text: text[:1].upper() + text[1:],
        percent=lambda share: f"{100 * share:.1f} %",
        decoded=lambda data: data.decode("utf-8", "backslashreplace"),
    )
    template = environment.get_template("page.html.j2")
    return template.render(_view(findings))


def _excerpt(text: str, most: int = EXCERPT) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _view(findings: Findings) -> dict[str, Any]:
    reading, status = findings.reading, findings.status
    records = findings.manifest.runs
    return {
        "f": findings,
        "status": status,
        "reading": reading,
        "facts": findings.manifest.facts,
        "inventories": _inventories(findings.blocks),
        "name": store_name(status.results),
        "generator": GENERATOR,
        "version": __version__,
        "theme": Markup(theme.style()),  # noqa: S704 (colours of our own)
        "headline": headline(findings),
        "warnings": _warnings(findings),
        "run": records[-1] if records else None,
        "bases": wording.BASES,
        "of_limit": _share_of_limit(records[-1]) if records else None,
        "shares": _time_shares(records[-1]) if records else [],
        "rate": _rate(findings),
        "window": _window(findings),
        "memory": _memory(findings),
        "histograms": [
            (field, _histogram(number, field)) for number, field in enumerate(reading.distributions)
        ],
        "largest_share": max(reading.overall.shares, default=0.0) if reading.overall else 0.0,
        "hashed": bool(Inventories.of(findings.blocks).dhatus),
        "map": _map(findings),
        "kinds": [theme.variable(colour) for colour in theme.KINDS],
        "arrays": (
            *findings.fields,
            *mark_fields(findings.index.cleaning),
        ),
        "most_lines": MOST_LINES,
    }


def _inventories(graph: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the inventories of built-in blocks; that of `ambiguity` only if its primes differ."""
    found = Inventories.of(graph)
    named: dict[str, Sequence[Any]] = {"dhātus": found.dhatus, "primes": found.bases}
    if found.ambiguity != found.bases:
        named["primes of ambiguity"] = found.ambiguity
    return named


def store_name(url: str) -> str:
    """Return the name of a store.

    >>> store_name("gs://bucket/corpus/results.zarr/")
    'results.zarr'
    """
    return url.rstrip("/").rsplit("/", 1)[-1] or "results"


def _warnings(findings: Findings) -> list[str]:
    status = findings.status
    warnings = []
    if not status.complete:
        writer = f" {status.writer} is writing it." if status.writer else ""
        warnings.append(
            f"This store is unfinished: {status.shards_done:,} of {status.shards:,} shards are "
            f"done, and this page covers only those.{writer} To finish it, run the same command "
            "again."
        )
    if not status.rows_done:
        warnings.append("No text of this store has a result.")
    if status.files_unread:
        files = _counted(status.files_unread, "file")
        warnings.append(f"{files} could not be read: see Quarantined.")
    forms = NormalForms(status.not_nfc, status.not_nfd).warning
    if forms:
        warnings.append(f"{forms[0].upper()}{forms[1:]}.")
    return warnings


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _share_of_limit(record: RunRecord) -> str | None:
    """Compare a run's speed with the limit set by its kernels, in words."""
    limit = record.limit_texts_per_second
    if not limit or not record.texts_per_second:
        return None
    reached = record.texts_per_second / limit
    if reached > 1:
        return f"the run was {times(reached)} times as fast as that, so the limit is underestimated"
    return f"the run reached {100 * reached:.2g} % of it"


def _time_shares(record: RunRecord) -> list[tuple[str, float, float]]:
    """Return `(activity, seconds, share)` for the threads' time, the largest first."""
    total = sum(record.block_seconds.values())
    names = {"read": "waiting for input", "write": "writing, in separate threads"}
    parts = sorted(record.block_seconds.items(), key=lambda part: -part[1])
    return [
        (names.get(name, name), spent, spent / total if total else 0.0) for name, spent in parts
    ]


def _picture(svg: str, alt: str) -> Picture:
    return Picture(Markup(svg), alt)  # noqa: S704 (drawn here, without any text from outside)


def _histogram(number: int, field: Distribution) -> Picture:
    return _picture(plots.histogram(f"histogram{number}", field), wording.of_distribution(field))


def _rate(findings: Findings) -> Picture | None:
    lines = {run: one for run, one in findings.timelines.items() if len(one.samples) > 1}
    if not lines:
        return None
    last, window = lines[max(lines)], _window(findings)
    named = [(f"run {run + 1}", line) for run, line in sorted(lines.items(), reverse=True)]
    return _picture(plots.rate("rate", named, window), wording.of_rate(last, window))


def _window(findings: Findings) -> float:
    """Return the seconds over which a rate is averaged: fewer if the runs were short."""
    lengths = [line.samples[-1].seconds for line in findings.timelines.values() if line.samples]
    return min(WINDOW_SECONDS, max(1.0, max(lengths, default=0.0) / 8))


def _memory(findings: Findings) -> Picture | None:
    run = len(findings.manifest.runs) - 1
    line = findings.timelines.get(run)
    if line is None or sum(sample.memory is not None for sample in line.samples) < 2:
        return None
    limit = findings.manifest.runs[run].memory_limit
    return _picture(plots.memory("memory", line, limit), wording.of_memory(line))


def _map(findings: Findings) -> Picture | None:
    found = findings.reading.map
    return _picture(plots.prime_map("map", found), wording.of_map(found)) if found else None
