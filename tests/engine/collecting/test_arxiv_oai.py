"""Whether records of arXiv are read in full, and lists followed to their end.

What the imitator serves is compared field by field with what it was made from. Bad answers are
given without a server.
"""

from __future__ import annotations

import asyncio
import re
from xml.sax.saxutils import escape

import pytest
from canned_answers import EXPIRED, LAUGHS, OUTSIDE, listing, oai, record
from listing import items_of, pages_of
from plain_web import PlainWeb
from web_server import WebServer, arxiv

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.arxiv_oai import ArxivOai, set_of
from paninifs.engine.collecting.sources.listing_guard import MOST_EMPTY_PAGES
from paninifs.storage.errors import UsageError

OAI = "http://oai.test/oai"


@pytest.fixture(scope="module")
def server():
    with WebServer(hosts=2) as running:
        yield running


def test_every_field_of_a_record_is_read(server):
    records = [arxiv.record(server.config, number) for number in range(server.config.records)]
    items = items_of(ArxivOai(base=server.url("/oai")))
    assert [item.key for item in items] == [record.id for record in records]
    for item, known in zip(items, records, strict=True):
        if known.deleted:
            assert item.refusal == ("deleted", known.datestamp)
            continue
        assert item.title == known.title
        assert item.text == f"{known.title}\n\n{known.abstract}"
        assert item.url == f"https://arxiv.org/abs/{known.id}"
        assert item.licence == known.licence
        names = {
            "comments": "comments",
            "journal-ref": "journal",
            "doi": "doi",
            "report-no": "report",
            "msc-class": "msc",
        }
        expected = {
            "authors": "; ".join(f"{first} {family}" for family, first in known.authors),
            "categories": " ".join(known.categories),
            "date": known.created,
            "updated": known.updated,
            "datestamp": known.datestamp,
            **{names[key]: value for key, value in known.optional.items()},
        }
        assert item.extra == {key: value for key, value in expected.items() if value}


def test_sets_and_days_select_records(server):
    source = ArxivOai("hep-th", since="2021-01-05", until="2021-01-07", base=server.url("/oai"))
    records = [arxiv.record(server.config, number) for number in range(server.config.records)]
    expected = [
        record.id
        for record in records
        if "physics:hep-th" in record.sets and "2021-01-05" <= record.datestamp <= "2021-01-07"
    ]
    assert [item.key for item in items_of(source)] == expected != []


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("", ""),
        ("cs.CL", "cs:cs:CL"),
        ("cs", "cs"),
        ("physics", "physics"),
        ("physics.hist-ph", "physics:physics:hist-ph"),
        ("astro-ph.CO", "physics:astro-ph:CO"),
        ("gr-qc", "physics:gr-qc"),
        ("q-bio.NC", "q-bio:q-bio:NC"),
        ("cs:cs:CL", "cs:cs:CL"),
    ],
)
def test_categories_become_sets(category, expected):
    assert set_of(category) == expected


def test_full_text_lists_the_pdf(server):
    item = items_of(ArxivOai(full_text=True, base=server.url("/oai"), pdfs=server.url()))[0]
    assert (item.text, item.media_type) == (None, "application/pdf")
    assert item.url == server.url(f"/pdf/{item.key}")
    assert asyncio.run(PlainWeb().get(item.url)).body.startswith(b"%PDF-")


def test_nothing_that_matches_is_an_empty_list(server):
    assert pages_of(ArxivOai(since="2040-01-01", base=server.url("/oai"))) == []


@pytest.mark.parametrize("attempts", [(2,), (2, 4), (3, 5)])
def test_an_expired_token_costs_no_record_and_repeats_none(server, attempts):
    expected = items_of(ArxivOai(base=server.url("/oai")))
    web = ExpiringTokens(attempts)
    assert items_of(ArxivOai(base=server.url("/oai")), web=web) == expected
    assert web.expired == len(attempts)


def test_an_expired_token_in_a_cursor_is_replaced(server):
    source = ArxivOai(base=server.url("/oai"))
    pages = pages_of(source)
    rest = items_of(source, pages[1].cursor, web=ExpiringTokens([1]))
    assert rest == [item for page in pages[2:] for item in page.items]


def test_a_list_that_was_begun_again_says_no_total():
    later = listing(record("2101.00002", "2021-01-05"), token="b", size="1")
    last = listing(record("2101.00003", "2021-01-06"))
    web = PlainWeb({OAI: [listing(record("2101.00001"), token="a"), EXPIRED, later, last]})
    assert [page.total for page in pages_of(ArxivOai(base=OAI), web=web)] == [3, None, None]


def test_a_token_of_any_length_is_not_believed():
    web = PlainWeb({OAI: listing(record("2101.00001"), token="x" * 5000)})
    with pytest.raises(NotKept, match="a resumption token of 5000 characters"):
        pages_of(ArxivOai(base=OAI), web=web)


def test_tokens_that_always_expire_end_the_listing():
    web = PlainWeb({OAI: [listing(record("2101.00001"), token="a"), *[EXPIRED] * 9]})
    with pytest.raises(NotKept, match="badResumptionToken"):
        pages_of(ArxivOai(base=OAI), web=web)
    assert len(web.asked) <= 6


def test_records_in_no_order_are_all_listed_again_after_an_expired_token():
    first, second = record("2101.00001", "2021-05-05"), record("2101.00002", "2021-01-01")
    again = listing(first, second, record("2101.00003", "2021-01-02"))
    web = PlainWeb({OAI: [listing(first, second, token="a"), EXPIRED, again]})
    keys = [item.key for item in items_of(ArxivOai(base=OAI), web=web)]
    assert keys == ["2101.00001", "2101.00002", "2101.00002", "2101.00003"]
    assert "from=" not in web.asked[-1]


