"""`collect` as users call it: with a lease, connections, processes, and the corpus read."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace

import pytest
from collecting_attempt import ServedPages
from paths import SUPPORT
from stamped_server import most_within, stamped_server
from web_server import WebServer

import paninifs as pf
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.storage.errors import LeaseHeld, UsageError
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.open import open_target


class Texts(pf.Source):
    """Lists texts, slowly if asked to."""

    name = "texts"

    def __init__(self, count, pause=0.0):
        self.count, self.pause = count, pause

    def settings(self):
        return {}

    async def pages(self, web, cursor):
        for number in range(int(cursor or 0), self.count):
            await asyncio.sleep(self.pause)
            item = pf.Item(key=str(number), text=f"text number {number}", lang="en")
            yield pf.Page(items=(item,), cursor=str(number + 1), total=self.count)


def gathered(count, corpus, **options):
    pause = options.pop("pause", 0.0)
    return pf.collect(
        Texts(count, pause), corpus, progress=False, cache=corpus.parent / "cache", **options
    )


def test_a_corpus_is_read_and_grows(tmp_path):
    corpus = tmp_path / "corpus"
    first = gathered(30, corpus)
    assert (first.counts["kept"], first.complete) == (30, True)
    assert repr(first) == f"<Collection {str(corpus)!r}: 30 of 30 items: 30 kept>"
    opened = pf.open_corpus(corpus)
    assert len(opened.frame) == 30
    again = gathered(45, corpus)
    assert again.parts == ["part-000000.parquet", "part-000001.parquet"]
    assert len(pf.open_corpus(corpus).frame) == 45
    assert again.failed().empty


def test_two_collectors_do_not_write_one_corpus(tmp_path):
    corpus = tmp_path / "corpus"
    gathered(3, corpus)
    with Lease.acquire(open_target(corpus / "_collection")), pytest.raises(LeaseHeld):
        gathered(3, corpus)
    assert gathered(4, corpus).counts["kept"] == 4


def test_it_can_be_called_while_a_loop_runs(tmp_path):
    async def notebook():
        return gathered(3, tmp_path / "corpus")

    assert asyncio.run(notebook()).counts["kept"] == 3


def test_ctrl_c_keeps_what_came(tmp_path):
    corpus = tmp_path / "corpus"

    def press():
        while not (corpus / "_collection/state.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        gathered(10_000, corpus, pause=0.01)
    kept = Ledger.read(open_target(corpus)).state.rows
    assert 0 < kept < 10_000
    assert gathered(kept + 1, corpus).counts["kept"] == kept + 1


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(UsageError, match="max_items must be a positive whole number, not 0"):
        gathered(3, tmp_path / "corpus", max_items=0)
    with pytest.raises(UsageError, match=r"needs a price.*--dollars-per-hour"):
        gathered(3, tmp_path / "corpus", max_dollars=3)
    with pytest.raises(UsageError, match="rate must be a positive number, not 'fast'"):
        gathered(3, tmp_path / "corpus", rate="fast")
    (tmp_path / "mine").mkdir()
    for name in "edcba":
        (tmp_path / "mine" / f"{name}.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"\(a\.txt, b\.txt, c\.txt and 2 more\)"):
        gathered(3, tmp_path / "mine")
    assert len(list((tmp_path / "mine").iterdir())) == 5


class Nameless(pf.Source):
    async def pages(self, web, cursor):
        yield pf.Page(items=(), cursor="end")


class Own(pf.Source):
    """A source as users write them at first."""

    name = "own"


async def returns(self, web, cursor):
    return [pf.Page(items=(), cursor="end")]


def yields(self, web, cursor):
    yield pf.Page(items=(), cursor="end")


def yielding(one):
    async def pages(self, web, cursor):
        yield one

    return pages


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        (returns, "Own.pages must be an async generator"),
        (yields, "Own.pages must be an async generator"),
        (yielding([]), r"yielded \[\]: not a Page"),
        (yielding(pf.Page(items=(), cursor=1)), "with cursor 1; it must be a text"),
        (yielding(pf.Page(items=("x",), cursor="1")), "listed 'x': it must be an Item"),
        (yielding(pf.Page(items=(pf.Item(key=1),), cursor="1")), "and its key a text"),
    ],
)
def test_a_source_with_a_mistake_is_told_which(tmp_path, monkeypatch, pages, words):
    monkeypatch.setattr(Own, "pages", pages)
    with pytest.raises(UsageError, match=words):
        pf.collect(Own(), tmp_path / "corpus", progress=False, cache=tmp_path / "cache")


def test_a_source_is_a_named_object(tmp_path):
    with pytest.raises(UsageError, match="source Nameless needs a class attribute 'name'"):
        pf.collect(Nameless(), tmp_path / "corpus")
    with pytest.raises(UsageError, match=r"an object of the class: Texts\(\.\.\.\)"):
        pf.collect(Texts, tmp_path / "corpus")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow("waits for a server of 24 hosts")
def test_many_hosts_are_many_times_as_fast(tmp_path):
    class Plain(ServedPages):  # so that nothing is measured but asking
        def item(self, number):
            item = super().item(number)
            return replace(item, url=f"{item.url.rpartition('.')[0]}.txt")

    hosts, count, few = 24, 2400, 24
    with WebServer(latency=0.1, hosts=hosts) as server:
        pages = Plain(server.port, count, hosts)
        begun = time.monotonic()
        for number in range(few):
            urllib.request.urlopen(pages.item(number).url).read()
        one_at_a_time = (time.monotonic() - begun) / few
        begun = time.monotonic()
        found = pf.collect(
            pages,
            tmp_path / "corpus",
            rate=1000,
            allow_hosts=[f"127.0.0.{host}" for host in range(1, hosts + 1)],
            progress=False,
            cache=tmp_path / "cache",
        )
        each = (time.monotonic() - begun) / count
        assert [*server.repeated("/pages/").values()] == [2] * few
    assert found.counts["kept"] == count
    assert one_at_a_time / each >= 12


@pytest.mark.slow("asks at a real pace, for ten seconds")
def test_two_collectors_at_once_keep_to_one_limit(tmp_path):
    attempt = """
import sys
import paninifs as pf
from many_urls import ManyUrls

url, folder, cache = sys.argv[1:]
found = pf.collect(
    ManyUrls(url, 60), folder, rate=10, allow_hosts=["127.0.0.1"], progress=False, cache=cache
)
print(found.counts)
"""
    with stamped_server() as server:
        words = [sys.executable, "-P", "-c", attempt]
        path = os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])
        started = [
            subprocess.Popen(
                [*words, f"{server.url}{name}", str(tmp_path / name), str(tmp_path / "cache")],
                env={**os.environ, "PYTHONPATH": path},
            )
            for name in ("first", "second")
        ]
        assert [process.wait() for process in started] == [0, 0]
    times = sorted(server.times)
    assert len(times) >= 120
    assert most_within(times, 1.0) <= 10
    pace = (len(times) - 1) / (times[-1] - times[0])
    assert pace >= 9  # 9.9 and more on a machine with nothing else to do


def test_a_run_is_extended_by_what_came_since(tmp_path):
    corpus, results = tmp_path / "corpus", str(tmp_path / "results")
    with pf.connect("threads", workers=1, quiet=True):
        for count in (300, 500):
            gathered(count, corpus)
            opened = pf.open_corpus(corpus, text="text")
            extend = count > 300
            pf.submit(
                pf.default_graph(), opened, results=results, progress=False, extend=extend
            ).result()
            assert pf.open_results(results).sizes["text"] == count
