"""`SourceState`: how far the collection of one source has come, with the `Counts` of its items.

They are metadata of every object of the ledger, as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from ....storage.errors import ResultsDamaged, UsageError
from ..extraction.documents.html_pages.html_extractors import TRAFILATURA
from ..outcome import FAILED, SKIPPED
from ..source import Source

Pass = Literal["listing", "refreshing"]


@dataclass
class Counts:
    """Numbers of a source's items by outcome; undecided items are not counted."""

    kept: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Skipped and failed items, by reason."""
    retried: int = 0
    """Failures that were retried; they are in no other count."""

    @property
    def decided(self) -> int:
        """Kept, skipped and failed items."""
        return self.kept + sum(self.reasons.values())

    def of(self, reasons: Mapping[str, str]) -> int:
        """Return the number of items with any of these reasons."""
        return sum(count for reason, count in self.reasons.items() if reason in reasons)

    @property
    def skipped(self) -> int:
        """Items that are skipped."""
        return self.of(SKIPPED)

    @property
    def failed(self) -> int:
        """Items that have failed."""
        return self.of(FAILED)

    def add(self, reason: str, former: str = "") -> None:
        """Count an item: by its reason, empty if it is kept, instead of a former one."""
        if former:
            self.reasons[former] = self.reasons.get(former, 0) - 1
            self.retried += 1
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        else:
            self.kept += 1

    def copy(self) -> Counts:
        """Return counts that change independently."""
        return Counts(self.kept, dict(self.reasons), self.retried)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What all sessions have used so far."""

    received_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """A source as of a commit.

    Attributes
    ----------
    index
        The source's number in the corpus, from 0.
    settings
        The source's `settings()`, as JSON holds them.
    html
        The extractor for pages, which decides about texts as settings do.
    finalised
        Items with lower sequence numbers are decided and committed.
    cursor
        Where listing resumes; None for the beginning. Items that are listed again are recognised
        by their keys.
    kind, first
        What listing does, and the sequence number with which it began to: known keys are passed
        over if their number is not below it.
    complete
        Whether the source is exhausted and every item is decided.
    """

    index: int
    name: str
    settings: Mapping[str, Any]
    html: str = TRAFILATURA
    finalised: int = 0
    cursor: str | None = None
    kind: Pass = "listing"
    first: int = 0
    complete: bool = False
    counts: Counts = field(default_factory=Counts)
    spent: Spent = field(default_factory=Spent)

    @property
    def identity(self) -> str:
        """Identifies the source with its settings: 16 hexadecimal digits."""
        return identity_of(self.name, self.settings, self.html)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON holds it."""
        return {
            "index": self.index,
            "name": self.name,
            "settings": dict(self.settings),
            "html": self.html,
            "finalised": self.finalised,
            "cursor": self.cursor,
            "kind": self.kind,
            "first": self.first,
            "complete": self.complete,
            "kept": self.counts.kept,
            "reasons": {name: count for name, count in self.counts.reasons.items() if count},
            "retried": self.counts.retried,
            "received_bytes": self.spent.received_bytes,
            "seconds": round(self.spent.seconds, 3),
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> SourceState:
        """Return the state that `to_json` encoded.

        Raises
        ------
        ResultsDamaged
            It is not such a state.
        """
        try:
            state = cls(
                index=int(found["index"]),
                name=str(found["name"]),
                settings=dict(found["settings"]),
                html=str(found.get("html", TRAFILATURA)),  # the only one of earlier versions
                finalised=int(found["finalised"]),
                cursor=None if found["cursor"] is None else str(found["cursor"]),
                kind=cast(Pass, str(found["kind"])),
                first=int(found["first"]),
                complete=bool(found["complete"]),
                counts=Counts(
                    int(found["kept"]),
                    {str(name): int(count) for name, count in found["reasons"].items()},
                    int(found["retried"]),
                ),
                spent=Spent(
                    received_bytes=int(found["received_bytes"]), seconds=float(found["seconds"])
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ResultsDamaged(f"the ledger's state of a source is damaged: {error}") from error
        if state.counts.decided + state.counts.retried != state.finalised:
            raise ResultsDamaged(
                f"the ledger counts {state.counts.decided:,} items of {state.name} as decided, and "
                f"{state.finalised:,} as finalised"
            )
        return state


def settings_of(source: Source) -> dict[str, Any]:
    """Return the settings of a source as JSON holds them.

    Raises
    ------
    UsageError
        JSON cannot hold them, or the source has no name.
    """
    name = getattr(source, "name", None)
    if not isinstance(name, str) or not name:
        raise UsageError(f"the source {type(source).__name__} needs a class attribute 'name'")
    found = source.settings()
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"source {name!r}: settings() must return a mapping of names to values")
    for key, value in found.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"source {name!r}: its setting {key!r} cannot be stored as JSON ({error}); give "
                "such attributes a default on the class, or override settings()"
            ) from error
    return cast(dict[str, Any], json.loads(json.dumps(found)))


def identity_of(name: str, settings: Mapping[str, Any], html: str = TRAFILATURA) -> str:
    """Return the identity of a source, in 16 hexadecimal digits.

    >>> identity_of("urls", {"path": "urls.txt"})
    'cd2df6ed4a4336cf'
    """
    # Without the default, so that it is that of earlier versions.
    extractor = [] if html == TRAFILATURA else [html]
    text = json.dumps([name, dict(settings), *extractor], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def begun(
    index: int, name: str, settings: Mapping[str, Any], html: str = TRAFILATURA
) -> SourceState:
    """Return the state of a source from which nothing is collected yet."""
    return SourceState(index=index, name=name, settings=settings, html=html)


def refreshing(state: SourceState, next_number: int) -> SourceState:
    """Return the state in which a source is listed from the beginning again."""
    return replace(state, kind="refreshing", first=next_number, complete=False)
