"""Collections without a network: a web of pages in memory, an inline pool, and sources."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from paninifs.engine.collecting.collector import Collector, CollectSpec
from paninifs.engine.collecting.extraction.extracted import Extracted
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.pipeline.session import Tools
from paninifs.engine.collecting.source import Source
from paninifs.engine.collecting.web.answer import Answer, Validators
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.storage.targets.open import open_target


class Pages(Source):
    """Lists pages of several hosts, some of which fail, repeat one another, or hold no text."""

    name = "pages"
    licence = "CC0-1.0"

    def __init__(self, count: int, hosts: int = 3, page: int = 7) -> None:
        self.count, self.hosts, self.page = count, hosts, page

    def settings(self) -> dict[str, object]:
        return {"hosts": self.hosts}  # it may grow

    async def pages(self, web, cursor):
        at = int(cursor or 0)
        while at < self.count:
            end = min(at + self.page, self.count)
            yield Page(
                items=tuple(self.item(number) for number in range(at, end)),
                cursor=str(end),
                total=self.count,
            )
            at = end

    def item(self, number: int) -> Item:
        return Item(
            key=f"page-{number}",
            url=f"http://host{number % self.hosts}.test/{number}",
            title=f"Page {number}",
            extra={"number": str(number)},
        )


class MemoryWeb:
    """A web whose pages are made from their numbers. Counts what it is asked for.

    Parameters
    ----------
    delay
        Returns the seconds that the answer for a number takes.
    """

    def __init__(self, delay=lambda number: 0.0, version="") -> None:
        self.asked: Counter[str] = Counter()
        self.delay, self.version = delay, version
        self.broken: set[int] = set()
        self.in_the_air: Counter[str] = Counter()
        self.most_in_the_air: Counter[str] = Counter()

    async def get(self, url, *, params=None, validators=None, most_bytes=None, robots=True):
        self.asked[url] += 1
        host, number = url.split("/")[2], int(url.rsplit("/", 1)[1])
        self.in_the_air[host] += 1
        self.most_in_the_air[host] = max(self.most_in_the_air[host], self.in_the_air[host])
        try:
            if seconds := self.delay(number):
                await asyncio.sleep(seconds)
        finally:
            self.in_the_air[host] -= 1
        return self.answer(url, number, validators)

    def answer(self, url: str, number: int, validators: Validators | None) -> Answer:
        if number in self.broken:
            raise NotKept("busy", "503")
        if number % 11 == 3:
            raise NotKept("not-found", "404")
        body = b"" if number % 13 == 5 else self.text(number).encode()
        etag = f'"{number}{self.version if number % 5 == 0 else ""}"'
        unchanged = validators is not None and validators.etag == etag
        return Answer(
            url=url,
            status=304 if unchanged else 200,
            body=b"" if unchanged else body,
            media_type="text/plain",
            validators=Validators(etag=etag),
            retrieved=datetime.now(UTC),
            received_bytes=len(body),
        )

    def text(self, number: int) -> str:
        number = 1 if number % 7 == 2 else number  # these repeat page 1
        version = self.version if number % 5 == 0 else ""
        return f"The text of page {number}{version}. " * (1 + number % 5)

    async def save(self, url, path, *, most_bytes=None):
        raise NotKept("not-found")


class InlinePool:
    """Extracts texts at once, in the collector's own process."""

    async def extract(self, content, *, media_type, charset, name):
        await asyncio.sleep(0)
        return Extracted(text=content.decode(), media_type=media_type)


def detect(text: str) -> tuple[str, float]:
    return "en", 0.5


def toolbox(web, pool=None, **others):
    """Return what makes the tools of a session."""

    @asynccontextmanager
    async def tools(folder: Path):
        tools = {"connections": lambda host: 2, **others}
        yield Tools(web=web, pool=pool or InlinePool(), detect=detect, **tools)

    return tools


def collected(source, corpus, folder, web=None, connect=None, target=None, **spec):
    """Collect a source; return how it ended."""
    spec = CollectSpec(
        source=source, target=target or open_target(str(corpus)), folder=Path(folder), **spec
    )
    extra = {} if connect is None else {"connect": connect}
    collector = Collector(spec, toolbox(web or MemoryWeb()), CollectProgress(), **extra)
    return asyncio.run(collector.run())


def rows(target) -> list[Mapping[str, object]]:
    """Return the rows of a corpus, in order, without the times when they came."""
    keys = sorted(key for key in target.sizes() if key.startswith("part-"))
    tables = [pq.read_table(pa.BufferReader(target.get(key))) for key in keys]
    return [
        {name: value for name, value in row.items() if name != "retrieved"}
        for table in tables
        for row in table.to_pylist()
    ]
