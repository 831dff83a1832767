"""Whatever bytes a service sends, a source lists items, or ends in a reason: it does not crash."""

from __future__ import annotations

import json
import random
import time

import pytest
from canned_answers import listing, record
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import pages_of
from plain_web import PlainWeb
from web_server import ServerConfig, gutenberg, hal

from paninifs.engine.collecting.outcome import REASONS, NotKept
from paninifs.engine.collecting.sources.answers.book_text import book_text
from paninifs.engine.collecting.sources.arxiv_atom import ArxivAtom
from paninifs.engine.collecting.sources.arxiv_oai import ArxivOai
from paninifs.engine.collecting.sources.gutenberg import Gutenberg
from paninifs.engine.collecting.sources.hal import Hal

URL = "http://service.test/"
CONFIG = ServerConfig(records=4, deposits=4, books=4)

RECORDS = listing(record("2101.00001"), record("2101.00002", more="<doi>x</doi>"), token="more")
FEED = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:o="http://a9.com/-/spec/opensearch/1.1/">'
    "<o:totalResults>2</o:totalResults>"
    + "".join(
        f"<entry><id>http://arxiv.org/abs/2101.0000{n}v1</id><title>T</title><summary>S</summary>"
        '<author><name>A</name></author><category term="cs.CL"/></entry>'
        for n in (1, 2)
    )
    + "</feed>"
).encode()
DOCUMENTS = json.dumps(
    {
        "response": {"numFound": 4, "docs": [hal.deposit(CONFIG, n) for n in range(4)]},
        "nextCursorMark": "more",
    }
).encode()
SERVICES = {
    "oai": (RECORDS, lambda: ArxivOai(base=URL)),
    "atom": (FEED, lambda: ArxivAtom("x", base=URL)),
    "hal": (DOCUMENTS, lambda: Hal(base=URL)),
    "gutenberg": (gutenberg.catalogue(CONFIG), lambda: Gutenberg(catalogue=URL)),
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def garbled(body, seed):
    """Return an answer with a few changes: bytes replaced, pieces cut out, doubled or moved."""
    chance = random.Random(seed)
    body = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        first = chance.randrange(len(body) + 1)
        last = min(first + int(chance.expovariate(1 / 20)), len(body))
        piece = body[first:last]
        kind = chance.randrange(5)
        if kind == 0:
            body[first:last] = bytes(chance.randrange(256) for _ in piece)
        elif kind == 1:
            del body[first:last]
        elif kind == 2:
            body[first:first] = piece * chance.randint(1, 3)
        elif kind == 3:
            body[first:last] = chance.choice(
                [b"<", b"&", b'"', b"\x00", b"]]>", b"null", b"-1", b"\n"]
            )
        else:
            del body[first:]
    return bytes(body)


def ends_well(source, body):
    """Return whether a source lists usable items from a body, or raises for a listed reason."""
    web = PlainWeb({URL: body})
    pages, ended = [], None
    try:
        pages = pages_of(source, web=web)
    except NotKept as error:
        ended = error
    if ended:
        assert ended.reason in REASONS
        assert len(ended.detail) < 500
    assert len(web.asked) < 50
    for item in (item for page in pages for item in page.items):
        assert item.key
        if item.refusal:
            assert item.refusal[0] in REASONS
        else:
            assert item.text or item.url
        "".join((item.key, item.title, item.text or "", *item.extra.values())).encode()
    return True


@pytest.mark.parametrize("service", SERVICES)
def test_garbled_answers_end_well(service):
    body, make = SERVICES[service]
    for seed in range(60):
        assert ends_well(make(), garbled(body, f"{service} {seed}"))


@pytest.mark.slow("tries 4,000 answers of each service")
@pytest.mark.parametrize("service", SERVICES)
def test_many_garbled_answers_end_well(service):
    body, make = SERVICES[service]
    for seed in range(4000):
        assert ends_well(make(), garbled(body, f"more {service} {seed}"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["docid", "halId_s", "abstract_s", "language_s"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(document=json_values, total=json_values, mark=json_values)
def test_any_values_of_hal_end_well(document, total, mark):
    response = {"docs": [document, document], "numFound": total}
    body = json.dumps({"response": response, "nextCursorMark": mark}).encode()
    assert ends_well(Hal(base=URL), body)


@pytest.mark.parametrize(
    "piece",
    [
        "*** START OF THE PROJECT GUTENBERG EBOOK ",
        "*** END OF THE PROJECT GUTENBERG EBOOK ",
        "\n \n",
        "***",
        "*END*THE SMALL PRINT!",
        "\nEnd of Project Gutenberg's a",
        "\n",
    ],
)
def test_markers_are_looked_for_in_linear_time(piece):
    def taken(size):
        text = piece * (size // len(piece))
        before = time.process_time()
        book_text(text)
        return time.process_time() - before

    def least(size):
        return min(taken(size) for _ in range(3))

    assert least(1_000_000) < 40 * least(100_000) + 0.01
