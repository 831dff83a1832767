"""`ArxivAtom`: arXiv's articles that a query finds, by its Atom API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar

from ....storage.errors import UsageError
from ..listed_item import Page
from ..outcome import NotKept
from ..source import Source
from .answers.arxiv_records import ArxivFeed, read_feed
from .arxiv_oai import LIMITS, SITE
from .listing_guard import ANSWER_BYTES, ListingGuard, number_of

if TYPE_CHECKING:
    from ..web.web import Web

MOST_RESULTS = 30_000
"""Maximum results of a query: https://info.arxiv.org/help/api/user-manual.html."""

_TRIES = 5
"""Tries per page: now and then, the API returns a page without entries although it has some."""


class ArxivAtom(Source):
    """Articles of arXiv that a query finds, from the oldest to the newest.

    Parameters
    ----------
    query
        In the syntax of the API's manual: ``cat:cs.CL AND abs:morphology``.
    full_text
        Collect the articles' PDFs; otherwise their titles and abstracts.
    rows
        Entries per request, 1 to 2,000.
    base
        The API's URL.
    pdfs
        Where PDFs are; the path ``/pdf/ID`` is added.

    Notes
    -----
    The API does not say under which licence an article is; `ArxivOai` does, and has no limit on
    the number of articles.
    """

    name: ClassVar[str] = "arxiv"
    homepage: ClassVar[str] = "https://info.arxiv.org/help/api/index.html"
    limits: ClassVar[dict[str, float]] = LIMITS

    def __init__(
        self,
        query: str,
        *,
        full_text: bool = False,
        rows: int = 200,
        base: str = "https://export.arxiv.org/api/query",
        pdfs: str = SITE,
    ) -> None:
        if not query.strip():
            raise UsageError("arXiv's API needs a query, such as cat:cs.CL")
        if not 1 <= rows <= 2000:
            raise UsageError(f"rows={rows}: arXiv's API gives 1 to 2000 entries per request")
        self.query = query.strip()
        self.full_text = full_text
        self.rows = rows
        self.base = base
        self.pdfs = pdfs

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of `rows` items; the cursor is the number of entries so far."""
        start = number_of(cursor or "0", "arXiv")
        guard = ListingGuard("arXiv")
        while True:
            if start >= MOST_RESULTS:
                detail = (
                    f"arXiv's API gives {MOST_RESULTS} results; narrow the query, or use arxiv:SET"
                )
                raise NotKept("too-large", detail)
            feed = await self._feed(web, start)
            guard.lists(feed.items)
            start += len(feed.items)
            if feed.items:
                yield Page(items=feed.items, cursor=str(start), total=feed.total)
            if start >= feed.total:
                return

    async def _feed(self, web: Web, start: int) -> ArxivFeed:
        """Request a page until it has entries, unless it should have none."""
        params = {
            "search_query": self.query,
            "start": str(start),
            "max_results": str(self.rows),
            "sortBy": "submittedDate",
            "sortOrder": "ascending",
        }
        for _ in range(_TRIES):
            answer = await web.get(self.base, params=params, most_bytes=ANSWER_BYTES, robots=False)
            feed = await asyncio.to_thread(
                read_feed, answer.body, self.pdfs if self.full_text else ""
            )
            if feed.items or start >= feed.total:
                return feed
        raise NotKept("server-error", f"arXiv sent no entries at {start} of {feed.total}")
