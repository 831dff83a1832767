"""Whether the imitator of public services does what its users rely on."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import socket
import time
from http.client import HTTPException
from itertools import pairwise
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from web_server import Fault, ServerConfig, WebServer, arxiv, dumps
from web_server.fault_plan import FaultPlan, Limiter

FAILURES = (URLError, HTTPException, ConnectionError, TimeoutError)


@pytest.fixture(scope="module")
def server():
    with WebServer(records=120, oai_page=30) as running:
        yield running


@pytest.fixture
def faulty(server):
    yield server.inject
    server.inject()


def get(url, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(url, headers=given), timeout=20) as answer:
        return answer.read(), answer.headers, answer.status


def test_every_address_is_a_host_with_pages_of_its_own(server):
    bodies = {get(server.url("/pages/3.html", host))[0] for host in (1, 2, 30)}
    assert len(bodies) == 3
    assert get(server.url("/pages/3.html", 2))[0] in bodies
    for ending, start in (("txt", b""), ("pdf", b"%PDF-")):
        assert get(server.url(f"/pages/3.{ending}"))[0].startswith(start)
    assert b"Disallow" in get(server.url("/robots.txt"))[0]
    for path in ("/pages/1000.html", "/nothing", "/cache/epub/1/pg2.txt", "/pdf/x"):
        with pytest.raises(HTTPError, match="404"):
            get(server.url(path))


def test_requests_are_logged_with_host_time_and_headers(server):
    before = time.monotonic()
    get(server.url("/pages/77.txt?a=b", 9), User_Agent="me/1")
    get(server.url("/pages/77.txt?a=b", 9))
    one, two = server.requests("127.0.0.9 /pages/77")
    assert before <= one.time <= two.time <= time.monotonic()
    assert (one.host, one.target, one.fate) == ("127.0.0.9", "/pages/77.txt?a=b", "served")
    assert one.headers["user-agent"] == "me/1"
    assert server.repeated("/pages/77") == {"127.0.0.9 /pages/77.txt?a=b": 2}
    assert server.most_in_a_window(60, host=9) == 2


def test_unchanged_pages_are_not_sent_again(server):
    body, headers, _ = get(server.url("/pages/1.html"))
    for condition in (
        {"If_None_Match": headers["ETag"]},
        {"If_Modified_Since": headers["Last-Modified"]},
    ):
        with pytest.raises(HTTPError, match="304"):
            get(server.url("/pages/1.html"), **condition)
    assert get(server.url("/pages/1.html"), If_None_Match='"other"')[0] == body


def test_bodies_are_compressed_for_those_who_accept_it(server):
    plain = get(server.url("/pages/1.html"))[0]
    packed, headers, _ = get(server.url("/pages/1.html"), Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain


def test_parts_of_files_are_sent(server):
    url = server.url("/dumps/frwiki/latest/frwiki-latest-pages-articles-multistream.xml.bz2")
    whole, headers, _ = get(url)
    part, more, status = get(url, Range="bytes=100-", If_Range=headers["ETag"])
    assert (part, status) == (whole[100:], 206)
    assert more["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert get(url, Range="bytes=5-9")[0] == whole[5:10]
    assert get(url, Range="bytes=5-", If_Range='"other"')[0] == whole
    with pytest.raises(HTTPError, match="416"):
        get(url, Range=f"bytes={len(whole)}-")


def test_the_dump_is_a_multistream_with_checksums_and_an_index(server):
    base = server.url("/dumps/frwiki/20261101/")
    status = json.loads(get(base + "dumpstatus.json")[0])
    files = status["jobs"]["articlesmultistreamdump"]["files"]
    name = "frwiki-20261101-pages-articles-multistream.xml.bz2"
    body = get(base + name)[0]
    assert files[name]["size"] == len(body)
    assert files[name]["sha1"] == hashlib.sha1(body).hexdigest()
    assert (
        f"{files[name]['sha1']}  {name}" in get(base + "frwiki-20261101-sha1sums.txt")[0].decode()
    )
    index = bz2.decompress(get(base + name.replace(".xml", "-index.txt"))[0]).decode()
    offset, number, title = index.splitlines()[15].split(":", 2)
    assert title == dumps.article(server.config, 15)[0]
    stream = bz2.BZ2Decompressor().decompress(body[int(offset) :]).decode()
    assert f"<id>{number}</id>" in stream
    assert stream.count("<page>") == dumps.PAGES_PER_STREAM


def oai(server, **asked):
    query = "&".join(f"{key.strip('_')}={quote(value)}" for key, value in asked.items())
    return get(server.url(f"/oai?{query}"))[0].decode()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "badVerb"),
        ({"verb": "ListRecords"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "marc"}, "cannotDisseminateFormat"),
        ({"verb": "ListRecords", "metadataPrefix": "arXiv", "from_": "x"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "arXiv", "set": "zoo"}, "noRecordsMatch"),
        ({"verb": "ListRecords", "resumptionToken": "x"}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "x", "set": "cs"}, "badArgument"),
        ({"verb": "GetRecord", "identifier": "x", "metadataPrefix": "arXiv"}, "idDoesNotExist"),
    ],
)
def test_errors_have_the_codes_of_the_protocol(server, asked, code):
    assert f'<error code="{code}">' in oai(server, **asked)


def test_lists_come_in_parts_with_tokens(server):
    answer = oai(server, verb="ListIdentifiers", metadataPrefix="oai_dc")
    found = answer.count("<header")
    while '<resumptionToken completeListSize="120"' in answer and "expirationDate" in answer:
        token = answer.split("</resumptionToken>")[0].rpartition(">")[2]
        answer = oai(server, verb="ListIdentifiers", resumptionToken=token)
        found += answer.count("<header")
    assert found == 120
    assert 'cursor="90"/>' in answer
    assert 'status="deleted"' in answer
    one = arxiv.record(server.config, 5)
    about = {"identifier": f"oai:arXiv.org:{one.id}", "metadataPrefix": "oai_dc"}
    assert "<dc:title>" in oai(server, verb="GetRecord", **about)
    assert "<granularity>YYYY-MM-DD</granularity>" in oai(server, verb="Identify")


def test_tokens_expire():
    with WebServer(hosts=1, oai_page=10, token_seconds=-1) as strict:
        answer = oai(strict, verb="ListRecords", metadataPrefix="arXiv")
        token = answer.split("</resumptionToken>")[0].rpartition(">")[2]
        assert "badResumptionToken" in oai(strict, verb="ListRecords", resumptionToken=token)


@pytest.mark.parametrize("kind", ["reset", "lost", "truncated"])
def test_connections_break_at_the_attempts_of_the_plan(server, faulty, kind):
    faulty(Fault(kind=kind, match="/pages/4.html", attempts=(1, 3)))
    for _ in range(2):
        with pytest.raises(FAILURES):
            get(server.url("/pages/4.html"))
        assert get(server.url("/pages/4.html"))[0]
    assert [one.fate for one in server.requests("/pages/4.html")][-4:] == [kind, "served"] * 2


def test_answers_are_replaced_delayed_and_redirected(server, faulty):
    faulty(
        Fault(kind="status", match="/pages/1", status=429, retry_after="7"),
        Fault(kind="redirect", match="/pages/2", location="http://10.0.0.1/", attempts=()),
        Fault(kind="body", match="/pages/3", body="Not this.", media_type="text/plain"),
        Fault(kind="late", match="/pages/5", seconds=0.2),
        Fault(kind="slow", match="/pages/6", seconds=0.01, piece=200),
    )
    with pytest.raises(HTTPError, match="429") as caught:
        get(server.url("/pages/1.html"))
    assert caught.value.headers["Retry-After"] == "7"
    request = Request(server.url("/pages/2.html"))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {request.selector} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"Location: http://10.0.0.1/" in connection.recv(4096)
    body, headers, _ = get(server.url("/pages/3.html"))
    assert (body, headers["Content-Type"]) == (b"Not this.", "text/plain")
    plain = get(server.url("/pages/6.html?b"))[0]
    before = time.monotonic()
    get(server.url("/pages/5.html"))
    assert time.monotonic() - before >= 0.2
    before = time.monotonic()
    assert get(server.url("/pages/6.html"))[0] == plain
    assert time.monotonic() - before >= 0.01 * (len(plain) // 200)


def test_an_endless_body_does_not_end(server, faulty):
    faulty(Fault(kind="endless", match="/pages/7"))
    with urlopen(server.url("/pages/7.html"), timeout=20) as answer:
        assert len(answer.read(5 << 20)) == 5 << 20
    assert get(server.url("/pages/8.html"))[0]  # the server goes on


def test_a_share_of_the_targets_fails_the_same_in_every_run():
    plan = (Fault(kind="reset", share=0.3, attempts=(2,)),)
    first, second = FaultPlan(plan, 5), FaultPlan(plan, 5)
    targets = [f"/pages/{n}.html" for n in range(400)]
    assert not any(first.fault_of("h", target) for target in targets)
    failed = [target for target in targets if first.fault_of("h", target)]
    assert 80 < len(failed) < 160
    assert failed == [t for t in targets if [second.fault_of("h", t), second.fault_of("h", t)][1]]


def test_the_limit_is_of_a_host_in_any_window():
    limiter = Limiter(ServerConfig(limit=(2, 1.0)))
    asked = [(0.0, True), (0.1, True), (0.9, False), (1.01, True), (1.05, False), (1.11, True)]
    assert [limiter.accepts("a", now) for now, _ in asked] == [accepted for _, accepted in asked]
    assert limiter.accepts("b", 0.9)


def test_what_is_over_the_limit_is_refused_and_logged():
    with WebServer(hosts=1, limit=(2, 30.0), refusal=503, retry_after="30") as strict:
        for number in range(2):
            get(strict.url(f"/pages/{number}.html"))
        with pytest.raises(HTTPError, match="503") as caught:
            get(strict.url("/pages/2.html"))
        assert caught.value.headers["Retry-After"] == "30"
        assert [one.fate for one in strict.requests()] == ["served", "served", "refused"]


def test_answers_are_delayed_without_keeping_others_waiting():
    with WebServer(hosts=1, latency=0.2) as slow:
        connections = [socket.create_connection(("127.0.0.1", slow.port)) for _ in range(20)]
        before = time.monotonic()
        for connection in connections:
            connection.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connection.close()
        taken = time.monotonic() - before
        times = [one.time for one in slow.requests()]
    assert taken >= 0.2
    assert max(later - earlier for earlier, later in pairwise(times)) < taken


def test_settings_survive_the_way_to_the_process():
    config = ServerConfig(limit=None, faults=(Fault(kind="lost", attempts=(1, 2)),), records=7)
    assert ServerConfig.from_json(config.to_json()) == config
