"""What `HttpWeb` makes of ordinary servers: redirects, robots.txt, conditions, tries and pauses."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from raw_server import answer, lost, raw_server, reset

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.web import addresses
from paninifs.engine.collecting.web.addresses import CheckedResolver
from paninifs.engine.collecting.web.answer import Validators
from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy
from paninifs.storage.errors import UsageError

OK = answer(b"words", 200, "Content-Type: Text/HTML; Charset=UTF-8", keep=True)


def policy(cache, **changes):
    words = {
        "allow_hosts": frozenset({"127.0.0.1", "127.0.0.2", "here.example"}),
        "per_second": 1e5,
        "cache": cache,
        "tries": 4,
        "backoff_seconds": 0.001,
    }
    return RequestPolicy(**(words | changes))


def run(use, answers, cache, resolver=None, **changes):
    """Run a function of a web and a server, and return both its result and the server."""

    async def main():
        said = policy(cache, **changes)
        found = CheckedResolver(said, resolver) if resolver else None
        async with raw_server(answers) as server, HttpWeb(said, found) as web:
            return await use(web, server), server

    return asyncio.run(asyncio.wait_for(main(), 30))


def get(path="/", **words):
    return lambda web, server: web.get(server.url(path), **({"robots": False} | words))


def refused(answers, cache, path="/", **changes):
    words = changes.pop("words", {})
    with pytest.raises(NotKept) as caught:
        run(get(path, **words), answers, cache, **changes)
    return caught.value


def test_an_answer(tmp_path):
    got, server = run(get(params={"q": "a b&c", "n": "1"}), {"/": OK}, tmp_path)
    assert (got.body, got.status, got.media_type, got.charset) == (
        b"words",
        200,
        "text/html",
        "UTF-8",
    )
    assert got.received_bytes == 5
    assert got.retrieved.utcoffset().total_seconds() == 0
    [asked] = server.asked
    assert asked.path == "/?q=a+b%26c&n=1"
    assert asked.headers["User-Agent"].startswith("paninifs/")
    assert not {"Cookie", "Authorization", "Referer"} & set(asked.headers)


def test_the_contact_is_sent_and_public_hosts_need_one(tmp_path):
    _, server = run(get(), {"/": OK}, tmp_path, contact="who@example.org")
    assert server.asked[0].headers["User-Agent"].endswith(" (+who@example.org)")
    with pytest.raises(UsageError, match="contact="):
        run(lambda web, server: web.get("http://example.org/"), {}, tmp_path)
    with pytest.raises(UsageError, match="e-mail"):
        policy(tmp_path, contact="me)\r\nX: y")


def test_connections_are_kept_and_cookies_are_not(tmp_path):
    def lookup(host, port, **rest):  # a name: cookies of bare addresses are kept by nobody
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    async def use(web, server):
        for _ in range(5):
            await web.get(f"http://here.example:{server.port}/", robots=False)

    sent = answer(b"x", 200, "Set-Cookie: a=b; Path=/", keep=True)
    _, server = run(use, {"/": sent}, tmp_path, lookup)
    assert server.connections == 1
    assert all("Cookie" not in asked.headers for asked in server.asked)


# Redirects


def hop(location, status=302):
    return answer(b"moved", status, f"Location: {location}", keep=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status, tmp_path):
    answers = {"/": hop("/there/?x=%C3%A9#part", status), "/there/": hop("../end"), "/end": OK}
    got, server = run(get(), answers, tmp_path)
    assert got.url == server.url("/end")
    assert server.paths() == ["/", "/there/?x=%C3%A9", "/end"]


def test_redirects_end_after_ten(tmp_path):
    answers = {f"/{n}": hop(f"/{n + 1}") for n in range(20)}
    answers["/10"] = OK
    assert run(get("/0"), dict(answers), tmp_path)[0].body == b"words"
    answers["/10"] = hop("/11")
    refusal = refused(answers, tmp_path, "/0")
    assert (refusal.reason, refusal.detail) == ("bad-redirect", "more than 10 times")


def test_redirects_in_a_circle_are_seen(tmp_path):
    refusal = refused({"/a": hop("/b"), "/b": hop("/a")}, tmp_path, "/a")
    assert refusal.reason == "bad-redirect"
    assert "circle" in refusal.detail


def test_names_are_judged_by_their_addresses_at_every_hop(tmp_path):
    def lookup(host, port, **rest):
        [address] = {"here.example": ["127.0.0.1"], "rebound.example": ["10.0.0.7"]}[host]
        return [(2, 1, 6, "", (address, port))]

    async def use(web, server):
        location = f"http://rebound.example:{server.port}/"
        server.answers["/"] = hop(location)
        return await web.get(f"http://here.example:{server.port}/", robots=False)

    with pytest.raises(NotKept) as caught:
        run(use, {}, tmp_path, lookup, contact="a@b.c")
    assert caught.value.reason == "private-address"
    assert "rebound.example is 10.0.0.7" in str(caught.value)


def test_a_name_that_changes_its_address_gains_nothing(tmp_path, monkeypatch):
    """The address that was judged is the one that is connected to; nobody looks it up again."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.9")
    said = policy(tmp_path, contact="a@b.c", allow_hosts=frozenset())
    asked = []

    def lookup(host, port, **rest):
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.9" if len(asked) == 1 else "127.0.0.1", port))]

    async def main():
        async with (
            raw_server({"/": OK}, "127.0.0.9") as public,
            raw_server({"/": OK}, "127.0.0.1", public.port) as private,
            HttpWeb(said, CheckedResolver(said, lookup)) as web,
        ):
            await web.get(f"http://x.example:{public.port}/", robots=False)
            return public.paths(), private.paths()

    assert asyncio.run(main()) == (["/"], [])
    assert asked == ["x.example"]


