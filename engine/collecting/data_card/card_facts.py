"""`CardFacts`: the contents of a data card, as plain values that the collector fills in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..outcome import SKIPPED
from .part_tally import PartTally, most


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """A source of the corpus, and the outcomes of its items."""

    name: str
    """Its short name, the rows' ``source``."""
    given: str = ""
    """How it was named in the command: ``arxiv:cs.CL``; empty if it was given as an object."""
    homepage: str = ""
    licence: str = ""
    """The licence of items that give none of their own; empty if unknown."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """As `Source.settings` returns them; secrets are removed when they are written."""
    html: str = ""
    """The extractor for pages; empty if it is the default."""
    kept: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Skipped and failed items, by reason."""
    pending: int = 0
    """Number of listed items that are not decided yet."""
    complete: bool = False
    """Whether its listing is complete and no item is pending."""

    @property
    def listed(self) -> int:
        """Items that were listed: all that were kept, skipped, have failed, or are pending."""
        return self.kept + self.skipped + self.failed + self.pending

    @property
    def skipped(self) -> int:
        """Items that were skipped, for whatever reason."""
        return sum(count for reason, count in self.reasons.items() if reason in SKIPPED)

    @property
    def failed(self) -> int:
        """Items that have failed, for whatever reason."""
        return sum(count for reason, count in self.reasons.items() if reason not in SKIPPED)


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """A corpus and its collection, at one moment."""

    name: str
    """A name for people: the corpus's folder."""
    corpus: str
    """Path or URL of the corpus, as the command was given it, without secrets."""
    sources: tuple[SourceFacts, ...]
    parts: tuple[PartTally, ...]
    """In the order of their names, which is that of the rows."""
    created: datetime
    """When the collection began; UTC, likewise `modified`."""
    modified: datetime
    """When the last part was committed."""
    version: str
    """Version of PaniniFS."""

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(one.rows for one in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(one.nbytes for one in self.parts)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return sum(one.text_bytes for one in self.parts)

    @property
    def licences(self) -> Mapping[str, int]:
        """Rows by licence, the most frequent first; an empty name counts those without one."""
        return self._summed("licences")

    @property
    def languages(self) -> Mapping[str, int]:
        """Rows by language, likewise."""
        return self._summed("languages")

    @property
    def retrieved(self) -> tuple[str, str]:
        """When the first and the last text were retrieved; empty if unknown."""
        return (
            min((one.earliest for one in self.parts if one.earliest), default=""),
            max((one.latest for one in self.parts), default=""),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what ``sha256sum part-*.parquet`` prints: identifies the corpus's bytes."""
        lines = "".join(f"{one.sha256}  {one.name}\n" for one in self.parts)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether every source is complete."""
        return all(one.complete for one in self.sources)

    def _summed(self, name: str) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(getattr(part, name))
        return most(total)
