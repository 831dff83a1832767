"""Lists a source, whole or in part, from any cursor."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from plain_web import PlainWeb


def pages_of(source, cursor=None, *, web=None, most=None):
    """Return the pages of a source, at most so many."""
    web = web or PlainWeb()

    async def collect():
        pages = []
        async with aclosing(source.pages(web, cursor)) as listed:
            async for page in listed:
                pages.append(page)
                if len(pages) == most:
                    break
        return pages

    return asyncio.run(collect())


def items_of(source, cursor=None, *, web=None):
    """Return the items of a source."""
    return [item for page in pages_of(source, cursor, web=web) for item in page.items]