def test_an_unknown_name(tmp_path):
    def lookup(host, port, **rest):
        raise OSError(-2, "Name or service not known")

    async def use(web, server):
        await web.get("http://gone.example/", robots=False)

    with pytest.raises(NotKept) as caught:
        run(use, {}, tmp_path, lookup, contact="a@b.c")
    assert caught.value.reason == "unknown-host"


# Conditions


def test_unchanged_pages_are_not_sent_again(tmp_path):
    seen = Validators(etag='W/"7"', last_modified="Thu, 01 Jan 2026 00:00:00 GMT")
    answers = {"/": answer(b"", 304, 'ETag: W/"7"', length=False)}
    got, server = run(get(validators=seen), answers, tmp_path)
    assert got.unchanged
    assert (got.body, got.validators.etag) == (b"", 'W/"7"')
    assert server.asked[0].headers["If-None-Match"] == 'W/"7"'
    assert server.asked[0].headers["If-Modified-Since"] == seen.last_modified


def test_validators_are_returned(tmp_path):
    sent = answer(b"x", 200, 'ETag: "8"', "Last-Modified: Fri, 02 Jan 2026 00:00:00 GMT")
    got, _ = run(get(), {"/": sent}, tmp_path)
    assert got.validators == Validators(etag='"8"', last_modified="Fri, 02 Jan 2026 00:00:00 GMT")


# Tries


@pytest.mark.parametrize("fault", [reset, lost, answer(b"", 503), answer(b"", 429),
                                   answer(b"", 500), answer(b"x", 200, "Content-Length: 9",
                                                            length=False)])  # fmt: skip
def test_what_passes_is_tried_again(fault, tmp_path):
    got, server = run(get(), {"/": [fault, fault, OK]}, tmp_path)
    assert got.body == b"words"
    assert len(server.asked) == 3


@pytest.mark.parametrize(("fault", "reason"), [(lost, "unreachable"), (answer(b"", 503), "busy")])
def test_tries_are_bounded_and_each_is_counted(fault, reason, tmp_path):
    async def use(web, server):
        with pytest.raises(NotKept) as caught:
            await web.get(server.url(), robots=False)
        return caught.value.reason, web.hosts["127.0.0.1"]

    (found, figures), server = run(use, {"/": fault}, tmp_path)
    assert found == reason
    assert len(server.asked) == figures.requests == 4
    assert figures.last_error


