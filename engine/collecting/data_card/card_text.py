"""`card_text`: a data card for people, as Markdown. Its sentences are in `card.md.j2`.

Names, settings and licences come from sources, so characters that Markdown or HTML would interpret
are escaped.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ....storage.filesystems.redaction import shown
from ...monitoring.collecting.collect_record import public_settings
from ...rendering.terminal import one_line, visible
from ..outcome import REASONS, SKIPPED
from .card_facts import CardFacts, SourceFacts
from .croissant import COLUMNS, cited, described

MOST_SHOWN = 20
"""Maximum number of languages, of licences, of parts and of settings that are listed."""

_LONGEST = 200  # characters of a setting or a name

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&!])")


class _Verbatim(str):
    """Text within a block of code, in which nothing is escaped."""

    __slots__ = ()


class _Sentences(str):
    """A string of this package, which is not shortened."""

    __slots__ = ()


def card_text(facts: CardFacts) -> str:
    """Return the card, a text of some 80 lines."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=False,  # noqa: S701 (it is not HTML; `_escaped` escapes what is given)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_escaped,
    )
    environment.filters["shell"] = lambda text: _Verbatim(shlex.quote(visible(one_line(text))))
    first, last = facts.retrieved
    return environment.get_template("card.md.j2").render(
        facts=facts,
        described=_Sentences(described(facts)),
        cited=_Sentences(cited(facts)),
        corpus=shown(facts.corpus) if "://" in facts.corpus else facts.name,
        sources=[_source(one) for one in facts.sources],
        first=first,
        last=last,
        languages=_ranked(facts.languages),
        licences=_ranked(facts.licences),
        reasons=_reasons(facts),
        parts=facts.parts[:MOST_SHOWN],
        more_parts=max(0, len(facts.parts) - MOST_SHOWN),
        columns=COLUMNS,
    )


def _escaped(value: Any) -> Any:
    r"""Return a value so that Markdown shows exactly it, on one line.

    >>> _escaped("a|b\n<script>"), _escaped(1234567)
    ('a\\|b \\<script\\>', '1,234,567')
    """
    if isinstance(value, _Verbatim):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    text = visible(one_line(str(value)))
    if len(text) > _LONGEST and not isinstance(value, _Sentences):
        text = f"{text[:_LONGEST]}..."
    return _SPECIAL.sub(r"\\\1", text)


def _source(one: SourceFacts) -> dict[str, Any]:
    settings = list(public_settings(one.settings).items())
    return {
        "facts": one,
        "given": shown(one.given),
        "settings": [f"{name} = {value}" for name, value in settings[:MOST_SHOWN]],
        "state": "complete" if one.complete else "not complete",
    }


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the most frequent values, and the rest as one."""
    ranked = [(name or "unknown", count) for name, count in counts.items()]
    rest = sum(count for _, count in ranked[MOST_SHOWN:])
    return ranked[:MOST_SHOWN] + ([("others", rest)] if rest else [])


def _reasons(facts: CardFacts) -> list[tuple[str, str, str, int]]:
    """Return why items were not kept: kind, reason, sentence and count; the most frequent first."""
    total: dict[str, int] = {}
    for source in facts.sources:
        for reason, count in source.reasons.items():
            total[reason] = total.get(reason, 0) + count
    ranked = sorted(total.items(), key=lambda one: (one[0] not in SKIPPED, -one[1], one[0]))
    return [
        (
            "skipped" if reason in SKIPPED else "failed",
            reason,
            REASONS.get(reason, "a reason of another version"),
            count,
        )
        for reason, count in ranked
        if count
    ]
