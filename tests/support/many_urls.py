"""A source of addresses below one URL."""

from __future__ import annotations

from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.source import Source


class ManyUrls(Source):
    name = "many"

    def __init__(self, url: str, count: int) -> None:
        self.url, self.count = url, count

    async def pages(self, web, cursor):
        if cursor is None:
            items = (Item(key=str(n), url=f"{self.url}/{n}") for n in range(self.count))
            yield Page(items=tuple(items), cursor="end", total=self.count)
