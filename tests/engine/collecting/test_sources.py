"""What all sources have in common; `SOURCES_TO_TEST` makes one of each on a small collection."""

from __future__ import annotations

import json
import re

import pytest
from listing import items_of, pages_of
from plain_web import PlainWeb
from web_server import WebServer

from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.outcome import REASONS
from paninifs.engine.collecting.source import Source
from paninifs.engine.collecting.sources.arxiv_atom import ArxivAtom
from paninifs.engine.collecting.sources.arxiv_oai import ArxivOai
from paninifs.engine.collecting.sources.gutenberg import Gutenberg
from paninifs.engine.collecting.sources.hal import Hal
from paninifs.engine.collecting.sources.source_registry import source_of
from paninifs.engine.collecting.sources.url_list import UrlList


class Numbers(Source):
    """A source of a user's own."""

    name = "numbers"

    async def pages(self, web, cursor):
        for number in range(int(cursor or 0), 5):
            yield Page(items=(Item(key=str(number), text=f"{number}."),), cursor=str(number + 1))


def _arxiv(server, folder):
    return ArxivOai(base=server.url("/oai"))


def _arxiv_set(server, folder):
    return ArxivOai("cs.CL", full_text=True, base=server.url("/oai"), pdfs=server.url())


def _arxiv_query(server, folder):
    return ArxivAtom("cat:cs.CL", rows=20, base=server.url("/api/query"))


def _hal(server, folder):
    return Hal(rows=30, base=server.url("/search/"))


def _hal_files(server, folder):
    return Hal("docType_s:ART", lang="fr", full_text=True, rows=10, base=server.url("/search"))


def _gutenberg(server, folder):
    feed = server.url("/cache/epub/feeds/pg_catalog.csv.gz")
    return Gutenberg("fr", catalogue=feed, mirror=server.url())


def _addresses(server, folder):
    path = folder / "list.txt"
    path.write_text("".join(f"{server.url(f'/pages/{n}.html')}\n\n# {n}\n" for n in range(2500)))
    return UrlList(str(path))


def _table(server, folder):
    path = folder / "list.csv"
    rows = (f'{server.url(f"/pages/{n}.html")},"a title,\nin {n}",fr\n' for n in range(2500))
    path.write_text("url,title,lang\n" + "".join(rows))
    return UrlList(path)


def _dump(server, folder):
    return source_of("wikipedia:fr", base=server.url("/dumps"))


def _folder(server, folder):
    for number in range(30):
        (folder / f"{number:02d}.txt").write_text(f"Text {number}.")
    (folder / "inner").mkdir()
    (folder / "inner" / "table.csv").write_text("a,b")
    return source_of(f"{folder}/")


def _numbers(server, folder):
    return Numbers()


SOURCES_TO_TEST = [
    _arxiv,
    _arxiv_set,
    _arxiv_query,
    _hal,
    _hal_files,
    _gutenberg,
    _addresses,
    _table,
    _dump,
    _folder,
    _numbers,
]


@pytest.fixture(scope="module")
def server():
    with WebServer(hosts=2) as running:
        yield running


@pytest.fixture(params=SOURCES_TO_TEST, ids=lambda make: make.__name__.strip("_"))
def source(request, server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    return request.param(server, tmp_path)


def test_listing_goes_on_at_every_cursor(source):
    pages = pages_of(source)
    assert len(pages) > 1 or source.name not in ("arxiv", "hal", "urls", "numbers")
    for number, page in enumerate(pages, 1):
        if not page.items:  # a folder's last page, which leads to the beginning
            continue
        rest = pages_of(source, page.cursor)
        assert [i for p in rest for i in p.items] == [i for p in pages[number:] for i in p.items]


def test_listing_twice_gives_the_same_items(source):
    assert items_of(source) == items_of(source)


def test_keys_are_unique(source):
    keys = [item.key for item in items_of(source)]
    assert len(set(keys)) == len(keys) > 4


def test_every_item_can_be_used_or_says_why_not(source):
    for item in items_of(source):
        assert isinstance(item.key, str)
        assert item.key
        if item.refusal:
            assert item.refusal[0] in REASONS
        else:
            assert item.text or item.content or item.path or item.url.startswith("http")
        for name, value in item.extra.items():
            assert isinstance(name, str)
            assert isinstance(value, str)
        assert re.fullmatch("([a-z]{2,3})?", item.lang)


def test_settings_are_json_and_determine_the_source(source):
    settings = source.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert list(settings) == sorted(settings)
    items_of(source)
    assert source.settings() == settings  # listing leaves nothing behind


def test_totals_are_counts_of_items(source):
    totals = {page.total for page in pages_of(source)} - {None}
    assert len(totals) <= 1
    for total in totals:
        assert total == len(items_of(source))


def test_a_source_that_is_left_early_leaves_nothing_open(source):
    assert len(pages_of(source, most=1)) == 1


def test_listing_asks_nothing_twice(source):
    web = PlainWeb()
    pages_of(source, web=web)
    assert len(set(web.asked)) == len(web.asked)


def test_no_answer_of_any_size_is_read(source):
    web = PlainWeb()
    pages_of(source, web=web)
    assert None not in web.bounds


def test_limits_name_hosts_and_seconds(source):
    for host, seconds in source.limits.items():
        assert re.fullmatch(r"[a-z0-9.-]+", host)
        assert seconds > 0
