"""A collection in a process of its own, to be killed: pages of the imitator on loopback.

``python collecting_attempt.py PORT COUNT HOSTS CORPUS CACHE``
"""

from __future__ import annotations

import sys

from paninifs.engine.collecting.collect import collect
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.source import Source


class ServedPages(Source):
    """Lists the pages of the imitator's hosts, host by host, with some repeated."""

    name = "served"

    def __init__(self, port: int, count: int, hosts: int) -> None:
        self.port, self.count, self.hosts = port, count, hosts

    async def pages(self, web, cursor):
        for at in range(int(cursor or 0), self.count, 20):
            end = min(at + 20, self.count)
            yield Page(items=tuple(map(self.item, range(at, end))), cursor=str(end))

    def item(self, number: int) -> Item:
        host, page = 1 + number % self.hosts, number // self.hosts
        ending = ("html", "txt", "pdf")[number % 3]
        url = f"http://127.0.0.{host}:{self.port}/pages/{page}.{ending}"
        return Item(key=f"{number:06d}", url=url, licence="CC0-1.0")


def attempt(port: int, count: int, hosts: int, corpus: str, cache: str):
    """Collect, without limits of rate; return the collection."""
    return collect(
        ServedPages(port, count, hosts),
        corpus,
        rate=1000,
        allow_hosts=[f"127.0.0.{host}" for host in range(1, hosts + 1)],
        processes=2,
        flush_minutes=0.02,
        progress=False,
        cache=cache,
    )


if __name__ == "__main__":
    port, count, hosts, corpus, cache = sys.argv[1:]
    attempt(int(port), int(count), int(hosts), corpus, cache)
