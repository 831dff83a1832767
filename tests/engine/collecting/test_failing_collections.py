"""Collections that fail or are interrupted: what is raised, shown and written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import threading
import time

import pytest
from collecting import InlinePool, MemoryWeb, Pages, collected, toolbox
from web_server import Fault, WebServer

from paninifs.engine.collecting import collect as collect_module
from paninifs.engine.collecting.collect import collect
from paninifs.engine.collecting.collect_limits import Limits
from paninifs.engine.collecting.collector import Collector, CollectSpec
from paninifs.engine.collecting.ledger.database_thread import DatabaseDamaged, DatabaseThread
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.pipeline.own_loop import Abandoned, run_in_thread
from paninifs.engine.collecting.pipeline.session import Pace
from paninifs.engine.collecting.source import Source
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.engine.monitoring.collecting.host_activity import HostActivity
from paninifs.storage.errors import LeaseLost, RunFailed
from paninifs.storage.targets.open import open_target


def run(corpus, cache, progress=None, connect=DatabaseThread, web=None, hosts=None, **spec):
    spec = {"source": Pages(40), **spec}
    tools = toolbox(web or MemoryWeb(), hosts=hosts)
    collector = Collector(
        CollectSpec(target=corpus, folder=cache, **spec),
        tools,
        progress or CollectProgress(),
        connect=connect,
    )
    return asyncio.run(collector.run())


class Broken(Source):
    name = "broken"

    async def pages(self, web, cursor):
        yield Page(items=(Item(key="a", text="a text", lang="en"),), cursor="1")
        raise KeyError("resumptionToken")


def test_a_failure_is_not_hidden_by_that_of_the_data_card(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the card")

    monkeypatch.setattr(collect_module, "describe", fail)
    with pytest.raises(RunFailed, match="resumptionToken"):
        collect(Broken(), tmp_path / "corpus", progress=False, cache=tmp_path / "cache")


def test_limits_that_cannot_be_watched_end_the_collection(tmp_path):
    def hosts():
        raise KeyError("figures")

    web = MemoryWeb(delay=lambda number: 0.1)
    with pytest.raises(RunFailed, match="figures"):
        run(open_target(tmp_path / "corpus"), tmp_path / "cache", web=web, hosts=hosts)


def test_the_last_figures_of_hosts_are_shown(tmp_path):
    progress = CollectProgress()
    run(
        open_target(tmp_path / "corpus"),
        tmp_path / "cache",
        progress,
        hosts=lambda: {"host0.test": HostActivity(host="host0.test", requests=14)},
    )
    assert [host.requests for host in progress.snapshot().hosts] == [14]


def test_former_sessions_count_towards_the_time_that_is_left(tmp_path):
    class Resumed(CollectProgress):
        def resumed(self, **before):
            self.before = before
            super().resumed(**before)

    corpus, progress = open_target(tmp_path / "corpus"), Resumed()
    run(corpus, tmp_path / "cache", source=Pages(10))
    spent = Ledger.read(corpus).state.sources[0].spent
    run(corpus, tmp_path / "cache", progress, source=Pages(20))
    assert progress.before["received"] == spent.received_bytes > 0
    assert progress.before["seconds"] == pytest.approx(spent.seconds, abs=0.001)


class TornOnce(DatabaseThread):
    left = 25

    def _transact(self, connection, calls):
        TornOnce.left -= 1
        if TornOnce.left == 0:
            self._settle(calls, DatabaseDamaged("items.sqlite is damaged"))
        else:
            super()._transact(connection, calls)


def test_items_are_counted_once_though_the_database_is_made_again(tmp_path):
    corpus, progress = open_target(tmp_path / "corpus"), CollectProgress()
    run(corpus, tmp_path / "cache", source=Pages(20))
    TornOnce.left = 25
    run(corpus, tmp_path / "cache", progress, TornOnce, source=Pages(60))
    assert TornOnce.left < 0
    now, counts = progress.snapshot(), Ledger.read(corpus).state.sources[0].counts
    assert (now.listed, now.kept, now.decided) == (60, counts.kept, 60)


def test_a_commit_that_fails_is_raised_even_at_the_end(tmp_path):
    corpus = open_target(tmp_path / "corpus")

    class Full:
        def __getattr__(self, name):
            return getattr(corpus, name)

        def put_all(self, *steps):
            if any(key.startswith("part-") for step in steps for key in step):
                raise OSError("quota exceeded")
            corpus.put_all(*steps)

    web = MemoryWeb(delay=lambda number: 0.05)
    with pytest.raises(RunFailed, match=r"quota exceeded; collect again"):
        run(Full(), tmp_path / "cache", web=web, limits=Limits(seconds=0.3))
    state = json.loads(corpus.get("_collection/state.json"))
    assert (state["ended"], state["complete"]) == ("failed", False)
    assert collected(Pages(40), "", tmp_path / "cache", web, target=corpus).ending == "finished"
    assert max(web.asked.values()) == 1


def test_interrupted_twice_it_is_cut_off():
    class Endless:
        ended = threading.Event()

        def interrupt(self):
            pass

        async def run(self):
            try:
                await asyncio.sleep(3600)
            finally:
                self.ended.set()

    timers = [
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in (0.2, 0.6)
    ]
    for timer in timers:
        timer.start()
    with pytest.raises(Abandoned):
        run_in_thread(Endless())
    assert Endless.ended.is_set()


def test_a_page_that_is_stored_is_counted_though_listing_is_stopped(tmp_path):
    class SlowToStore(DatabaseThread):
        def _transact(self, connection, calls):
            if any("_add_page" in str(call.work) for call in calls):
                stopping.append(progress.snapshot().listed)
                if len(stopping) == 2:
                    time.sleep(0.6)
            super()._transact(connection, calls)

    stopping, progress = [], CollectProgress()
    corpus = open_target(tmp_path / "corpus")
    run(corpus, tmp_path / "cache", progress, SlowToStore, limits=Limits(seconds=0.3))
    now = progress.snapshot()
    assert len(stopping) == 2
    assert now.listed == 14
    assert now.pending == 14 - Ledger.read(corpus).state.sources[0].finalised


def test_what_came_of_refused_answers_counts_towards_limits(tmp_path):
    class Endless(Source):
        name = "endless"

        async def pages(self, web, cursor):
            urls = [f"http://127.0.0.1:{server.port}/pages/{n}.txt" for n in range(60)]
            yield Page(items=tuple(Item(key=url, url=url) for url in urls), cursor="1")

    with WebServer(faults=(Fault(kind="endless", attempts=()),)) as server:
        found = collect(
            Endless(),
            tmp_path / "corpus",
            rate=1000,
            allow_hosts=["127.0.0.1"],
            max_bytes=400_000,
            most_document_bytes=20_000,
            processes=1,
            progress=False,
            cache=tmp_path / "cache",
        )
    assert found.counts["too-large"] < 60
    assert found.figures.state == "limited"


def test_a_disk_that_fails_does_not_leave_callers_waiting(tmp_path):
    class FailingDisk:
        in_transaction = True

        def execute(self, statement):
            raise sqlite3.OperationalError(f"disk I/O error: {statement}")

    class Failing(DatabaseThread):
        def _transact(self, connection, calls):
            super()._transact(FailingDisk(), calls)

    async def ask():
        database = Failing(tmp_path / "items.sqlite")
        async with asyncio.timeout(5):
            await database.call(lambda connection: None)

    with pytest.raises(sqlite3.OperationalError, match="BEGIN"):
        asyncio.run(ask())


def test_a_collector_whose_lease_is_lost_writes_nothing_more(tmp_path):
    class Ticket:
        left = 2

        def check(self, target):
            self.left -= 1
            if self.left < 0:
                raise LeaseLost("another driver owns it")

    corpus = open_target(tmp_path / "corpus")
    spec = CollectSpec(
        source=Pages(60), target=corpus, folder=tmp_path / "cache", pace=Pace(most_entries=20)
    )
    collector = Collector(spec, toolbox(MemoryWeb()), CollectProgress(), (Ticket(), corpus))
    with pytest.raises(LeaseLost):
        asyncio.run(collector.run())
    assert Ledger.read(corpus).state.sources[0].finalised == 40
    assert json.loads(corpus.get("_collection/state.json"))["ended"] is None


def test_a_limit_of_time_does_not_wait_for_all_that_was_fetched(tmp_path):
    class SlowPool(InlinePool):
        async def extract(self, content, **facts):
            await asyncio.sleep(0.05)
            return await super().extract(content, **facts)

    corpus = open_target(tmp_path / "corpus")
    spec = CollectSpec(
        source=Pages(100),
        target=corpus,
        folder=tmp_path / "cache",
        limits=Limits(seconds=0.7),
        pace=Pace(extracting=1),
    )
    tools = toolbox(MemoryWeb(), SlowPool())
    flow = asyncio.run(Collector(spec, tools, CollectProgress()).run())
    assert flow.ending == "limited"
    assert flow.decided < 60
