"""The data card beside a collected corpus: JSON-LD and Markdown; the record of a session."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.engine.collecting.data_card import part_tally
from paninifs.engine.collecting.data_card.card_cache import CACHE_KEY, CardCache
from paninifs.engine.collecting.data_card.card_facts import CardFacts, SourceFacts
from paninifs.engine.collecting.data_card.card_text import card_text
from paninifs.engine.collecting.data_card.croissant import COLUMNS, croissant
from paninifs.engine.collecting.data_card.part_tally import OTHERS, PartTally
from paninifs.engine.collecting.data_card.write_cards import CARD_KEY, CROISSANT_KEY, write_cards
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.engine.monitoring.collecting.collect_record import CollectRecord, public_settings
from paninifs.engine.monitoring.collecting.host_activity import HostActivity
from paninifs.storage.errors import ResultsDamaged
from paninifs.storage.targets.open import open_target

SCHEMA = pa.schema(
    [(name, pa.string()) for name in COLUMNS if name not in ("lang_confidence", "retrieved")]
    + [("lang_confidence", pa.float32()), ("retrieved", pa.timestamp("us", "UTC"))]
)
BEGAN = datetime(2026, 11, 30, 9, tzinfo=UTC)


def rows(number, count=3):
    """The rows of a part."""
    for each in range(count):
        text = f"Écrit {number}.{each}"
        yield {
            **dict.fromkeys(COLUMNS, ""),
            "id": f"{number}-{each}",
            "text": text,
            "lang": "fr" if each else "en",
            "lang_confidence": None,
            "source": "folder",
            "licence": "" if each else "CC-BY-4.0",
            "retrieved": datetime(2026, 11, 30, 12, number, each, tzinfo=UTC),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "extra": "{}",
        }


def part(number, **columns):
    """A part's bytes, in row groups of two."""
    table = pa.Table.from_pylist([row | columns for row in rows(number)], SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2, compression="zstd")
    return sink.getvalue().to_pybytes()


FOLDER = SourceFacts(
    name="folder",
    given="folder:texts",
    homepage="https://a.example/",
    settings={"path": "texts"},
    kept=6,
    reasons={"duplicate": 2, "not-found": 1},
    pending=4,
)


@pytest.fixture
def corpus(tmp_path):
    """A corpus of two parts, with their names and digests."""
    target = open_target(tmp_path / "corpus")
    parts = []
    for number in range(2):
        name, data = f"part-{number:06d}.parquet", part(number)
        target.put(name, data)
        parts.append((name, hashlib.sha256(data).hexdigest()))
    return target, parts


def facts_of(parts, **others):
    """The facts of a corpus."""
    known = {
        "name": "my corpus",
        "corpus": "gs://bucket/corpus",
        "sources": (FOLDER,),
        "created": BEGAN,
        "modified": BEGAN,
        "version": pf.__version__,
    }
    return CardFacts(**(known | others), parts=tuple(parts))


# --- what is counted ------------------------------------------------------------------------------


def test_a_part_is_counted_from_its_bytes():
    data = part(1)
    found = PartTally.of("part-000001.parquet", data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.nbytes, found.rows, found.text_bytes) == (len(data), 3, 30)
    assert found.languages == {"fr": 2, "en": 1}
    assert found.licences == {"": 2, "CC-BY-4.0": 1}
    assert (found.earliest, found.latest) == (
        "2026-11-30T12:01:00+00:00",
        "2026-11-30T12:01:02+00:00",
    )
    assert PartTally.from_json(json.loads(json.dumps(asdict(found))) | {"later": 1}) == found


def test_rare_values_are_summed_up(monkeypatch):
    monkeypatch.setattr(part_tally, "MOST_VALUES", 2)
    counts = {f"licence {n}": 10 - n for n in range(5)} | {OTHERS: 7}
    found = part_tally.most(part_tally.Counter(counts))
    assert found == {"licence 0": 10, "licence 1": 9, OTHERS: 8 + 7 + 6 + 7}
    assert sum(found.values()) == sum(counts.values())


@pytest.mark.parametrize("data", [b"", b"PAR1", part(0)[:-9]])
def test_a_damaged_part_is_named(data):
    with pytest.raises(ResultsDamaged, match=r"part-7\.parquet is not a part"):
        PartTally.of("part-7.parquet", data)


