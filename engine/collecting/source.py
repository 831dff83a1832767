"""`Source`: the base class of sources, which list items; users may subclass it.

The ready-made ones are in the folder `sources`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .listed_item import Page
    from .web.web import Web


class Source:
    """Lists the items of a collection, page by page.

    A subclass has a `name`, its settings as attributes, and `pages`. Two sources with equal
    `settings()` list the same items in the same order, possibly followed by new ones; a collection
    is resumed only with settings equal to those that it began with.
    """

    name: ClassVar[str]
    """Short name, which is the row's `source`: ``arxiv``."""
    licence: ClassVar[str] = ""
    """The licence of items that give none of their own."""
    homepage: ClassVar[str] = ""
    """Where the source is described; for the data card."""
    limits: ClassVar[dict[str, float]] = {}
    """Seconds between requests to a host, as published by its operator, by host name; users cannot
    go below them. Such a host gets one connection."""

    def settings(self) -> dict[str, object]:
        """Return what determines the items, as values of JSON; by default, all attributes."""
        return dict(sorted(vars(self).items()))

    def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of items: an async generator.

        Parameters
        ----------
        web
            Fetches what listing needs, within the limits of each host.
        cursor
            The cursor of the last page that was listed, or None to begin.

        Raises
        ------
        NotKept
            The source cannot be listed further: the collection stops, and can be resumed.
        """
        raise NotImplementedError

    def own_text(self, text: str) -> str:
        """Return the part of an extracted text that belongs to the item: by default, all of it.

        A source whose files all begin or end with the same notice cuts it off here. This is not
        called for an item that was listed with its `text`.
        """
        return text
