"""What is written at the end of a session: the record, and the data card, from the ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import paninifs as pf
from paninifs.engine.collecting.data_card.write_cards import CARD_KEY, CROISSANT_KEY
from paninifs.engine.collecting.describing import RECORDS, EndedSession, describe
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.ledger.ledger_object import Entry, batch_of
from paninifs.engine.collecting.ledger.source_state import Counts, begun, settings_of
from paninifs.engine.collecting.parts.corpus_schema import Row
from paninifs.engine.collecting.parts.part_writer import PartSize, PartWriter
from paninifs.engine.collecting.source import Source
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.storage.targets.open import open_target

BEGAN = datetime(2026, 11, 30, 9, tzinfo=UTC)


class Letters(Source):
    name = "letters"
    homepage = "https://letters.example/"
    licence = "CC-BY-4.0"

    def __init__(self, path):
        self.path = path


def part(*texts):
    writer = PartWriter(PartSize())
    for text in texts:
        writer.add(
            Row(
                id=text,
                text=text,
                title="",
                lang="fr",
                lang_confidence=None,
                source="letters",
                url="",
                licence="CC-BY-4.0",
                retrieved=BEGAN,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                media_type="",
                extra="{}",
            )
        )
    return writer.finish()


def committed(ledger, source, *texts, **reasons):
    """Commit a part of some texts, and items that were not kept."""
    settings = settings_of(source)
    known = [one for one in ledger.state.sources if one.settings == settings]
    state = known[0] if known else begun(len(ledger.state.sources), source.name, settings)
    counts = Counts(state.counts.kept + len(texts), dict(reasons))
    state = replace(state, finalised=counts.decided, counts=counts, complete=not reasons)
    entries = batch_of([Entry(source=state.index, seq=0, key="k", kind="kept")])
    others = [one for one in ledger.state.sources if one.index != state.index]
    sources = sorted([*others, state], key=lambda one: one.index)
    ledger.prepared([entries], sources, part(*texts), len(texts)).write()


def ended(source, began=BEGAN, pending=0, given=""):
    progress = CollectProgress()
    progress.listed(pending + 1)
    progress.decided("kept")
    progress.finished()
    return EndedSession(
        source=source,
        given=given,
        contact="me@example.org",
        limits={"max_items": 9},
        began=began,
        figures=progress.snapshot(),
    )


@pytest.fixture
def target(tmp_path):
    return open_target(tmp_path / "my corpus")


def test_the_card_counts_what_the_ledger_has(target):
    ledger, source = Ledger.open(target), Letters("letters.jsonl")
    committed(ledger, source, "un", "deux", damaged=2)
    describe(target, ledger, ended(source, pending=5, given="letters:x"))
    card = target.get(CARD_KEY).decode()
    assert card.startswith("# my corpus\n")
    assert "| letters | 9 | 2 | 0 | 2 | 5 | not complete |" in card
    assert "paninifs collect letters:x 'my corpus'\n" in card
    document = json.loads(target.get(CROISSANT_KEY))
    assert document["license"] == ["CC-BY-4.0"]
    assert [one["name"] for one in document["distribution"]] == ["part-000000.parquet"]


def test_later_sessions_add_and_other_sources_stay(target, monkeypatch):
    ledger, first, second = Ledger.open(target), Letters("a.jsonl"), Letters("b.jsonl")
    committed(ledger, first, "un", damaged=1)
    describe(target, ledger, ended(first, pending=3, given="letters:a"))
    committed(ledger, second, "deux")
    later = BEGAN + timedelta(days=2)
    read = []
    get = type(target).get
    monkeypatch.setattr(type(target), "get", lambda self, key: read.append(key) or get(self, key))
    describe(target, ledger, ended(second, later))
    assert "part-000000.parquet" not in read
    assert "_collection/ledger/000000.parquet" not in read
    card = target.get(CARD_KEY).decode()
    assert "| letters | 5 | 1 | 0 | 1 | 3 | not complete |" in card
    assert "| letters | 1 | 1 | 0 | 0 | 0 | complete |" in card
    assert "given as letters:a" in card
    assert "begun 2026-11-30, last changed 2026-12-02" in card
    records = sorted(target.sizes(RECORDS))
    assert len(records) == 2
    assert [json.loads(target.get(one))["settings"]["path"] for one in records] == [
        "a.jsonl",
        "b.jsonl",
    ]


def test_what_describes_a_corpus_is_no_part_of_it(target):
    ledger, source = Ledger.open(target), Letters("letters.jsonl")
    committed(ledger, source, "un", "deux")
    describe(target, ledger, ended(source))
    corpus = pf.open_corpus(target.url, id="id")
    assert (len(corpus), corpus.ignored, corpus.notes) == (2, (), ())
    assert Ledger.open(target).state == ledger.state  # a collector finds nothing foreign
