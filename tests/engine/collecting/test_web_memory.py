"""Many requests to many hosts, in memory that does not grow."""

from __future__ import annotations

import asyncio
import gc

import psutil
import pytest
from raw_server import answer, raw_server

from paninifs.engine.collecting.web import addresses
from paninifs.engine.collecting.web.addresses import CheckedResolver
from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy

PAGE = answer(b"words " * 200, 200, "Content-Type: text/html", "Set-Cookie: a=b", keep=True)


@pytest.mark.soak("asks 24,000 times, at a millisecond and more each")
def test_memory_does_not_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    policy = RequestPolicy(contact="who@example.org", per_second=100, cache=tmp_path)
    resolver = CheckedResolver(
        policy, lambda host, port, **rest: [(2, 1, 6, "", ("127.0.0.1", port))]
    )
    sizes = []

    async def main():
        async with raw_server({"*": PAGE}) as server, HttpWeb(policy, resolver) as web:
            for turn in range(24):
                for begin in range(0, 1000, 50):
                    urls = [
                        f"http://h{turn * 1000 + begin + n}.example:{server.port}/"
                        for n in range(50)
                    ]
                    await asyncio.gather(*(web.get(url, robots=False) for url in urls))
                server.asked.clear()
                gc.collect()
                sizes.append(psutil.Process().memory_info().rss)
            return len(web.hosts)

    assert asyncio.run(main()) <= 4096
    # Up to 4,096 hosts are remembered; after that nothing is added.
    assert sizes[-1] - sizes[5] < 16 << 20  # two kilobytes per host would be 36 MiB
