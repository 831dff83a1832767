"""Whether entries of arXiv's Atom API are read in full.

What the imitator serves is compared field by field with what it was made from. Bad answers are
given without a server.
"""

from __future__ import annotations

import pytest
from canned_answers import LAUGHS, oai
from listing import items_of, pages_of
from plain_web import PlainWeb
from web_server import WebServer, arxiv

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.arxiv_atom import MOST_RESULTS, ArxivAtom
from paninifs.storage.errors import UsageError

ATOM = "http://atom.test/query"


@pytest.fixture(scope="module")
def server():
    with WebServer(hosts=2) as running:
        yield running


def test_every_field_of_an_entry_is_read(server):
    items = items_of(ArxivAtom("all:the", rows=70, base=server.url("/api/query")))
    records = [arxiv.record(server.config, number) for number in range(server.config.records)]
    records = [record for record in records if not record.deleted]
    assert [item.key for item in items] == [record.id for record in records]
    for item, record in zip(items, records, strict=True):
        assert item.text == f"{record.title}\n\n{record.abstract}"
        names = {"comments": "comments", "journal-ref": "journal", "doi": "doi"}
        optional = {names[k]: v for k, v in record.optional.items() if k in names}
        assert item.extra == {
            "authors": "; ".join(f"{first} {family}" for family, first in record.authors),
            "categories": " ".join(record.categories),
            "date": f"{record.created}T09:00:00Z",
            "updated": f"{record.datestamp}T10:00:00Z",
            "version": "2",
            **optional,
        }


def test_empty_pages_are_asked_for_again(server):
    with WebServer(hosts=1, empty_pages=True) as lazy:
        items = items_of(ArxivAtom("all:the", rows=20, base=lazy.url("/api/query")))
        assert lazy.repeated()
    assert items == items_of(ArxivAtom("all:the", rows=20, base=server.url("/api/query")))


def feed(*entries, total="3"):
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:o="http://a9.com/-/spec/opensearch/1.1/">'
        f"<o:totalResults>{total}</o:totalResults>{''.join(entries)}</feed>"
    ).encode()


def entry(link="http://arxiv.org/abs/2101.00001v1", title="T", summary="S."):
    return f"<entry><id>{link}</id><title>{title}</title><summary>{summary}</summary></entry>"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Rate exceeded.", "damaged"),
        (oai(""), "bad-record"),
        (feed(entry(), total=""), "bad-record"),
        (feed(entry(), total="lots"), "bad-record"),
        (feed(entry("http://arxiv.org/api/errors#x"), total="1"), "bad-record"),
        (feed(total="50"), "server-error"),
        (feed(entry(), total="50"), "bad-record"),
        (LAUGHS + feed(entry(title="&i;")), "bomb"),
    ],
)
def test_a_bad_feed_ends_in_a_reason(body, reason):
    with pytest.raises(NotKept) as caught:
        pages_of(ArxivAtom("x", base=ATOM), web=PlainWeb({ATOM: body}))
    assert caught.value.reason == reason


def test_bad_entries_are_refused_alone():
    entries = (entry(), entry("http://evil.test/abs/1"), entry("http://arxiv.org/abs/../x"))
    items = items_of(ArxivAtom("x", base=ATOM), web=PlainWeb({ATOM: feed(*entries)}))
    assert [item.refusal and item.refusal[0] for item in items] == [None, *["bad-record"] * 2]


def test_an_error_of_the_api_is_reported(server):
    source = ArxivAtom("x", base=server.url("/api/query"))
    source.rows = 3000
    with pytest.raises(NotKept, match="out of range"):
        pages_of(source)


def test_the_end_of_what_the_api_gives_is_said():
    with pytest.raises(NotKept, match="narrow the query"):
        pages_of(ArxivAtom("x", base=ATOM), str(MOST_RESULTS), web=PlainWeb())


@pytest.mark.parametrize(
    "options", [{"query": " "}, {"query": "x", "rows": 0}, {"query": "x", "rows": 2001}]
)
def test_settings_of_queries_are_checked(options):
    with pytest.raises(UsageError):
        ArxivAtom(**options)


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "٣", "9" * 99, '{"token": ""}'])
def test_another_sources_cursor_is_refused(cursor):
    with pytest.raises(UsageError, match="not a cursor of"):
        pages_of(ArxivAtom("x", base=ATOM), cursor)
