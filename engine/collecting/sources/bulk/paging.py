"""Pages of items from a blocking reader, without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Iterator

from .....storage.errors import PaniniError
from ...listed_item import Item, Page

PAGE_ITEMS = 256
"""Maximum number of items per page."""

PAGE_BYTES = 8 << 20
"""Bytes of content after which a page ends."""


def paged(items: Iterable[tuple[Item, str]]) -> Iterator[Page]:
    """Cut items, each with the cursor after it, into pages of bounded size.

    A reader that resumes at a page's cursor yields the same pages from there on. If reading fails,
    the items before the failure are yielded first.
    """
    page: list[Item] = []
    size = 0
    cursor = ""
    failure: PaniniError | None = None
    try:
        for item, cursor in items:
            page.append(item)
            size += len(item.content or b"") + len(item.text or "")
            if len(page) >= PAGE_ITEMS or size >= PAGE_BYTES:
                yield Page(items=tuple(page), cursor=cursor)
                page, size = [], 0
    except PaniniError as error:
        failure = error
    if page:
        yield Page(items=tuple(page), cursor=cursor)
    if failure is not None:
        raise failure


async def in_thread(pages: Generator[Page, None, None]) -> AsyncIterator[Page]:
    """Yield what a blocking generator yields; each step runs in a thread.

    If the caller is cancelled, the step in progress ends first, because a generator cannot be
    closed while it runs.
    """
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, pages, None))
            try:
                page = await asyncio.shield(step)
            except asyncio.CancelledError:
                await asyncio.wait({step})
                if not step.cancelled():
                    step.exception()  # retrieved, or asyncio logs an error
                raise
            if page is None:
                return
            yield page
    finally:
        pages.close()