@pytest.mark.parametrize("status", [404, 403, 400, 501])
def test_what_does_not_pass_is_not_tried_again(status, tmp_path):
    async def use(web, server):
        with pytest.raises(NotKept):
            await web.get(server.url(), robots=False)

    _, server = run(use, {"/": answer(b"", status)}, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_to_wait_is_left_alone_by_all_requests(status, tmp_path):
    async def use(web, server):
        async def other():
            while not server.asked:
                await asyncio.sleep(0.01)
            async with HttpWeb(policy(tmp_path)) as second:  # as another process would
                await second.get(server.url("/other"), robots=False)

        await asyncio.gather(web.get(server.url(), robots=False), other())

    busy = answer(b"", status, "Retry-After: 1")
    _, server = run(use, {"/": [busy, OK], "/other": OK}, tmp_path)
    first, *later = [asked.at for asked in server.asked]
    assert len(later) == 2
    assert min(later) - first >= 0.99


def test_a_host_that_asks_to_wait_for_too_long_is_not_waited_for(tmp_path):
    async def use(web, server):
        begun = time.monotonic()
        reasons = []
        for _ in range(2):  # the second one does not even ask
            with pytest.raises(NotKept) as caught:
                await web.get(server.url(), robots=False)
            reasons.append(caught.value.reason)
        return reasons, time.monotonic() - begun, web.hosts["127.0.0.1"].paused

    busy = answer(b"", 503, "Retry-After: 86400")
    (reasons, seconds, paused), server = run(use, {"/": busy}, tmp_path)
    assert reasons == ["busy", "busy"]
    assert len(server.asked) == 1
    assert seconds < 20 < 3000 < paused <= 3600


# robots.txt

ROBOTS_TEXT = "User-agent: *\nDisallow: /no\nAllow: /no/yes\n"
ROBOTS = answer(ROBOTS_TEXT.encode(), keep=True)


def test_robots_txt_is_asked_for_once_a_day_and_obeyed(tmp_path):
    async def use(web, server):
        await asyncio.gather(*(web.get(server.url(f"/yes{n}")) for n in range(5)))
        await web.get(server.url("/no/yes"))
        async with HttpWeb(policy(tmp_path)) as later:
            with pytest.raises(NotKept) as caught:
                await later.get(server.url("/no/thing"))
        await web.get(server.url("/no/api"), robots=False)
        return caught.value

    refusal, server = run(use, {"/robots.txt": ROBOTS, "*": OK}, tmp_path)
    assert (refusal.reason, refusal.kind) == ("robots", "skipped")
    assert server.paths().count("/robots.txt") == 1
    assert "/no/thing" not in server.paths()


def test_rules_for_us_by_name_come_first(tmp_path):
    rules = answer(b"User-agent: *\nDisallow: /\n\nUser-agent: PaniniFS\nDisallow: /private\n")
    got, _ = run(get(robots=True), {"/robots.txt": rules, "/": OK}, tmp_path)
    assert got.body == b"words"
    answers = {"/robots.txt": rules, "*": OK}
    words = {"robots": True}
    assert refused(answers, tmp_path / "b", "/private/x", words=words).reason == "robots"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(b"", 404), None),
        (answer(b"", 403), None),
        (answer(b""), None),
        (answer(b"<html>not rules</html>"), None),
        (answer(b"\xff\xfe\x00" * 99), None),
        (answer(b"User-agent: *\nAllow: /\n" + b"#" * (1 << 20) + b"\nDisallow: /\n"), None),
        (answer(b"", 500), "no-robots"),
        (answer(b"", 503), "no-robots"),
        (answer(b"", 302, "Location: /robots.txt"), "no-robots"),
        (lost, "unreachable"),
    ],
)
def test_robots_txt_that_is_not_there_or_not_to_be_had(said, reason, tmp_path):
    answers = {"/robots.txt": said, "/": OK}
    if reason is None:
        assert run(get(robots=True), answers, tmp_path)[0].body == b"words"
    else:
        refusal = refused(answers, tmp_path, words={"robots": True})
        assert refusal.reason == reason
        assert "robots.txt could not be fetched" in refusal.detail


@pytest.mark.parametrize(
    "body",
    [
        ROBOTS_TEXT.encode("utf-8-sig"),
        ROBOTS_TEXT.encode("utf-16"),
        ROBOTS_TEXT.encode("utf-16-be"),
        ROBOTS_TEXT.replace("\n", "\r").encode(),
        ROBOTS_TEXT.replace("\n", "\0\n").encode(),
    ],
    ids=["mark", "utf-16", "utf-16-be", "cr", "nul"],
)
def test_robots_txt_in_other_encodings_is_obeyed(body, tmp_path):
    answers = {"/robots.txt": answer(body), "*": OK}
    assert refused(answers, tmp_path, "/no/thing", words={"robots": True}).reason == "robots"


def test_robots_txt_holds_for_what_redirects_point_to(tmp_path):
    answers = {"/robots.txt": ROBOTS, "/": hop("/no/thing"), "*": OK}
    assert refused(answers, tmp_path, words={"robots": True}).reason == "robots"


