"""Whether lists of addresses are read in full, from any line on, and bad lines refused alone."""

from __future__ import annotations

import asyncio
import bz2
import csv
import gzip
import io
import json
import tracemalloc

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import items_of, pages_of

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources import list_lines, url_list
from paninifs.engine.collecting.sources.url_list import UrlList
from paninifs.storage.errors import ColumnNotFound, UsageError


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def reasons(items):
    return [item.refusal and item.refusal[0] for item in items]


def test_text_has_an_address_per_line(write):
    path = write(
        "list.txt",
        "\ufeffhttps://a.test/1\r\n\n# a comment\n  http://b.test/é?q=1#part  \nhttps://c.test#end",
    )
    items = items_of(UrlList(path))
    assert [item.url for item in items] == [
        "https://a.test/1",
        "http://b.test/é?q=1",  # no server is told the part
        "https://c.test",
    ]
    assert [item.key for item in items] == [item.url for item in items]


@pytest.mark.parametrize(("ending", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_tables_have_columns(write, ending, delimiter):
    rows = [
        ("id", "url", "title", "lang", "licence", "year"),
        ("7", "https://a.test", '"A ""title"",\nof; two lines"', "fr", "CC0-1.0", "1999"),
        ("", "https://b.test", "", "", "", ""),
    ]
    path = write(f"list.{ending}", "\n".join(delimiter.join(row) for row in rows))
    first, second = items_of(UrlList(path))
    assert (first.key, first.url) == ("7", "https://a.test")
    assert first.title == 'A "title",\nof; two lines'
    assert (first.lang, first.licence, first.extra) == ("fr", "CC0-1.0", {"year": "1999"})
    assert (second.key, second.title, second.extra) == ("https://b.test", "", {})


def test_objects_have_fields(write):
    rows = [
        {"url": "https://a.test", "title": "A", "license": "MIT", "tags": ["é", 1], "none": None},
        {"url": "https://b.test", "id": "b", "lang": "en"},
    ]
    path = write("list.jsonl", "\n\n".join(map(json.dumps, rows)))
    first, second = items_of(UrlList(path))
    assert (first.key, first.title, first.licence) == ("https://a.test", "A", "MIT")
    assert first.extra == {"tags": '["é", 1]'}
    assert (second.key, second.lang) == ("b", "en")


def test_another_column_can_hold_the_address(write):
    (item,) = items_of(UrlList(write("l.csv", "link,url\nhttps://a.test,other\n"), column="link"))
    assert (item.url, item.extra) == ("https://a.test", {"url": "other"})


@pytest.mark.parametrize(
    "line",
    [
        "ftp://a.test/x",
        "a.test",
        "https://",
        "http://[::1",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://a.test/a b",
        "https://a.test/" + "x" * 9000,
        "https:///nowhere",
        "\x00",
    ],
)
def test_a_line_that_is_no_address_is_refused_alone(write, line):
    items = items_of(UrlList(write("l.txt", f"https://a.test\n{line}\nhttps://b.test\n")))
    assert reasons(items) == [None, "bad-url", None]
    assert items[1].key == "line 2"
    assert "line 2" in items[1].refusal[1]
    assert len(items[1].refusal[1]) <= 300


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "damaged"),
        ("[" * 100_000, "too-deep"),
        ("[1]", "bad-record"),
        ('"https://a.test"', "bad-record"),
        ("{}", "bad-url"),
        ('{"url": 5}', "bad-url"),
        ('{"url": null}', "bad-url"),
        (b"\xff\xfe", "unreadable"),
        ("x" * (list_lines.MOST_BYTES + 5), "too-large"),
    ],
)
def test_a_bad_object_is_refused_alone(write, line, reason):
    good = b'{"url": "https://a.test/%d"}\n'
    body = good % 1 + (line if isinstance(line, bytes) else line.encode()) + b"\n" + good % 2
    items = items_of(UrlList(write("l.jsonl", body)))
    assert reasons(items) == [None, reason, None]


@pytest.mark.parametrize(
    "line", ["https://a.test,b,c", "https://a.test", '"https://a.test"x,1', b"https://\xff,1"]
)
def test_a_bad_row_is_refused_alone(write, line):
    line = line if isinstance(line, bytes) else line.encode()
    body = b"url,title\nhttps://a.test/1,A\n" + line + b"\nhttps://a.test/2,B\n"
    items = items_of(UrlList(write("l.csv", body)))
    assert [bool(item.refusal) for item in items] == [False, True, False]


def test_a_quote_that_never_closes_costs_its_line_alone(write):
    rows = "".join(f"https://a.test/{n},t\n" for n in range(300))
    items = items_of(UrlList(write("l.csv", 'url,title\nhttps://a.test/x,"open\n' + rows)))
    assert reasons(items) == ["bad-record", *[None] * 300]
    items = items_of(UrlList(write("l.csv", f'url,title\n{rows}https://a.test/x,"open')))
    assert reasons(items) == [*[None] * 300, "bad-record"]
    body = f'url,title\nhttps://a.test/x,"open\n{rows}https://a.test/y,closed"\n'
    items = items_of(UrlList(write("l.csv", body)))
    assert reasons(items) == ["bad-record", *[None] * 301]
    assert items[-1].title == 'closed"'