def test_a_finished_list_goes_on_at_its_last_day():
    source = ArxivOai(base=OAI)
    (page,) = pages_of(source, web=PlainWeb({OAI: listing(record("2101.00001"))}))
    web = PlainWeb({OAI: listing(record("2101.00001"), record("2101.00002"))})
    assert [item.key for item in items_of(source, page.cursor, web=web)] == ["2101.00002"]
    assert "from=2021-01-04" in web.asked[0]


class ExpiringTokens(PlainWeb):
    """Answers some of the requests, by number, that their token has expired."""

    def __init__(self, attempts) -> None:
        super().__init__()
        self._attempts = set(attempts)
        self.expired = 0

    def _get(self, url, most_bytes):
        if len(self.asked) in self._attempts:
            self.expired += 1
            self.canned = {url: EXPIRED}
            answer = super()._get(url, most_bytes)
            self.canned = {}
            return answer
        return super()._get(url, most_bytes)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "damaged"),
        (b"Service under maintenance", "damaged"),
        (b"<html><body>Hello</body></html>", "bad-record"),
        (oai(""), "bad-record"),
        (oai("<error code='badArgument'>No.</error>"), "bad-record"),
        (oai("<error/>"), "bad-record"),
        (EXPIRED, "bad-record"),
        (listing(record("2101.00001"))[:-30], "damaged"),
        (listing(record("2101.00001")).replace(b"title", b"\xff\xfe"), "damaged"),
        (LAUGHS + oai("&i;"), "bomb"),
        (LAUGHS + listing(record("2101.00001", title="&i;")), "bomb"),
        (OUTSIDE + listing(record("2101.00001", title="&a;")), "bomb"),
        (oai("<a>" * 5000 + "</a>" * 5000), "too-deep"),
        (listing(record("2101.00001"), token="same"), "bad-record"),
        (listing(token="same"), "bad-record"),
    ],
)
def test_a_bad_list_of_records_ends_in_a_reason(body, reason):
    with pytest.raises(NotKept) as caught:
        pages_of(ArxivOai(base=OAI), web=PlainWeb({OAI: body}))
    assert caught.value.reason == reason, caught.value.detail


def test_lists_that_never_end_are_recognised():
    pages = [
        listing(record(f"2101.{n % 7:05d}", f"2021-01-0{n % 7 + 1}"), token=f"t{n}")
        for n in range(90)
    ]
    with pytest.raises(NotKept, match="no end"):
        pages_of(ArxivOai(base=OAI), web=(web := PlainWeb({OAI: pages})))
    assert len(web.asked) < 20
    empty = [listing(token=f"t{n}") for n in range(90)]
    with pytest.raises(NotKept, match="without items"):
        pages_of(ArxivOai(base=OAI), web=(web := PlainWeb({OAI: empty})))
    assert len(web.asked) == MOST_EMPTY_PAGES + 1


@pytest.mark.parametrize("size", ["", "-1", "many", "9" * 40, "٣", "1e9"])
def test_a_wrong_list_size_is_ignored(size):
    last = listing(record("2101.00002"))
    web = PlainWeb({OAI: [listing(record("2101.00001"), token="a", size=size), last]})
    pages = pages_of(ArxivOai(base=OAI), web=web)
    assert [page.total for page in pages] == [None, None]
    assert sum(len(page.items) for page in pages) == 2


def test_what_a_record_lacks_is_left_out_or_refuses_it_alone():
    web = PlainWeb(
        {
            OAI: listing(
                record("2101.00001", day=""),
                record("2101.00002", title=" "),
                record("2101.00003", abstract=""),
                record("../../etc"),
                record(""),
                "<record/>",
                "<record><header/></record>",
                record("2101.00004").replace("OAI/arXiv/", "OAI/else/"),
                record(
                    "2101.00005", more="<created>yesterday</created><authors><author/></authors>"
                ),
                record("2101.00006\n"),
                record("2101.00007", title="&amp;lt; &lt;b&gt; \x08"),
            )
        }
    )
    items = items_of(ArxivOai(base=OAI), web=web)
    by_key = {item.key: item for item in items}
    assert len(by_key) == len(items) == 11
    assert by_key["2101.00001"].text == "A title\n\nIts abstract."
    assert by_key["2101.00002"].text == "Its abstract."
    assert by_key["2101.00003"].refusal == ("no-text", "no abstract")
    assert by_key["2101.00005"].extra["date_as_given"] == "yesterday"
    assert by_key["2101.00007"].title == "&lt; <b>"
    bad = [item for item in items if item.refusal and item.refusal[0] == "bad-record"]
    assert len(bad) == 5


@pytest.mark.parametrize(
    "options", [{"since": "yesterday"}, {"until": "2021-1-1"}, {"category": "a b"}]
)
def test_settings_of_arxiv_are_checked(options):
    with pytest.raises(UsageError):
        ArxivOai(**options)


def test_another_sources_cursor_is_refused():
    for cursor in ("17", "{", '{"page": 3}', "[]"):
        with pytest.raises(UsageError, match="cursor"):
            pages_of(ArxivOai(base=OAI), cursor)


def test_messages_are_short():
    web = PlainWeb({OAI: oai(f"<error code='{'c' * 500}'>{escape('<' * 5000)}</error>")})
    with pytest.raises(NotKept) as caught:
        pages_of(ArxivOai(base=OAI), web=web)
    assert len(str(caught.value)) < 500
    assert re.search("could not be understood", str(caught.value))