def test_a_part_is_read_once(corpus, monkeypatch):
    target, parts = corpus
    first = CardCache.read(target, "corpus 1", BEGAN.isoformat())
    first.count(target, 3, [parts[0], None, parts[1]].__getitem__)
    first.sources["a"] = {"homepage": "https://a.example/"}
    first.write(target)
    assert [one.rows for one in first.parts] == [3, 3]
    read = []
    monkeypatch.setattr(PartTally, "of", lambda name, data: read.append(name))
    again = CardCache.read(target, "corpus 1", "later")
    again.count(target, 3, [].__getitem__)
    assert again == first
    assert read == []


@pytest.mark.parametrize("damaged", [b"[]", b"{", b"null", b'{"identity": "corpus 1"}', b"\xff"])
def test_a_cache_that_is_damaged_or_of_another_corpus_is_made_again(corpus, damaged):
    target, parts = corpus
    first = CardCache.read(target, "corpus 1", BEGAN.isoformat())
    first.count(target, 2, parts.__getitem__)
    first.write(target)
    assert CardCache.read(target, "corpus 2", "now") == CardCache("corpus 2", "now")
    target.put(CACHE_KEY, damaged)
    assert CardCache.read(target, "corpus 1", "now") == CardCache("corpus 1", "now")


def test_a_ledger_that_was_restored_is_counted_again(corpus):
    target, parts = corpus
    cache = CardCache.read(target, "corpus 1", "now")
    cache.count(target, 2, parts.__getitem__)
    cache.count(target, 1, parts.__getitem__)
    assert [one.name for one in cache.parts] == ["part-000000.parquet"]


def test_a_part_that_is_not_the_committed_one_is_named(corpus):
    target, parts = corpus
    cache = CardCache.read(target, "corpus 1", "now")
    with pytest.raises(ResultsDamaged, match=r"part-000001\.parquet is not what was written"):
        cache.count(target, 1, lambda _: (parts[1][0], "0" * 64))
    with pytest.raises(ResultsDamaged, match=r"part-000009\.parquet is missing"):
        cache.count(target, 1, lambda _: ("part-000009.parquet", "0" * 64))


def tallies(target, parts):
    """What the parts of a corpus hold."""
    cache = CardCache.read(target, "corpus 1", "now")
    cache.count(target, len(parts), parts.__getitem__)
    return cache.parts


# --- Croissant ------------------------------------------------------------------------------------


