"""`Hal`: documents of the open archive HAL that a query finds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ....storage.errors import UsageError
from ..listed_item import Page
from ..source import Source
from .answers.hal_answers import FIELDS, language_fields, read_page
from .listing_guard import ANSWER_BYTES, ListingGuard

if TYPE_CHECKING:
    from ..web.web import Web

_LANG = re.compile(r"[a-z]{2}")
_PORTAL = re.compile(r"[\w-]*", re.ASCII)


class Hal(Source):
    """Documents of HAL, in the order of their numbers.

    Parameters
    ----------
    query
        In the syntax of Solr: ``domainAllCode_s:shs.langue AND publicationDateY_i:[2020 TO *]``.
    lang
        Only documents with an abstract in this language (ISO 639-1), and that abstract; otherwise
        the one in the document's own language, if there is one.
    full_text
        Collect the documents' files; otherwise their titles and abstracts.
    portal
        A portal (``tel``) or collection (``FRANCE-GRILLES``) to stay within.
    rows
        Documents per request, 1 to 10,000.
    base
        The API's URL.
    """

    name: ClassVar[str] = "hal"
    homepage: ClassVar[str] = "https://api.archives-ouvertes.fr/docs/search"
    # HAL's documentation names no limit on requests, only one on rows; the general one applies.

    def __init__(
        self,
        query: str = "*:*",
        *,
        lang: str = "",
        full_text: bool = False,
        portal: str = "",
        rows: int = 500,
        base: str = "https://api.archives-ouvertes.fr/search/",
    ) -> None:
        if lang and not _LANG.fullmatch(lang):
            raise UsageError(f"lang={lang!r}: use a two-letter code, such as fr")
        if not _PORTAL.fullmatch(portal):
            raise UsageError(f"portal={portal!r} is not the name of a portal or collection")
        if not 1 <= rows <= 10_000:
            raise UsageError(f"rows={rows}: HAL gives 1 to 10000 documents per request")
        self.query = query.strip() or "*:*"
        self.lang = lang
        self.full_text = full_text
        self.portal = portal
        self.rows = rows
        self.base = base

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of `rows` items; the cursor is Solr's."""
        mark = cursor or "*"
        langs = (self.lang,) if self.lang else ("fr", "en")
        read = partial(read_page, langs=langs, lang=self.lang, full_text=self.full_text)
        url = f"{self.base.rstrip('/')}/{self.portal}"
        guard = ListingGuard("HAL")
        while True:
            answer = await web.get(
                url, params=self._params(mark, langs), most_bytes=ANSWER_BYTES, robots=False
            )
            page = await asyncio.to_thread(read, answer.body)
            guard.lists(page.items)
            if page.items:
                yield Page(items=page.items, cursor=page.mark, total=page.total)
            if page.mark == mark:
                return
            guard.follows(page.mark)
            mark = page.mark

    def _params(self, mark: str, langs: tuple[str, ...]) -> dict[str, str]:
        fields = [*FIELDS, *(name for lang in langs for name in language_fields(lang))]
        narrowed = []
        if self.full_text:
            narrowed.append("submitType_s:file")
        if self.lang:
            narrowed.append(f"{language_fields(self.lang)[1]}:[* TO *]")
        params = {
            "q": self.query,
            "fq": " AND ".join(narrowed),
            "fl": ",".join(fields),
            "sort": "docid asc",
            "rows": str(self.rows),
            "cursorMark": mark,
            "wt": "json",
        }
        return {name: value for name, value in params.items() if value}
