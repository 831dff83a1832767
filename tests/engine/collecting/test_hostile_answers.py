"""Answers that are wrong on purpose: each ends in a listed reason, soon, and with little memory."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib

import pytest
from raw_server import answer, lost, raw_server, reset, silence

from paninifs.engine.collecting.outcome import REASONS, NotKept
from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy

MOST = 3 << 20
PAGE = b"<p>words</p>" * 100


def policy(cache, **changes):
    words = {
        "allow_hosts": frozenset({"127.0.0.1"}),
        "per_second": 1e5,
        "connections_per_host": 8,
        "cache": cache,
        "tries": 2,
        "backoff_seconds": 0.001,
        "most_bytes": MOST,
        "most_ratio": 100.0,
        "first_byte_seconds": 0.4,
        "chunk_seconds": 0.4,
        "slow_seconds": 0.3,
        "slowest": 1000.0,
        "patience": 5.0,
    }
    return RequestPolicy(**(words | changes))


def packed(body, encoding, **words):
    return answer(body, 200, f"Content-Encoding: {encoding}", **words)


def chunked(*chunks, end=b"0\r\n\r\n", headers=()):
    head = answer(b"", 200, "Transfer-Encoding: chunked", *headers, length=False)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + end


def drip(head, piece, seconds=0.02):
    """Send something, and then a piece again and again, for ever."""

    async def sending(asked, reader, writer):
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)

    return sending


def and_then(head, what):
    async def sending(asked, reader, writer):
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.02)
        return await what(asked, reader, writer)

    return sending


def layers(count):
    body = PAGE
    for _ in range(count):
        body = gzip.compress(body)
    return packed(body, ", ".join(["gzip"] * count))


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def redirect(location, status=302):
    return answer(b"", status, f"Location: {location}")


BOMB = gzip.compress(bytes(20 << 20))
HUNDRED = "Content-Length: 100"

ANSWERS = {
    # Connections
    "reset": (reset, "unreachable"),
    "closed without a word": (lost, "unreachable"),
    "silence": (silence, "timeout"),
    "headers that never end": (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "timeout"),
    "headers without end at speed": (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 99, 0), None),
    "a line without end": (drip(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 5000, 0), "bad-headers"),
    "continue for ever": (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    # Heads
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad-headers"),
    "HTTP/0.9": (b"<html>hello</html>", "bad-headers"),
    "a status of words": (b"HTTP/1.1 fine OK\r\n\r\n", "bad-headers"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "bad-headers"),
    "a huge header": (answer(PAGE, 200, "X: " + "y" * 20_000), "bad-headers"),
    "a thousand headers": (answer(PAGE, 200, *["X: y"] * 1000), "bad-headers"),
    "a header with a zero byte": (answer(PAGE, 200, "X: a\0b"), "bad-headers"),
    "head cut off": (b"HTTP/1.1 200 OK\r\nContent-Le", "unreachable"),
    "negative length": (answer(PAGE, 200, "Content-Length: -5", length=False), "bad-headers"),
    "length in words": (answer(PAGE, 200, "Content-Length: ten", length=False), "bad-headers"),
    "two lengths": (answer(PAGE, 200, "Content-Length: 5"), "bad-headers"),
    "length and chunks": (chunked(PAGE, headers=(HUNDRED,)), "bad-headers"),
    "unknown transfer": (answer(b"x", 200, "Transfer-Encoding: magic", length=False), None),
    # Statuses
    "nothing": (answer(b""), "no-text"),
    "204": (answer(b"", 204, length=False), "no-text"),
    "206 unasked": (answer(b"x", 206, "Content-Range: bytes 0-0/9"), "bad-status"),
    "304 unasked": (answer(b"", 304, length=False), "bad-status"),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "bad-status"),
    "300": (answer(b"", 300), "bad-status"),
    "401": (answer(b"", 401, "WWW-Authenticate: Basic"), "forbidden"),
    "403 with an endless body": (
        drip(answer(b"", 403, length=False), b"x" * 10_000, 0),
        "forbidden",
    ),
    "404": (answer(b"no", 404), "not-found"),
    "410": (answer(b"gone", 410), "not-found"),
    "429": (answer(b"", 429), "busy"),
    "429 for a year": (answer(b"", 429, "Retry-After: 31536000"), "busy"),
    "429 for ever": (answer(b"", 429, "Retry-After: " + "9" * 400), "busy"),
    "503 until nonsense": (answer(b"", 503, "Retry-After: tomorrow-ish"), "busy"),
    "500": (answer(b"", 500), "server-error"),
    "999": (answer(b"", 999), "bad-status"),
    # Redirects
    "to itself": (redirect("/"), "bad-redirect"),
    "to nowhere": (answer(b"", 302), "bad-redirect"),
    "to garbage": (redirect("http://[::1/"), "bad-redirect"),
    "to another protocol": (redirect("file:///etc/passwd"), "bad-redirect"),
    "to a script": (redirect("javascript:alert(1)"), "bad-redirect"),
    "to bytes": (answer(b"", 302, "Location: http://\xff\xfe/"), "bad-redirect"),
    "to a private address": (redirect("http://127.0.0.2/"), "private-address"),
    "to the cloud's metadata": (redirect("http://169.254.169.254/latest/"), "private-address"),
    "to IPv6 loopback": (redirect("http://[::1]/"), "private-address"),
    "to a mapped address": (redirect("http://[::ffff:10.0.0.1]/"), "private-address"),
    "to a number": (redirect("http://2130706433/"), "private-address"),
    "to octal": (redirect("http://0177.0.0.1/"), "private-address"),
    "to hex": (redirect("http://0x7f.1/"), "private-address"),
    "to localhost": (redirect("http://localhost/"), "private-address"),
    "with a password": (redirect("http://user:secret@127.0.0.1/"), "bad-redirect"),
    # Bodies
    "shorter than its length": (answer(PAGE, 200, "Content-Length: 9999", length=False), None),
    "chunks cut off": (chunked(PAGE, end=b"ff\r\nabc"), "truncated"),
    "last chunk missing": (chunked(PAGE, end=b""), "truncated"),
    "chunk size of letters": (chunked(PAGE, end=b"zz\r\nabc\r\n0\r\n\r\n"), "bad-headers"),
    "negative chunk": (chunked(PAGE, end=b"-5\r\nabc\r\n0\r\n\r\n"), "bad-headers"),
    "huge chunk": (chunked(PAGE, end=b"f" * 40 + b"\r\nabc\r\n"), "bad-headers"),
    "reset in the body": (and_then(answer(PAGE) + b"", reset), "ok"),
    "reset in a longer body": (
        and_then(answer(b"x", 200, HUNDRED, length=False), reset),
        "truncated",
    ),
    "endless": (drip(answer(b"", length=False), b"x" * 60_000, 0), "too-large"),
    "endless chunks": (
        drip(chunked(end=b""), b"%x\r\n%s\r\n" % (60_000, b"x" * 60_000), 0),
        "too-large",
    ),
    "says that it is huge": (answer(b"x", 200, "Content-Length: 9000000000", length=False), None),
    "slow": (drip(answer(b"x", 200, "Content-Length: 99999", length=False), b"x"), "too-slow"),
    "silent body": (and_then(answer(b"x", 200, HUNDRED, length=False), silence), "timeout"),
    "more than its length": (
        answer(PAGE, 200, "Content-Length: 12", length=False),
        "bad-headers",
    ),
    # Compression
    "gzip bomb": (packed(BOMB, "gzip"), "bomb"),
    "deflate bomb": (packed(zlib.compress(bytes(20 << 20)), "deflate"), "bomb"),
    "bomb in a bomb": (packed(gzip.compress(BOMB), "gzip, gzip"), "bomb"),
    "large, but no bomb": (
        packed(gzip.compress(random.Random(1).randbytes(MOST // 2 + 1).hex().encode(), 1), "gzip"),
        "too-large",
    ),
    "gzip cut off": (packed(gzip.compress(PAGE)[:-9], "gzip"), "truncated"),
    "gzip damaged": (packed(gzip.compress(PAGE)[:-8] + b"12345678", "gzip"), "bad-compression"),
    "gzip that is none": (packed(PAGE, "gzip"), "bad-compression"),
    "gzip followed by something": (
        packed(gzip.compress(PAGE) + b"extra", "gzip"),
        "bad-compression",
    ),
    "many members": (packed(gzip.compress(b"") * 9999, "gzip"), "no-text"),
    "too many members": (packed(gzip.compress(b"", 1) * 10_001, "gzip"), "bad-compression"),
    "unknown encoding": (packed(PAGE, "rot13"), "bad-compression"),
    "an encoding of bytes": (packed(PAGE, "\xe9\xff"), "bad-compression"),
    "four layers": (layers(4), "bad-compression"),
    "brotli that is none": (packed(PAGE, "br"), "bad-compression"),
    "zstd that is none": (packed(PAGE, "zstd"), "bad-compression"),
}
"""By name, what is sent, and the reason in which it ends; None where several are right."""

SEVERAL = {
    "headers without end at speed": {"timeout", "bad-headers"},
    "unknown transfer": {"bad-headers", "bad-status", "truncated", "ok"},
    "shorter than its length": {"truncated", "bad-headers"},
    "says that it is huge": {"too-large", "bad-headers"},
}


async def outcome(sent, cache, path="/", **changes):
    async with raw_server({path: sent}) as server, HttpWeb(policy(cache, **changes)) as web:
        try:
            await web.get(server.url(path), robots=False)
        except NotKept as refusal:
            return refusal, server
        return None, server


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_ends_in_a_reason(name, tmp_path):
    sent, reason = ANSWERS[name]
    refusal, _ = asyncio.run(asyncio.wait_for(outcome(sent, tmp_path), 20))
    found = "ok" if refusal is None else refusal.reason
    assert found in (SEVERAL.get(name) or {reason}), refusal
    if refusal is not None:
        assert refusal.reason in REASONS
        assert str(refusal).isprintable()


def test_there_are_at_least_forty_kinds():
    assert len(ANSWERS) >= 40


GOOD = {
    "plain": answer(PAGE),
    "chunks": chunked(PAGE[:7], PAGE[7:]),
    "until it closes": answer(PAGE, length=False),
    "gzip": packed(gzip.compress(PAGE), "gzip"),
    "x-gzip in capitals": packed(gzip.compress(PAGE), "X-GZIP"),
    "two members and zeros": packed(
        gzip.compress(PAGE[:9]) + gzip.compress(PAGE[9:]) + bytes(7), "gzip"
    ),
    "deflate": packed(zlib.compress(PAGE), "deflate"),
    "deflate without a header": packed(raw_deflate(PAGE), "deflate"),
    "two layers": layers(2),
    "identity": packed(PAGE, "identity"),
    "203": answer(PAGE, 203),
    "bytes in headers": answer(PAGE, 200, "X-Word: \xe9\xff", "ETag: \xe9"),
}


@pytest.mark.parametrize("name", GOOD)
def test_unusual_answers_that_are_right_are_kept(name, tmp_path):
    async def body():
        async with raw_server({"/": GOOD[name]}) as server, HttpWeb(policy(tmp_path)) as web:
            return await web.get(server.url(), robots=False)

    got = asyncio.run(body())
    assert (got.body, got.status, got.validators.etag) == (PAGE, 200, "")


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_newer_compressions_are_bounded_too(name, tmp_path):
    pack = pytest.importorskip("brotli").compress if name == "br" else _zstd
    for body, reason in ((PAGE, None), (bytes(20 << 20), "bomb")):
        refusal, _ = asyncio.run(outcome(packed(pack(body), name), tmp_path))
        assert getattr(refusal, "reason", None) == reason
    refusal, _ = asyncio.run(outcome(packed(pack(PAGE)[:-3], name), tmp_path))
    assert refusal.reason == "truncated"


def _zstd(body):
    import pyarrow as pa

    return pa.Codec("zstd").compress(body, asbytes=True)


def test_nobody_there(tmp_path):
    async def ask():
        async with raw_server({}) as server:
            url = server.url()
        async with HttpWeb(policy(tmp_path)) as web:
            await web.get(url, robots=False)

    with pytest.raises(NotKept) as caught:
        asyncio.run(ask())
    assert caught.value.reason == "unreachable"
