"""Which addresses may be asked, in all their spellings, and what names may stand for."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.web.addresses import CheckedResolver, checked_url, is_public
from paninifs.engine.collecting.web.request_policy import RequestPolicy

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "3fff::1",
    "5f00::1",
    "2a00:1::5efe:a00:1",
    "words",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.167.1.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    assert is_public(address)


URLS = {
    "http://127.0.0.1/": "private-address",
    "http://2130706433/": "private-address",
    "http://0x7f000001/": "private-address",
    "http://0x7F.0.0.1/": "private-address",
    "http://0177.0.0.1/": "private-address",
    "http://017700000001/": "private-address",
    "http://127.1/": "private-address",
    "http://127.0.1/": "private-address",
    "http://0/": "private-address",
    "http://127.0.0.1./": "private-address",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "private-address",
    "http://127\u30020\u30020\u30021/": "private-address",
    "http://[::1]/": "private-address",
    "http://[::ffff:7f00:1]/": "private-address",
    "http://[fe80::1%25eth0]/": "private-address",
    "http://localhost/": "private-address",
    "http://LocalHost.:80/": "private-address",
    "http://a.localhost/": "private-address",
    "http://printer.local/": "private-address",
    "http://metadata.google.internal/": "private-address",
    "http://134744072/": "bad-url",
    "http://08.8.8.8/": "bad-url",
    "http://8.8.8.256/": "bad-url",
    "http://1.2.3.4.5/": "bad-url",
    "http://user@example.org/": "bad-url",
    "http://:secret@example.org/": "bad-url",
    "http://example.org@127.0.0.1/": "bad-url",
    "ftp://example.org/": "bad-url",
    "file:///etc/passwd": "bad-url",
    "javascript:alert(1)": "bad-url",
    "//example.org/": "bad-url",
    "example.org": "bad-url",
    "http://": "bad-url",
    "http:///path": "bad-url",
    "http://example.org:99999/": "bad-url",
    "http://example.org:port/": "bad-url",
    "http://exa mple.org/": "bad-url",
    "http://example.org/\r\nX: y": "bad-url",
    "http://exam\0ple.org/": "bad-url",
    "http://example.org\\@127.0.0.1/": "bad-url",
    "http://[::1": "bad-url",
    "http://-.example/": "bad-url",
    "http://a..b/": "bad-url",
    "http://" + "a" * 300 + ".org/": "bad-url",
    "http://example.org/" + "a" * 9000: "bad-url",
    "": "bad-url",
}
GOOD = {
    "http://example.org": "http://example.org",
    " https://Example.ORG:443/a?b=c#d ": "https://example.org/a?b=c",
    "http://example.org:8080/": "http://example.org:8080/",
    "https://bücher.example/é": "https://xn--bcher-kva.example/%C3%A9",
    "http://8.8.8.8/": "http://8.8.8.8/",
    "http://[2606:4700::1111]/": "http://[2606:4700::1111]/",
    "http://under_score.example/": "http://under_score.example/",
}


@pytest.mark.parametrize("url", URLS)
def test_urls_that_are_refused(url):
    with pytest.raises(NotKept) as caught:
        checked_url(url, RequestPolicy())
    assert caught.value.reason == URLS[url]
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("url", GOOD)
def test_urls_that_are_asked_for(url):
    assert str(checked_url(url, RequestPolicy())) == GOOD[url]


@settings(max_examples=60)
@given(st.text(max_size=60).map("http://".__add__) | st.text(max_size=60))
def test_no_text_is_anything_but_a_url_or_refused(text):
    try:
        host = checked_url(text, RequestPolicy()).raw_host
    except NotKept:
        return
    assert host
    assert host.isascii()


def test_hosts_are_allowed_by_their_whole_name():
    policy = RequestPolicy(allow_hosts=frozenset({"127.0.0.1", "here.local"}))
    for url in ("http://127.0.0.1:8000/", "http://here.local/", "http://HERE.local/"):
        checked_url(url, policy)
    for url in ("http://127.0.0.2/", "http://a.here.local/", "http://2130706433/"):
        with pytest.raises(NotKept):
            checked_url(url, policy)


def resolve(addresses, host="x.example", **words):
    def lookup(host, port, **rest):
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    async def main():
        resolver = CheckedResolver(RequestPolicy(**words), lookup)
        try:
            return [found["host"] for found in await resolver.resolve(host, 80)]
        finally:
            await resolver.close()

    return asyncio.run(main())


def test_a_name_with_one_private_address_is_refused():
    assert resolve(["8.8.8.8", "1.1.1.1"]) == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(NotKept, match=r"x.example is 10.1.1.1"):
        resolve(["8.8.8.8", "10.1.1.1"])
    assert resolve(["10.1.1.1"], allow_hosts=frozenset({"x.example"})) == ["10.1.1.1"]
    with pytest.raises(OSError, match="no address"):
        resolve([])


def test_a_name_server_that_does_not_answer():
    async def main():
        resolver = CheckedResolver(
            RequestPolicy(connect_seconds=0.05), lambda *_, **__: time.sleep(0.3) or []
        )
        with pytest.raises(NotKept) as caught:
            await resolver.resolve("x.example", 80)
        await resolver.close()
        return caught.value.reason

    assert asyncio.run(main()) == "unknown-host"


def test_names_are_remembered_for_a_while_and_not_without_end():
    asked = []

    def lookup(host, port, **rest):
        asked.append(host)
        return [(2, 1, 6, "", ("8.8.8.8", port))]

    async def main():
        resolver = CheckedResolver(RequestPolicy(), lookup)
        for number in range(1500):
            await resolver.resolve(f"x{number % 1100}.example", 80)
        await resolver.resolve("x399.example", 80)
        await resolver.close()
        return len(resolver._known)

    assert asyncio.run(main()) <= 1024
    assert len(asked) == 1500
