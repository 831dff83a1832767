"""`describe`: writes the record of a session, and the data card, beside a corpus.

The only place where the ledger and `data_card` meet. It is called at the end of a session, however
it ended, while the lease is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from ... import __version__
from ...storage.targets.target import Target
from ..monitoring.collecting.collect_figures import CollectFigures
from ..monitoring.collecting.collect_record import CollectRecord
from .data_card.card_cache import CardCache
from .data_card.card_facts import CardFacts, SourceFacts
from .data_card.write_cards import write_cards
from .extraction.documents.html_pages.html_extractors import TRAFILATURA
from .ledger.collection_keys import part_key
from .ledger.ledger import Ledger
from .ledger.ledger_object import state_of
from .ledger.source_state import SourceState, identity_of, settings_of
from .parts.corpus_schema import SCHEMA
from .source import Source

RECORDS = "_collection/records"
"""Folder of the records, one object for each session."""


@dataclass(frozen=True, kw_only=True)
class EndedSession:
    """A session that has ended.

    Attributes
    ----------
    html
        The extractor for pages.
    given
        How the source was named: ``arxiv:cs.CL``; empty if it was given as an object.
    contact
        An e-mail address or a URL, as sent to servers; may be empty.
    limits
        Limits of the session, by the names of `collect`'s arguments.
    began
        When the session began, in UTC.
    """

    source: Source
    html: str = TRAFILATURA
    given: str
    contact: str
    limits: Mapping[str, Any]
    began: datetime
    figures: CollectFigures


def describe(target: Target, ledger: Ledger, session: EndedSession) -> None:
    """Write the record of a session, and the data card.

    Raises
    ------
    ResultsDamaged
        A part is not the one that was committed.
    """
    _write_record(target, session)
    cache = CardCache.read(target, ledger.identity, session.began.isoformat(timespec="seconds"))
    cache.count(target, ledger.count, lambda number: _part(ledger, number))
    own = identity_of(session.source.name, settings_of(session.source), session.html)
    cache.sources[own] = {
        "given": session.given or cache.sources.get(own, {}).get("given", ""),
        "homepage": session.source.homepage,
        "licence": session.source.licence,
        "pending": session.figures.pending,
    }
    facts = CardFacts(
        name=PurePosixPath(target.url.rstrip("/")).name or "corpus",
        corpus=target.url,
        sources=tuple(_source(one, cache.sources) for one in ledger.state.sources),
        parts=tuple(cache.parts),
        created=datetime.fromisoformat(cache.created),
        modified=session.began + timedelta(seconds=session.figures.elapsed),
        version=__version__,
    )
    write_cards(target, facts, SCHEMA)
    cache.write(target)


def _write_record(target: Target, session: EndedSession) -> None:
    record = CollectRecord.of(
        session.figures,
        contact=session.contact,
        began=session.began,
        source=session.source.name,
        settings=_with_extractor(session.source.settings(), session.html),
        limits=session.limits,
    )
    name = f"{session.began.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"
    target.put(f"{RECORDS}/{name}.json", record.to_json())


def _part(ledger: Ledger, number: int) -> tuple[str, str] | None:
    """Return name and digest of the part that an object of the ledger committed."""
    part = state_of(ledger.data(number), f"{ledger.url}, object {number} of the ledger").part
    return None if part is None else (part_key(part.number), part.sha256)


def _source(state: SourceState, known: Mapping[str, Mapping[str, Any]]) -> SourceFacts:
    own = known.get(state.identity, {})
    return SourceFacts(
        name=state.name,
        given=str(own.get("given", "")),
        homepage=str(own.get("homepage", "")),
        licence=str(own.get("licence", "")),
        settings=_with_extractor(state.settings, state.html),
        html="" if state.html == TRAFILATURA else state.html,
        kept=state.counts.kept,
        reasons=dict(state.counts.reasons),
        pending=0 if state.complete else int(own.get("pending", 0)),
        complete=state.complete,
    )


def _with_extractor(settings: Mapping[str, Any], html: str) -> Mapping[str, Any]:
    """Return the settings of a source, with the extractor for pages if it is not the default."""
    return settings if html == TRAFILATURA else {**settings, "html": html}