def test_a_quote_within_a_field_stands_for_itself(write):
    body = 'url,title\nhttps://a.test/1,5" pipe\nhttps://a.test/2,"a;""b"\nhttps://a.test/3,6"\n'
    items = items_of(UrlList(write("l.csv", body)))
    assert [item.title for item in items] == ['5" pipe', 'a;"b', '6"']


def test_a_missing_column_is_named(write):
    with pytest.raises(ColumnNotFound, match=r"l\.csv has no column 'url': 'link,title'"):
        pages_of(UrlList(write("l.csv", "link,title\nhttps://a.test,A\n")))
    with pytest.raises(UsageError, match="is empty"):
        pages_of(UrlList(write("l.csv", "\n\n")))
    with pytest.raises(UsageError, match="no such list"):
        pages_of(UrlList(write("l.txt", "") + ".gz"))


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_lists_go_on_at_every_cursor(write, monkeypatch, ending, pack):
    monkeypatch.setattr(url_list, "ROWS", 7)
    body = "url\n" + "".join(f"https://a.test/{n}\n" for n in range(40))
    source = UrlList(write(f"l.csv{ending}", pack(body.encode())))
    pages = pages_of(source)
    assert len(pages) == 6
    for number, page in enumerate(pages, 1):
        assert pages_of(source, page.cursor) == pages[number:]


def test_a_damaged_archive_ends_in_a_reason(write):
    packed = gzip.compress("".join(f"https://a.test/{n * n}\n" for n in range(9999)).encode())
    with pytest.raises(NotKept) as caught:
        pages_of(UrlList(write("l.txt.gz", packed[:-5000])))
    assert caught.value.reason == "damaged"


def test_lists_are_read_from_other_filesystems():
    with fsspec.open("memory://lists/l.txt", "wb") as stream:
        stream.write(b"https://a.test\n")
    (item,) = items_of(UrlList("memory://lists/l.txt"))
    assert item.url == "https://a.test"


@pytest.mark.parametrize("last", ["https://a.test/9", "https://a.test/9\n", "https://a.test/9\n\n"])
def test_a_list_may_grow(write, last):
    body = f"https://a.test/1\n{last}"
    (page,) = pages_of(UrlList(write("l.txt", body)))
    source = UrlList(write("l.txt", f"{body.rstrip()}\nhttps://a.test/2\n"))
    assert [item.url for item in items_of(source, page.cursor)] == ["https://a.test/2"]


@pytest.mark.parametrize(
    "changed",
    [
        "",
        "https://a.test/1\nhttps://a.test/3",
        "https://a.test/1\nhttps://a.test/23",
        "# one more\nhttps://a.test/1\nhttps://a.test/2",
    ],
)
def test_a_list_that_changed_before_its_cursor_is_not_continued(write, changed):
    (page,) = pages_of(UrlList(write("l.txt", "https://a.test/1\nhttps://a.test/2")))
    with pytest.raises(NotKept, match="changed before line 3"):
        pages_of(UrlList(write("l.txt", changed)), page.cursor)


def test_cursors_are_checked(write):
    for cursor in ("{", "17", '{"page": 1}'):
        with pytest.raises(UsageError, match="cursor"):
            pages_of(UrlList(write("l.txt", "https://a.test")), cursor)


cells = st.text(alphabet='ab",\n\r; \té', max_size=6)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=12), size=st.integers(1, 4))
def test_any_table_goes_on_at_every_cursor(tmp_path_factory, rows, size):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(("url", "title", "note"))
    writer.writerows((f"https://a.test/{n}", *row) for n, row in enumerate(rows))
    path = tmp_path_factory.mktemp("any") / "l.csv"
    path.write_bytes(stream.getvalue().encode())
    source = UrlList(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(url_list, "ROWS", size)
        pages = pages_of(source)
        items = [item for page in pages for item in page.items]
        read = [(item.title, item.extra.get("note", "")) for item in items]
        assert read == rows
        for number, page in enumerate(pages, 1):
            assert pages_of(source, page.cursor) == pages[number:]


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]":,url\n', max_size=60).map(str.encode))
def test_no_file_crashes(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("no")
    for name, first in (("l.txt", b"https://a.test"), ("l.jsonl", b"url"), ("l.csv", b"url")):
        (folder / name).write_bytes(first + b"\n" + body)
        pages = pages_of(UrlList(folder / name))
        for number, page in enumerate(pages, 1):
            assert pages_of(UrlList(folder / name), page.cursor) == pages[number:]


@pytest.mark.slow("reads 30,000 lines")
def test_memory_does_not_grow_with_the_list(write):
    def peak(count):
        path = write("l.txt", "".join(f"https://a.test/{n}\n" for n in range(count)))
        tracemalloc.start()
        try:
            _last(UrlList(path))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)
    assert peak(25_000) < 1.5 * peak(5000)


def _last(source):
    async def go():
        async for page in source.pages(None, None):
            last = page
        return last

    return asyncio.run(go())


def test_a_text_is_not_taken_for_a_list(tmp_path):
    (tmp_path / "novel.txt").write_text("Longtemps, je me suis couché de bonne heure.\nParfois,\n")
    with pytest.raises(
        UsageError, match=r"novel\.txt has no address of the web.*name their folder"
    ):
        items_of(UrlList(tmp_path / "novel.txt"))


def test_a_text_in_another_encoding_is_not_taken_for_a_list(write):
    with pytest.raises(UsageError, match="has no address of the web"):
        items_of(UrlList(write("latin.txt", "Longtemps, l'été".encode("latin-1"))))
