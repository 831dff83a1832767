"""Checks of sources and of what they list: a user's own source may yield anything.

A page that cannot be understood ends the listing, as where to go on is not known; an item of which
the key is known fails alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from ....storage.errors import RunFailed, UsageError
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from ..web.web import Web

MOST_BYTES = 512 << 20
"""Size in bytes of the largest text or content in a listing; SQLite stores up to 10^9 bytes."""

MOST_REPEATS = 1000
"""Number of consecutive pages that may repeat a cursor without new items."""

_TEXTS = ("key", "url", "path", "media_type", "title", "lang", "licence")


def require_source(source: Source) -> None:
    """Raise unless the class attributes of a source are what `Source` says.

    Raises
    ------
    UsageError
        One of them is missing or of another type.
    """
    kind = type(source).__name__
    name = getattr(source, "name", None)
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise UsageError(f"the source {kind} needs a class attribute 'name', a short text")
    for attribute in ("licence", "homepage"):
        value = getattr(source, attribute)
        if not isinstance(value, str):
            raise UsageError(f"the source {name}: {attribute}={value!r:.60} must be a text")
    limits = source.limits
    if not isinstance(limits, Mapping) or not all(map(_is_limit, limits.items())):
        raise UsageError(
            f"the source {name}: limits={limits!r:.60} must be seconds by host name, such as "
            "{'api.example.org': 3.0}"
        )


def _is_limit(limit: tuple[Any, Any]) -> bool:
    host, seconds = limit
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return isinstance(host, str) and number and 0 < seconds < float("inf")


def pages_of(source: Source, web: Web, cursor: str | None) -> AsyncIterator[Page]:
    """Return the pages of a source, which can be closed.

    Raises
    ------
    UsageError
        `Source.pages` is not an async generator.
    """
    pages = source.pages(web, cursor)
    if not (hasattr(pages, "__anext__") and hasattr(pages, "aclose")):
        close = getattr(pages, "close", None)  # of a coroutine or generator that is never run
        if callable(close):
            close()
        raise UsageError(
            f"{type(source).__name__}.pages must be an async generator: write 'async def pages"
            "(self, web, cursor)', and yield a Page at a time"
        )
    return pages


def checked_page(source: Source, page: object) -> Page:
    """Return a page whose fields have their types.

    Raises
    ------
    UsageError
        It is not a page.
    """
    if not isinstance(page, Page):
        raise _bad_page(source, f"yielded {page!r:.60}: not a Page")
    if not isinstance(page.cursor, str):
        raise _bad_page(
            source, f"yielded a page with cursor {page.cursor!r:.60}; it must be a text"
        )
    try:
        items = tuple(page.items)
    except TypeError:
        raise _bad_page(source, f"yielded a page with items {page.items!r:.60}") from None
    for item in items:
        if not isinstance(item, Item) or not isinstance(item.key, str) or not item.key:
            raise _bad_page(source, f"listed {item!r:.60}: it must be an Item, and its key a text")
    number = isinstance(page.total, int) and not isinstance(page.total, bool) and page.total >= 0
    return Page(items=items, cursor=page.cursor, total=page.total if number else None)


def _bad_page(source: Source, what: str) -> UsageError:
    return UsageError(f"the source {source.name} {what}")


def check_item(item: Item) -> None:
    """Raise `NotKept` unless the fields of an item have their types, and can be stored."""
    for name in _TEXTS:
        _check_type(name, getattr(item, name), str, "a text")
    if item.text is not None:
        _check_type("text", item.text, str, "a text")
        if len(item.text) > MOST_BYTES // 4:  # characters have at most four bytes
            raise NotKept("too-large", f"a text of {len(item.text):,} characters")
    if item.content is not None:
        _check_type("content", item.content, bytes | bytearray | memoryview, "bytes")
        size = memoryview(item.content).nbytes
        if size > MOST_BYTES:
            raise NotKept("too-large", f"{size:,} bytes")
    if item.extra is not None:
        _check_type("extra", item.extra, Mapping, "a mapping")
        for value in item.extra.values():
            try:
                json.dumps(value)
            except (TypeError, ValueError, RecursionError):
                raise NotKept("bad-record", f"extra holds {type(value).__name__}") from None


def _check_type(name: str, value: object, wanted: Any, words: str) -> None:
    if not isinstance(value, wanted):
        raise NotKept("bad-record", f"{name} is {type(value).__name__}, not {words}")


class RepeatGuard:
    """Detects a source that endlessly lists nothing new."""

    def __init__(self, source: Source) -> None:
        self._source, self._cursor, self._repeats = source, cast("str | None", None), 0

    def note(self, page: Page, new: int) -> None:
        """Note a page, and how many of its items were new.

        Raises
        ------
        RunFailed
            It was the last of too many.
        """
        self._repeats = self._repeats + 1 if page.cursor == self._cursor and not new else 0
        self._cursor = page.cursor
        if self._repeats >= MOST_REPEATS:
            raise RunFailed(
                f"the source {self._source.name} listed {self._repeats:,} pages in a row with the "
                f"cursor {page.cursor!r:.40} and nothing new: pages() must end, or move the cursor"
            )
