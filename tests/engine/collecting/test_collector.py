"""The collector: rows and their order, resumption, duplicates, limits, growth."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collecting import MemoryWeb, Pages, collected, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.engine.collecting.collect_limits import Limits
from paninifs.engine.collecting.extraction.extracted import Extracted
from paninifs.engine.collecting.ledger import database_schema
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.ledger.retrying import failures
from paninifs.engine.collecting.ledger.source_state import SourceState, begun, identity_of
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.parts.part_writer import PartSize
from paninifs.engine.collecting.pipeline.row_columns import Received, stored_text
from paninifs.engine.collecting.pipeline.session import Pace
from paninifs.engine.collecting.source import Source
from paninifs.storage.errors import ResultsDamaged, RunFailed, UsageError
from paninifs.storage.targets.open import open_target


def test_a_source_becomes_rows_in_its_order(tmp_path):
    corpus, web = tmp_path / "corpus", MemoryWeb()
    flow = collected(Pages(100), corpus, tmp_path / "cache", web)
    assert flow.ending == "finished"
    state = Ledger.read(open_target(corpus)).state.sources[0]
    assert state.complete
    assert state.finalised == 100
    found = rows(open_target(corpus))
    numbers = [int(row["id"].split("-")[1]) for row in found]
    assert numbers == sorted(numbers)
    expected = [
        n for n in range(100) if n % 11 != 3 and n % 13 != 5 and not (n % 7 == 2 and n != 1)
    ]
    assert numbers == expected
    assert max(web.asked.values()) == 1
    assert found[0]["source"] == "pages"
    assert found[0]["licence"] == "CC0-1.0"


def counts(corpus):
    return Ledger.read(corpus).state.sources[0].counts


def test_a_repeated_collection_asks_for_nothing_and_a_grown_source_is_appended(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    collected(Pages(50), "", tmp_path / "cache", web, target=corpus)
    asked, before = sum(web.asked.values()), rows(corpus)
    flow = collected(Pages(50), "", tmp_path / "cache", web, target=corpus)
    assert flow.ending == "finished"
    assert sum(web.asked.values()) == asked
    collected(Pages(80), "", tmp_path / "cache", web, target=corpus)
    assert max(web.asked.values()) == 1
    assert rows(corpus)[: len(before)] == before
    whole = open_target(tmp_path / "whole")
    collected(Pages(80), "", tmp_path / "other", target=whole)
    assert rows(corpus) == rows(whole)


def test_keys_that_a_source_repeats_are_passed_over(tmp_path):
    class Again(Pages):
        async def pages(self, web, cursor):
            async for page in super().pages(web, None):  # listed from the beginning every time
                yield page

    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    for count in (20, 30, 30):
        collected(Again(count), "", tmp_path / "cache", web, target=corpus)
    assert counts(corpus).decided == 30
    assert max(web.asked.values()) == 1


@settings(max_examples=8, deadline=None)
@given(delays=st.lists(st.sampled_from([0, 0, 0.001, 0.01]), min_size=30, max_size=30))
def test_rows_do_not_depend_on_the_order_in_which_answers_come(delays):
    with TemporaryDirectory() as folder:
        corpus = open_target(f"{folder}/corpus")
        pace = Pace(size=PartSize(part_rows=8), most_entries=1000)
        web = MemoryWeb(delay=delays.__getitem__)
        collected(Pages(30), "", f"{folder}/cache", web, target=corpus, pace=pace)
        parts = {key: pq.read_table(pa.BufferReader(corpus.get(key))) for key in PARTS}
        expected = [n for n in range(30) if n % 11 != 3 and n % 13 != 5 and (n % 7 != 2)]
        found = [[int(one.split("-")[1]) for one in t["id"].to_pylist()] for t in parts.values()]
        assert found == [expected[:8], expected[8:16], expected[16:]]


PARTS = ("part-000000.parquet", "part-000001.parquet", "part-000002.parquet")


def test_failures_that_may_be_gone_are_tried_again(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    web.broken = {4, 8, 10}
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus)
    assert counts(corpus).reasons["busy"] == 3
    web.broken = {8}
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus)
    assert counts(corpus).reasons["busy"] == 3
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus, retry_failed=True)
    now = counts(corpus)
    assert (now.reasons["busy"], now.retried, now.decided) == (1, 3, 20)
    assert [row["id"] for row in rows(corpus)][-2:] == ["page-4", "page-10"]
    assert rows(corpus)[-1]["title"] == "Page 10"
    assert [entry["key"] for entry in failures(Ledger.read(corpus))][-1:] == ["page-8"]


def test_items_of_a_host_that_is_allowed_now_are_tried_again(tmp_path):
    corpus, web, answer = open_target(tmp_path / "corpus"), MemoryWeb(), MemoryWeb().answer

    def refused(url, number, validators):
        raise NotKept("private-address", "host0.test is 127.0.0.1")

    web.answer = refused
    collected(Pages(2), "", tmp_path / "cache", web, target=corpus)
    assert counts(corpus).reasons == {"private-address": 2}
    web.answer = answer
    collected(Pages(2), "", tmp_path / "cache", web, target=corpus, retry_failed=True)
    assert counts(corpus).kept == 2


def test_what_has_changed_is_appended_and_the_rest_is_not_sent_again(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus)
    before = rows(corpus)
    web.version = " in its second edition"  # every fifth page
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus, refresh=True)
    changed = rows(corpus)[len(before) :]
    assert [row["id"] for row in changed] == ["page-0", "page-10", "page-15"]
    assert counts(corpus).reasons["unchanged"] > 5
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus)
    assert len(rows(corpus)) == len(before) + 3


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(items=23), "23 items are listed"),
        (Limits(received_bytes=2000), "2,000 bytes are received"),
        (Limits(seconds=0.4), "0.4 s have passed"),
        (Limits(dollars=0.001, dollars_per_hour=9), "0.00 dollars are spent"),
    ],
)
def test_limits_end_a_collection_which_can_be_resumed(tmp_path, limits, why):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb(delay=lambda number: 0.1)
    flow = collected(Pages(60), "", tmp_path / "cache", web, target=corpus, limits=limits)
    assert (flow.ending, flow.why) == ("limited", why)
    assert counts(corpus).decided < 60
    assert counts(corpus).decided == 23 or limits.items is None
    assert json.loads(corpus.get("_collection/state.json"))["complete"] is False
    web.delay = lambda number: 0
    collected(Pages(60), "", tmp_path / "cache", web, target=corpus)
    whole = open_target(tmp_path / "whole")
    collected(Pages(60), "", tmp_path / "other", target=whole)
    assert rows(corpus) == rows(whole)
    assert max(web.asked.values()) == 1
    assert json.loads(corpus.get("_collection/state.json"))["complete"] is True


def test_the_language_that_a_document_declares_is_not_lost():
    item, found = Item(key="a"), Extracted(text="ἄειδε θεά", lang="grc", media_type="text/plain")
    made = [
        stored_text(item, found, Received.here(), "", lambda text, code=code: (code, 0.9))
        for code in ("el", "")
    ]
    columns = [json.loads(one.columns) for one in made]
    assert [one["lang"] for one in columns] == ["el", "grc"]
    assert [json.loads(one["extra"]) for one in columns] == [{"declared_lang": "grc"}, {}]


def test_one_host_does_not_keep_others_waiting(tmp_path):
    class Uneven(Pages):
        def item(self, number):
            host = "slow" if number < 5000 else f"host{number % 7}"
            return replace(super().item(number), url=f"http://{host}.test/{number}")

    web = MemoryWeb(delay=lambda number: 3600 if number < 5000 else 0)
    limits = Limits(seconds=3)
    collected(
        Uneven(5100, page=1000),
        tmp_path / "corpus",
        tmp_path / "cache",
        web,
        limits=limits,
        pace=Pace(grace=0.1),
    )
    assert sum(int(url.rsplit("/", 1)[1]) >= 5000 for url in web.asked) == 100
    assert web.most_in_the_air["slow.test"] == 2


def test_little_room_on_disk_is_enough(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb(delay=lambda n: 0.001 * (n % 3))
    pace = Pace(most_held=100, most_pending=10)
    collected(Pages(60), "", tmp_path / "cache", web, target=corpus, pace=pace)
    assert counts(corpus).decided == 60
    assert max(web.asked.values()) == 1


def test_settings_of_a_source_cannot_change_unless_it_is_added(tmp_path):
    corpus = open_target(tmp_path / "corpus")
    collected(Pages(10, hosts=3), "", tmp_path / "cache", target=corpus)
    with pytest.raises(UsageError, match="pages with other settings: hosts=3, now 2"):
        collected(Pages(10, hosts=2), "", tmp_path / "cache", target=corpus)
    collected(Pages(10, hosts=2), "", tmp_path / "cache", target=corpus, append=True)
    assert [one.finalised for one in Ledger.read(corpus).state.sources] == [10, 10]
    assert len(rows(corpus)) == len({row["text"] for row in rows(corpus)})


def test_a_collection_goes_on_with_the_same_extractor_for_pages(tmp_path):
    corpus = open_target(tmp_path / "corpus")
    collected(Pages(10), "", tmp_path / "cache", target=corpus, html="resiliparse")
    with pytest.raises(UsageError, match="other settings: html='resiliparse', now 'trafilatura'"):
        collected(Pages(20), "", tmp_path / "cache", target=corpus)
    collected(Pages(20), "", tmp_path / "cache", target=corpus, html="resiliparse")
    collected(Pages(20), "", tmp_path / "cache", target=corpus, append=True)
    sources = Ledger.read(corpus).state.sources
    assert [(one.html, one.finalised) for one in sources] == [
        ("resiliparse", 20),
        ("trafilatura", 20),
    ]


def test_a_ledger_that_names_no_extractor_is_of_the_default(tmp_path):
    state = begun(0, "pages", {"hosts": 3})
    former = {name: value for name, value in state.to_json().items() if name != "html"}
    assert SourceState.of_json(former) == state
    assert state.identity == identity_of("pages", {"hosts": 3})


@pytest.mark.parametrize("html", ["trafilatura", "resiliparse"])
def test_a_source_that_could_not_be_listed_gives_its_place_to_the_next(tmp_path, html):
    class Unlisted(Pages):
        name = "unlisted"

        async def pages(self, web, cursor):
            raise UsageError("no such list")
            yield

    corpus = open_target(tmp_path / "corpus")
    for hosts in (1, 2):
        with pytest.raises(UsageError, match="no such list"):
            collected(Unlisted(10, hosts=hosts), "", tmp_path / "cache", target=corpus, html=html)
    collected(Pages(10, hosts=3), "", tmp_path / "cache", target=corpus)
    with pytest.raises(UsageError, match="no such list"):
        collected(Unlisted(10), "", tmp_path / "cache", target=corpus)
    assert [one.settings for one in Ledger.read(corpus).state.sources] == [{"hosts": 3}]
    assert json.loads(corpus.get("_collection/state.json"))["complete"] is True
    assert counts(corpus).decided == 10


def test_a_source_that_could_not_be_listed_takes_no_other_along(tmp_path):
    class Unlisted(Pages):
        name = "unlisted"

        async def pages(self, web, cursor):
            raise UsageError("no such list")
            yield

    corpus = open_target(tmp_path / "corpus")
    killed = begun(0, "unlisted", Unlisted(10).settings())  # before it could be taken out
    Ledger.open(corpus).prepared([], [killed], b"", 0).write()
    collected(Pages(10), "", tmp_path / "cache", target=corpus)
    with pytest.raises(UsageError, match="no such list"):
        collected(Unlisted(10), "", tmp_path / "cache", target=corpus)
    assert [one.name for one in Ledger.read(corpus).state.sources] == ["unlisted", "pages"]


def test_another_source_leaves_what_was_fetched_of_the_first(tmp_path, caplog):
    corpus, web, down = open_target(tmp_path / "corpus"), MemoryWeb(), [True]

    def answer(url, number, validators, found=web.answer):
        if number == 2 and down:
            raise OSError("the network is down")
        return found(url, number, validators)

    class Others(Pages):
        name = "others"

    web.answer = answer
    with pytest.raises(RunFailed, match="the network is down"):
        collected(Pages(30), "", tmp_path / "cache", web, target=corpus)
    down.clear()
    before = counts(corpus).decided
    assert sum(web.asked.values()) > before + 1  # the later ones wait for number 2
    collected(Others(4, hosts=1), "", tmp_path / "cache", MemoryWeb(), target=corpus)
    collected(Pages(30), "", tmp_path / "cache", web, target=corpus)
    assert [one.finalised for one in Ledger.read(corpus).state.sources] == [30, 4]
    assert [url for url, count in web.asked.items() if count > 1] == ["http://host2.test/2"]
    assert not caplog.records


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "notes.csv").write_text("a\n")
    with pytest.raises(UsageError, match=r"no collection wrote \(notes.csv\)"):
        collected(Pages(3), tmp_path, tmp_path.parent / "cache")


def test_a_part_that_is_missing_is_named(tmp_path):
    corpus = open_target(tmp_path / "corpus")
    collected(Pages(10), "", tmp_path / "cache", target=corpus)
    corpus.delete(["part-000000.parquet"])
    with pytest.raises(ResultsDamaged, match="part-000000"):
        collected(Pages(10), "", tmp_path / "cache", target=corpus)


@pytest.mark.parametrize("damage", ["removed", "garbage", "torn", "of another corpus"])
def test_the_working_database_is_made_again(tmp_path, damage):
    corpus, web, cache = open_target(tmp_path / "corpus"), MemoryWeb(), tmp_path / "cache"
    collected(Pages(60), "", cache, web, target=corpus, limits=Limits(items=40))
    path = cache / "items.sqlite"
    match damage:
        case "removed":
            path.unlink()
        case "garbage":
            path.write_bytes(b"no database" * 1000)
        case "torn":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "of another corpus":
            collected(Pages(20), tmp_path / "another", cache)
    collected(Pages(60), "", cache, web, target=corpus)
    whole = open_target(tmp_path / "whole")
    collected(Pages(60), "", tmp_path / "other", target=whole)
    assert rows(corpus) == rows(whole)
    assert max(web.asked.values()) == 1  # all of the 40 were in the ledger


def test_a_corpus_in_memory(tmp_path):
    corpus = open_target(f"memory://{tmp_path.name}")
    collected(Pages(30), "", tmp_path / "cache", target=corpus)
    corpus.delete(corpus.sizes())  # begun again, with a database that knows the former one
    collected(Pages(30), "", tmp_path / "cache", target=corpus)
    assert counts(corpus).decided == 30
    assert len(rows(corpus)) == counts(corpus).kept


def test_a_source_that_fails_keeps_what_came(tmp_path):
    class Failing(Pages):
        async def pages(self, web, cursor):
            async for page in super().pages(web, cursor):
                yield page
                if page.cursor == "14" and not self.mended:
                    raise KeyError("resumptionToken")

        mended = False

    corpus = open_target(tmp_path / "corpus")
    with pytest.raises(RunFailed, match="KeyError: 'resumptionToken'; collect again"):
        collected(Failing(30), "", tmp_path / "cache", target=corpus)
    assert counts(corpus).decided == 14
    Failing.mended = True
    collected(Failing(30), "", tmp_path / "cache", target=corpus)
    assert counts(corpus).decided == 30


def test_garbled_items_fail_and_the_rest_is_kept(tmp_path):
    items = (
        Item(key="fine", text="a text", lang="en"),
        Item(key="empty", text=" \n"),
        Item(key="nothing"),
        Item(key="surrogate", text="\udcff"),
        Item(key="refused", refusal=("deleted", "2020")),
        Item(key="unknown", refusal=("because", "")),
        Item(key="typed", text=7),
        Item(key="same", text="a text"),
        Item(key="content", content=b"some content", media_type="text/plain"),
    )

    class Garbled(Source):
        name = "garbled"

        async def pages(self, web, cursor):
            if cursor is None:
                yield Page(items=items, cursor="1")

    corpus = open_target(tmp_path / "corpus")
    collected(Garbled(), "", tmp_path / "cache", target=corpus)
    assert [row["id"] for row in rows(corpus)] == ["fine", "content"]
    assert counts(corpus).reasons == {
        "no-text": 1,
        "bad-record": 3,
        "unreadable": 1,
        "deleted": 1,
        "duplicate": 1,
    }


def test_a_source_cuts_extracted_texts_and_not_its_own(tmp_path):
    class Notices(Source):
        name = "notices"

        def __init__(self):
            self.threads = set()

        def settings(self):
            return {}

        async def pages(self, web, cursor):
            if cursor is None:
                items = (
                    Item(key="text", text="a text: of the source"),
                    Item(key="content", content=b"a notice: of ducks", media_type="text/plain"),
                )
                yield Page(items=items, cursor="1")

        def own_text(self, text):
            self.threads.add(threading.current_thread())
            return text.partition(": ")[2]

    corpus, source = open_target(tmp_path / "corpus"), Notices()
    collected(source, "", tmp_path / "cache", target=corpus)
    assert [row["text"] for row in rows(corpus)] == ["a text: of the source", "of ducks"]
    assert threading.main_thread() not in source.threads  # the event loop's, here


def test_a_second_source_leaves_what_came_of_the_first(tmp_path):
    class Other(Pages):
        name = "other"

    corpus, cache, web = open_target(tmp_path / "corpus"), tmp_path / "cache", MemoryWeb()
    web.delay = lambda number: 3600 if number == 0 else 0  # so nothing is decided
    pace = Pace(grace=0.1)
    limits = Limits(seconds=1)
    collected(Pages(60), "", cache, web, target=corpus, limits=limits, pace=pace)
    assert counts(corpus).decided == 0
    collected(Other(5), "", cache, target=corpus)
    web.delay = lambda number: 0
    collected(Pages(60), "", cache, web, target=corpus)
    assert [one.finalised for one in Ledger.read(corpus).state.sources] == [60, 5]
    assert sorted(web.asked.values())[-2:] == [1, 2]  # the one that was in the air


def test_a_limit_of_items_is_for_each_time_that_a_source_is_listed(tmp_path):
    corpus, cache, web = open_target(tmp_path / "corpus"), tmp_path / "cache", MemoryWeb()
    collected(Pages(60), "", cache, web, target=corpus, limits=Limits(items=20))
    flow = collected(Pages(60), "", cache, web, target=corpus, limits=Limits(items=20))
    assert (flow.ending, len(web.asked)) == ("limited", 20)
    collected(Pages(60), "", cache, web, target=corpus, limits=Limits(items=20), refresh=True)
    assert counts(corpus).decided == 40
    assert counts(corpus).reasons["unchanged"] > 10


def test_many_hosts_are_asked_in_turn(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb(delay=lambda number: 0.02)
    web.text = lambda number: "x" * 100
    source, limits = Pages(2000, hosts=100, page=2000), Limits(received_bytes=40_000)
    pace = Pace(at_once=20)
    collected(source, "", tmp_path / "cache", web, target=corpus, limits=limits, pace=pace)
    asked = Counter(url.split("/")[2] for url in web.asked)
    assert 3 <= min(asked.values()) <= max(asked.values()) <= 6
    assert len(asked) == 100


def test_texts_do_not_stay_in_the_working_database(tmp_path, monkeypatch):
    monkeypatch.setattr(database_schema, "_WORTH_MAKING_SMALL", 1 << 20)

    class Long(MemoryWeb):
        def text(self, number):
            return f"The text of page {number}. " * 4000

    collected(Pages(60), tmp_path / "corpus", tmp_path / "cache", Long())
    assert (tmp_path / "cache/items.sqlite").stat().st_size < 200_000