@pytest.mark.parametrize(("delay", "obeyed"), [("0.5", 0.5), ("1e6", 60.0), ("nan", 0), ("-3", 0)])
def test_crawl_delay_is_obeyed_within_bounds(delay, obeyed, tmp_path):
    rules = answer(f"User-agent: *\nCrawl-delay: {delay}\n".encode(), keep=True)

    async def waiting(web, server):
        task = asyncio.create_task(web.get(server.url()))
        while "/robots.txt" not in server.paths() or not web.hosts:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        task.cancel()
        return web.hosts["127.0.0.1"]

    figures, _ = run(waiting, {"/robots.txt": rules, "/": OK}, tmp_path)
    if obeyed:
        assert figures.per_second == pytest.approx(1 / obeyed)
        assert "Crawl-delay" in figures.note
        assert ("60 s are obeyed" in figures.note) == (delay == "1e6")
    else:
        assert (figures.per_second, figures.note) == (pytest.approx(1e5), "")


# Limits


def test_connections_per_host_are_bounded_over_processes(tmp_path):
    busy, most = [0], [0]

    async def slow(asked, reader, writer):
        busy[0] += 1
        most[0] = max(most + busy)
        await asyncio.sleep(0.03)
        busy[0] -= 1
        writer.write(OK)
        return True

    async def use(web, server):
        async with HttpWeb(policy(tmp_path, connections_per_host=2)) as second:
            await asyncio.gather(
                *(one.get(server.url(), robots=False) for one in [web, second] * 8)
            )

    _, server = run(use, {"/": slow}, tmp_path, connections_per_host=2)
    assert len(server.asked) == 16
    assert most == [2]


def test_limits_that_operators_publish(tmp_path):
    said = policy(tmp_path, rates={"export.arxiv.org": 9.0, "slow.arxiv.org": 0.1})
    said = said.sharing("arxiv", {"arxiv.org": 3.0})
    one, two, three, other = map(
        said.limit_of, ["arxiv.org", "export.arxiv.org", "slow.arxiv.org", "notarxiv.org"]
    )
    assert one.limit == two.limit == three.limit == "arxiv" != other.limit
    assert [limit.rate.interval for limit in (one, two)] == [3.0, 3.0]
    assert three.rate.interval == pytest.approx(10.0)
    assert (two.connections, two.persistent) == (1, False)


@pytest.mark.parametrize("words", [{"per_second": 0}, {"tries": 0}, {"limits": {"a": -1}},
                                   {"connections": 1.5}, {"patience": float("inf")}])  # fmt: skip
def test_policies_are_checked(words, tmp_path):
    with pytest.raises(UsageError):
        policy(tmp_path, **words)


def test_figures_by_host(tmp_path):
    async def use(web, server):
        await asyncio.gather(*(web.get(server.url(), robots=False) for _ in range(6)))
        return web.hosts

    figures, _ = run(use, {"/": OK}, tmp_path)
    host = figures["127.0.0.1"]
    assert (host.requests, host.received, host.waiting, host.asking) == (6, 30, 0, 0)
    assert (host.last_error, host.paused) == ("", 0.0)


def test_cancelled_requests_leave_nothing_behind(tmp_path):
    async def use(web, server):
        for seconds in itertools.chain([0.0] * 5, [0.002] * 5, [0.02] * 5):
            tasks = [asyncio.create_task(web.get(server.url(), robots=False)) for _ in range(8)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await web.get(server.url(), robots=False)
        return web.hosts["127.0.0.1"]

    figures, _ = run(use, {"/": OK}, tmp_path)
    assert (figures.waiting, figures.asking) == (0, 0)


# TLS


def test_certificates_are_verified(tmp_path):
    from distributed.security import Security

    context = Security.temporary().get_listen_args("scheduler")["ssl_context"]

    async def main():
        async def nobody(reader, writer):
            writer.close()

        server = await asyncio.start_server(nobody, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, HttpWeb(policy(tmp_path)) as web:
            await web.get(f"https://127.0.0.1:{port}/", robots=False)

    with pytest.raises(NotKept) as caught:
        asyncio.run(main())
    assert caught.value.reason == "tls"


def test_a_host_that_does_not_speak_tls(tmp_path):
    async def main():
        async def plainly(reader, writer):
            writer.write(OK)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(plainly, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, HttpWeb(policy(tmp_path)) as web:
            await web.get(f"https://127.0.0.1:{port}/", robots=False)

    with pytest.raises(NotKept) as caught:
        asyncio.run(asyncio.wait_for(main(), 20))
    assert caught.value.reason == "tls"
