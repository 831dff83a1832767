"""Whether documents of HAL are read in full.

What the imitator serves is compared field by field with what it was made from. Bad answers are
given without a server.
"""

from __future__ import annotations

import json

import pytest
from listing import items_of, pages_of
from plain_web import PlainWeb
from web_server import Fault, WebServer, hal

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.hal import Hal
from paninifs.storage.errors import UsageError

HAL = "http://hal.test/search"


@pytest.fixture(scope="module")
def server():
    with WebServer(hosts=2) as running:
        yield running


def test_every_field_of_a_document_is_read(server):
    items = items_of(Hal(rows=40, base=server.url("/search/")))
    documents = [hal.deposit(server.config, number) for number in range(server.config.deposits)]
    assert [item.key for item in items] == [document["halId_s"] for document in documents]
    for item, document in zip(items, documents, strict=True):
        if "abstract_s" not in document:
            assert item.refusal == ("no-text", "no abstract")
            continue
        own = document["language_s"][0]
        title = document[f"{own}_title_s"][0]
        assert (item.lang, item.title) == (own, title)
        assert item.text == f"{title}\n\n{document[f'{own}_abstract_s'][0]}"
        assert item.licence == document.get("licence_s", "")
        assert item.url == document["uri_s"]
        expected = {
            "authors": "; ".join(document["authFullName_s"]),
            "date": document["producedDate_s"],
            "updated": document["modifiedDate_s"],
            "doi": document.get("doiId_s", ""),
            "journal": document.get("journalTitle_s", ""),
            "type": document["docType_s"],
            "categories": "; ".join(document["domainAllCode_s"]),
            "languages": own,
        }
        assert item.extra == {key: value for key, value in expected.items() if value}


def test_a_language_selects_abstracts(server):
    items = items_of(Hal(lang="fr", base=server.url("/search/")))
    documents = [hal.deposit(server.config, number) for number in range(server.config.deposits)]
    french = [document for document in documents if "fr_abstract_s" in document]
    assert [item.key for item in items] == [document["halId_s"] for document in french]
    assert {item.lang for item in items} == {"fr"}
    for item, document in zip(items, french, strict=True):
        assert item.text.endswith(document["fr_abstract_s"][0])


def test_full_text_of_hal_lists_the_file(server):
    items = items_of(Hal(full_text=True, base=server.url("/search/")))
    assert items
    assert all(item.url.startswith(server.url("/document/hal-")) for item in items)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "damaged"),
        (b"<html>", "damaged"),
        (b"\xff{}", "damaged"),
        (b"[]", "bad-record"),
        (b"[" * 100_000, "too-deep"),
        (b"{}", "bad-record"),
        (b'{"error": {"msg": "undefined field", "code": 400}}', "bad-record"),
        (b'{"error": "no"}', "bad-record"),
        (b'{"response": {"docs": {}}, "nextCursorMark": "a"}', "bad-record"),
        (b'{"response": {"docs": []}}', "bad-record"),
        (b'{"response": {"docs": []}, "nextCursorMark": 5}', "bad-record"),
        (b'{"response": null, "nextCursorMark": "a"}', "bad-record"),
    ],
)
def test_a_bad_answer_of_hal_ends_in_a_reason(body, reason):
    with pytest.raises(NotKept) as caught:
        pages_of(Hal(base=HAL), web=PlainWeb({HAL: body}))
    assert caught.value.reason == reason


def answer(*documents, mark="*", **more):
    return json.dumps({"response": {"docs": documents, **more}, "nextCursorMark": mark}).encode()


def test_marks_in_a_circle_are_recognised():
    pages = [answer({"docid": str(n)}, mark=f"m{n % 3}") for n in range(50)]
    with pytest.raises(NotKept, match="no end"):
        pages_of(Hal(base=HAL), web=PlainWeb({HAL: pages}))


def test_bad_documents_are_refused_alone():
    good = {"halId_s": "hal-1", "abstract_s": ["A\ud800b"], "title_s": 5, "language_s": None}
    documents = [
        good,
        {"docid": "2", "abstract_s": [{"a": 1}]},
        {"halId_s": 3},
        17,
        None,
        {"docid": "4", "abstract_s": " "},
    ]
    body = answer(*documents, numFound="many")
    (page,) = pages_of(Hal(base=HAL), web=PlainWeb({HAL: body}))
    assert page.items[0].text == "A?b"
    reasons = [item.refusal and item.refusal[0] for item in page.items]
    assert reasons == [None, "no-text", "bad-record", "bad-record", "bad-record", "no-text"]
    assert len({item.key for item in page.items}) == 6
    assert page.total is None


@pytest.mark.parametrize(
    "options", [{"lang": "fra"}, {"lang": "../"}, {"portal": "a/b"}, {"rows": 0}, {"rows": 10_001}]
)
def test_settings_of_hal_are_checked(options):
    with pytest.raises(UsageError):
        Hal(**options)


def test_a_refusing_server_is_reported_as_the_web_reports_it(server):
    server.inject(Fault(kind="status", match="/search/", status=503, attempts=()))
    try:
        with pytest.raises(NotKept) as caught:
            pages_of(Hal(base=server.url("/search/")))
    finally:
        server.inject()
    assert caught.value.reason == "busy"