def test_the_document_has_what_croissant_1_0_requires(corpus):
    target, parts = corpus
    facts = facts_of(tallies(target, parts))
    write_cards(target, facts, SCHEMA)
    card = json.loads(target.get(CROISSANT_KEY))
    assert card["@type"] == "sc:Dataset"
    assert card["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    needed = {"@context", "name", "description", "license", "url", "citeAs", "datePublished"}
    assert needed <= card.keys()
    assert {"cr", "sc", "dct", "@vocab", "recordSet", "extract"} <= card["@context"].keys()
    assert card["license"] == ["CC-BY-4.0"]
    assert card["inLanguage"] == ["fr", "en"]
    assert card["isLiveDataset"] is True
    for file, (name, digest) in zip(card["distribution"], parts, strict=True):
        assert file["@type"] == "cr:FileObject"
        assert file["sha256"] == digest
        assert file["contentSize"] == f"{len(target.get(name))} B"
        # Paths are relative to the card's folder.
        assert file["contentUrl"] == f"../{name}"


def test_every_column_is_a_field_with_a_type_of_a_part_that_is_there(corpus):
    target, parts = corpus
    card = croissant(facts_of(tallies(target, parts)), SCHEMA)
    files = {one["@id"] for one in card["distribution"]}
    every = [one["@id"] for one in card["recordSet"]] + [*files]
    for records in card["recordSet"]:
        assert [one["source"]["extract"]["column"] for one in records["field"]] == SCHEMA.names
        assert {one["source"]["fileObject"]["@id"] for one in records["field"]} <= files
        types = {one["name"]: one["dataType"] for one in records["field"]}
        assert (types["text"], types["url"]) == ("sc:Text", "sc:URL")
        assert (types["retrieved"], types["lang_confidence"]) == ("sc:DateTime", "sc:Float")
        every += [one["@id"] for one in records["field"]]
    assert len(set(every)) == len(every)


def test_a_corpus_without_parts_or_licences_has_a_card():
    card = croissant(facts_of([], sources=(replace(FOLDER, homepage=""),)), SCHEMA)
    assert card["distribution"] == card["recordSet"] == []
    assert "license" not in card
    assert card_text(facts_of([])).startswith("# my corpus\n")


# --- for people -----------------------------------------------------------------------------------


def test_the_card_has_counts_that_add_up_reasons_and_hashes(corpus):
    target, parts = corpus
    facts = facts_of(tallies(target, parts))
    write_cards(target, facts, SCHEMA)
    card = target.get(CARD_KEY).decode()
    assert FOLDER.listed == 6 + 2 + 1 + 4
    assert "| folder | 13 | 6 | 2 | 1 | 4 | not complete |" in card
    assert "| skipped | duplicate | 2 | its text is already in the corpus |" in card
    assert "| failed | not-found | 1 | its host does not have it |" in card
    assert "| CC-BY-4.0 | 2 |" in card
    assert "| unknown | 4 |" in card
    assert all(digest in card for _, digest in parts)
    assert "paninifs collect folder:texts gs://bucket/corpus\n" in card
    printed = "".join(f"{digest}  {name}\n" for name, digest in parts)
    assert hashlib.sha256(printed.encode()).hexdigest() in card


def test_what_sources_say_can_neither_format_the_card_nor_run_a_command():
    evil = "x | y <script>alert(1)</script> [link](https://evil.example) \x1b[2J\n# heading"
    source = replace(
        FOLDER, name=evil, given="folder:a; rm -rf b`c`", settings={evil: evil}, homepage=evil
    )
    tally = replace(PartTally.of("part-000000.parquet", part(0)), licences={evil: 1})
    card = card_text(facts_of([tally], name=evil, sources=(source,)))
    assert "<script>" not in card
    assert "\x1b" not in card
    assert not re.search(r"(?<!\\)\[link", card)
    assert len(re.findall(r"^# ", card, re.MULTILINE)) == 1
    assert "paninifs collect 'folder:a; rm -rf b`c`' gs://bucket/corpus\n" in card


def test_secrets_are_in_no_card():
    source = replace(
        FOLDER,
        given="https://me:hunter2@a.example/list.csv?token=hunter2",
        settings={"api_key": "hunter2", "headers": {"Authorization": "hunter2"}, "n": 3},
    )
    card = card_text(facts_of([], sources=(source,), corpus="https://me:hunter2@b.example/c"))
    assert "hunter2" not in card
    assert "n = 3" in card
    assert public_settings({"tokens": [], "key": "", "many": ["https://u:hunter2@h/"]}) == {
        "tokens": [],
        "key": "",
        "many": ["https://h/"],
    }


def test_cards_are_no_part_of_the_corpus(corpus):
    target, parts = corpus
    before = pf.open_corpus(target.url)
    write_cards(target, facts_of(tallies(target, parts)), SCHEMA)
    after = pf.open_corpus(target.url)
    assert len(before) == len(after) == 6
    assert [one.name for one in after.files] == [name for name, _ in parts]
    assert after.ignored == ()


# --- the record -----------------------------------------------------------------------------------


def test_the_record_of_a_session_has_who_when_what_and_no_secret():
    progress = CollectProgress()
    progress.listed(4)
    progress.decided("kept")
    progress.decided("failed", "busy")
    host = HostActivity(host="a.example", requests=3, last_error="503 https://u:hunter2@a/")
    progress.hosts({"a.example": host})
    progress.finished("stopped", "Ctrl-C")
    record = CollectRecord.of(
        progress.snapshot(),
        contact="me@example.org",
        began=BEGAN,
        source="arxiv",
        settings={"set": "cs", "password": "hunter2"},
        limits={"most_items": 4},
    )
    known = json.loads(record.to_json())
    assert known["contact"] == "me@example.org"
    assert known["began"] == "2026-11-30T09:00:00+00:00"
    assert known["how"] == "stopped"
    assert known["counts"] == {"listed": 4, "kept": 1, "skipped": 0, "failed": 1, "pending": 2}
    assert known["versions"]["paninifs"] == pf.__version__
    assert "aiohttp" in known["versions"]
    assert "hunter2" not in record.to_json().decode()


def test_the_sentences_of_a_card_are_whole_and_count_one_text():
    one = PartTally(name="part-000000.parquet", sha256="0" * 64, nbytes=9, rows=1, text_bytes=5)
    one = replace(
        one, licences={"": 1}, earliest="2026-11-30T01:00:00", latest="2026-11-30T23:00:00"
    )
    begun = replace(FOLDER, complete=False)
    text = card_text(facts_of([one], sources=(begun,)))
    assert "1 text, 5 bytes of UTF-8, collected from folder, retrieved on 2026-11-30. " in text
    assert "The licence of 1 text is not known. The collection is not complete.\n" in text
