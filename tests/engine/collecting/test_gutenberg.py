"""Whether the catalogue and the books of Project Gutenberg are read in full.

What the imitator serves is compared field by field with what it was made from. Bad answers are
given without a server.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import time

import pytest
from listing import items_of, pages_of
from plain_web import PlainWeb
from web_server import WebServer, gutenberg

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources import gutenberg as gutenberg_source
from paninifs.engine.collecting.sources.gutenberg import Gutenberg
from paninifs.storage.errors import UsageError

START = "***START OF THE PROJECT GUTENBERG EBOOK X***"
END = "***END OF THE PROJECT GUTENBERG EBOOK X***"


@pytest.fixture(scope="module")
def server():
    with WebServer(hosts=2) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def books(server):
    return [gutenberg.book(server.config, n) for n in range(1, server.config.books + 1)]


def source_of_books(server, languages="", ending=".gz", **options):
    feed = server.url(f"/cache/epub/feeds/pg_catalog.csv{ending}")
    return Gutenberg(languages, catalogue=feed, mirror=server.url(), **options)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_column_of_the_catalogue_is_read(server, ending):
    items = items_of(source_of_books(server, ending=ending))
    expected = [book for book in books(server) if book.row[1] == "Text"]
    assert [item.key for item in items] == [book.row[0] for book in expected]
    for item, book in zip(items, expected, strict=True):
        number, _, issued, title, language, authors, subjects, locc, shelves = book.row
        assert item.title == " ".join(title.split())
        assert item.lang == (language if len(language) == 2 else "")
        extra = dict(item.extra)
        assert "public domain" in extra.pop("rights")
        expected = {
            "authors": authors,
            "date": issued,
            "subjects": subjects,
            "categories": locc,
            "bookshelves": shelves,
            "languages": language,
        }
        assert extra == {key: value for key, value in expected.items() if value}
        assert item.url == server.url(f"/cache/epub/{number}/pg{number}.txt")
        assert item.licence.startswith("https://www.gutenberg.org/policy/")


def test_languages_and_bookshelves_select_books(server):
    french = items_of(source_of_books(server, "fr"))
    assert {item.extra["languages"] for item in french} == {"fr", "en; fr"}
    poetry = items_of(source_of_books(server, "fr, en", bookshelf="poetry"))
    assert {item.extra["bookshelves"] for item in poetry} == {"Poetry; Browsing: Literature"}


def test_a_book_is_what_is_between_its_markers(server):
    source = source_of_books(server)
    for book in books(server)[:9]:
        if book.row[1] == "Text":
            url = server.url(f"/cache/epub/{book.number}/pg{book.number}.txt")
            file = asyncio.run(PlainWeb().get(url)).body.decode("utf-8-sig")
            assert source.own_text(file) == book.text


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("No markers, a text.", "No markers, a text."),
        ("a\n*** START OF THE PROJECT GUTENBERG EBOOK A\nLONG TITLE ***\nB\n", "B"),
        ("a\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\nB\n", "B"),
        ("B\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nc", "B"),
        (
            f"{START}\nB\n\nEnd of Project Gutenberg's X, by\nY\n\n{END}\nc",
            "B",
        ),
        (
            "*** START OF THE PROJECT GUTENBERG EBOOK X ***\nEnd of Project Plan\nB",
            "End of Project Plan\nB",
        ),
    ],
)
def test_markers_of_all_times_are_cut(file, text):
    assert Gutenberg().own_text(file) == text


def test_the_catalogue_is_downloaded_once_a_day(server, monkeypatch):
    web = PlainWeb()
    source = source_of_books(server)
    assert items_of(source, web=web) == items_of(source, web=web)
    assert len(web.asked) == 1
    now = time.time()
    for calls, seconds in ((2, 2 * 86_400), (3, -1000)):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        items_of(source, web=web)
        assert len(web.asked) == calls


def table(*rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([gutenberg.COLUMNS, *rows])
    return stream.getvalue().encode()


ROW = ("7", "Text", "1999-01-01", "Odes", "fr", "", "", "", "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad-record"),
        (b"<html>", "bad-record"),
        (b"Text#,Type,Title,Language\n\xff,,,", "unreadable"),
        (table(ROW) + b'8,Text,"unclosed', "damaged"),
        (table(ROW) + b"8,Text," + b"x" * 200_000 + b"\n", "damaged"),
        (gzip.compress(table(ROW), mtime=0)[:-12], "bad-compression"),
        (b"\x1f\x8bnot gzip", "bad-compression"),
    ],
)
def test_a_bad_catalogue_ends_in_a_reason_and_is_not_kept(body, reason):
    url = "http://pg.test/catalogue"
    web = PlainWeb({url: [body, table(ROW)]})
    source = Gutenberg(catalogue=url)
    with pytest.raises(NotKept) as caught:
        pages_of(source, web=web)
    assert caught.value.reason == reason
    assert [item.key for item in items_of(source, web=web)] == ["7"]


def test_a_catalogue_that_expands_without_end_is_a_bomb(monkeypatch):
    monkeypatch.setattr(gutenberg_source, "_MOST_BYTES", 1 << 16)
    url = "http://pg.test/catalogue"
    web = PlainWeb({url: gzip.compress(bytes(1 << 20))})
    with pytest.raises(NotKept) as caught:
        pages_of(Gutenberg(catalogue=url), web=web)
    assert caught.value.reason == "bomb"


def test_bad_rows_are_refused_alone():
    url = "http://pg.test/catalogue"
    body = table(("9", *ROW[1:]), ROW, ROW, ("x", *ROW[1:]), ("0", *ROW[1:]), ("5", "Text"))
    source = Gutenberg(catalogue=url)
    pages = pages_of(source, web=PlainWeb({url: body}))
    items = [item for page in pages for item in page.items]
    assert [item.key for item in items] == ["row 5", "row 6", "row 7", "7", "9"]
    assert [item.key for item in items if item.refusal] == ["row 5", "row 6", "row 7"]
    assert [item.key for item in items_of(source, pages[0].cursor, web=PlainWeb())] == ["7", "9"]


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "٣", "9" * 99, '{"token": ""}'])
def test_another_sources_cursor_is_refused(cursor):
    with pytest.raises(UsageError, match="not a cursor of"):
        pages_of(Gutenberg(catalogue="http://pg.test/c"), cursor)
