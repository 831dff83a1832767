"""Wikipedia from its dumps: the articles of one language, from one file.

Dumps are described at https://meta.wikimedia.org/wiki/Data_dumps and their XML at
https://www.mediawiki.org/wiki/Help:Export.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator, Iterator
from os import PathLike, fspath
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from ....storage.errors import CorpusChanged, UsageError
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .bulk.dump_page import DumpPage, parsed_page, safe_parser
from .bulk.dump_stream import PAGE_BYTES, RawPage, raw_pages
from .bulk.paging import in_thread, paged
from .bulk.spool import downloaded, spool_folder
from .bulk.stored_file import StoredFile, stored_file

if TYPE_CHECKING:
    from ..web.web import Web

DUMP_BYTES = 1 << 38
"""Size of the largest dump that is downloaded, in bytes; today's largest one has some 2**35."""

_LANG = re.compile(r"[a-z]{2,12}(-[a-z]{1,12}){0,2}")
_DATE = re.compile(r"latest|20[0-9]{6}")
_CURSOR = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18})")
_ISO = {
    "als": "gsw",
    "bat-smg": "sgs",
    "be-x-old": "be",
    "fiu-vro": "vro",
    "nds-nl": "nds",
    "roa-rup": "rup",
    "roa-tara": "nap",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
}
"""ISO codes of Wikipedias whose host name is not an ISO code."""


class WikipediaDump(Source):
    """The articles of a Wikipedia, in the order of its dump.

    Articles carry their wikitext, to be extracted like a document. Redirects, templates and pages
    of other namespaces are listed as not being articles, so that counts add up.

    Parameters
    ----------
    lang
        Language, as in the host name: ``fr``, ``simple``, ``zh-yue``.
    date
        Date of the dump (``20261101``), or ``latest``. A dump that was downloaded before is used
        again, also for ``latest``; remove it from the spool folder to get a newer one.
    path
        A dump to read instead: a path or any URL that fsspec reads. A file of many streams
        (``-multistream.xml.bz2``) is resumed where it stopped; other bz2 and gzip files are
        decoded from the beginning again.
    base
        Where dumps are downloaded from; a mirror, for instance.
    spool
        Folder for the download; by default one in the user's cache.

    Examples
    --------
    >>> WikipediaDump("fr", "20261101").url
    'https://dumps.wikimedia.org/frwiki/20261101/frwiki-20261101-pages-articles-multistream.xml.bz2'
    """

    name: ClassVar[str] = "wikipedia"
    licence: ClassVar[str] = "CC-BY-SA-4.0"
    homepage: ClassVar[str] = "https://dumps.wikimedia.org/"
    # The site allows few connections per address, and names no rate.
    limits: ClassVar[dict[str, float]] = {"dumps.wikimedia.org": 1.0}

    def __init__(
        self,
        lang: str = "fr",
        date: str = "latest",
        *,
        path: str | PathLike[str] | None = None,
        base: str = "https://dumps.wikimedia.org",
        spool: str | PathLike[str] | None = None,
    ) -> None:
        if not _LANG.fullmatch(lang):
            raise UsageError(f"lang must be a Wikipedia's code, like 'fr', not {lang!r}")
        if not _DATE.fullmatch(date):
            raise UsageError(f"date must be 'latest' or like '20261101', not {date!r}")
        self.lang, self.date, self.base = lang, date, base.rstrip("/")
        self.path = None if path is None else fspath(path)
        self.spool = None if spool is None else fspath(spool)

    def settings(self) -> dict[str, object]:
        """Return what determines the items; where a download is kept does not."""
        return {name: value for name, value in super().settings().items() if name != "spool"}

    @property
    def url(self) -> str:
        """The address of the dump on its publisher's server."""
        wiki = f"{self.lang.replace('-', '_')}wiki"
        file = f"{wiki}-{self.date}-pages-articles-multistream.xml.bz2"
        return f"{self.base}/{wiki}/{self.date}/{file}"

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of articles; see `Source.pages`."""
        path = self.path
        if path is None:
            folder = spool_folder(self.spool)
            path = str(await downloaded(web, self.url, folder, most_bytes=DUMP_BYTES))
        async for page in in_thread(self._pages(path, cursor)):
            yield page

    def _pages(self, path: str, cursor: str | None) -> Generator[Page, None, None]:
        file = stored_file(path)
        stream, number = _position(cursor, file)
        with file.opened() as opened:
            raw = raw_pages(opened, file.name, stream, number)
            yield from paged(self._items(raw, file.size))

    def _items(self, pages: Iterator[RawPage], size: int) -> Iterator[tuple[Item, str]]:
        parser = safe_parser()
        for raw in pages:
            position = f"{raw.stream}:{raw.number}"
            try:
                item = self._item(_read(raw, parser))
            except NotKept as refused:
                key = f"{self._wiki}@{position}"
                item = Item(key=key, refusal=(refused.reason, refused.detail))
            yield item, f"{size}:{position}"

    @property
    def _wiki(self) -> str:
        return f"{self.lang.replace('-', '_')}wiki"

    def _item(self, page: DumpPage) -> Item:
        refusal = _refusal(page)
        named = quote(page.title.replace(" ", "_"), safe="/:@!$()*,;~'")
        extra = {"page_id": page.id, "revision": page.revision, "modified": page.timestamp}
        return Item(
            key=f"{self._wiki}:{page.id}",
            url=f"https://{self.lang}.wikipedia.org/wiki/{named}",
            content=None if refusal else page.text.encode(),
            media_type="" if refusal else "text/x-wiki",
            title=page.title,
            lang=_ISO.get(self.lang, self.lang),
            licence=self.licence,
            extra={name: value for name, value in extra.items() if value},
            refusal=refusal,
        )


def _read(raw: RawPage, parser: object) -> DumpPage:
    if raw.xml is None:
        raise NotKept("too-large", f"a page of more than {PAGE_BYTES >> 20} MiB")
    return parsed_page(raw.xml, parser)


def _refusal(page: DumpPage) -> tuple[str, str] | None:
    """Return why a page is not used, or None."""
    if page.namespace != 0:
        return "not-an-article", f"namespace {page.namespace}"
    if page.redirect:
        return "not-an-article", f"redirect to {page.redirect[:200]}"
    if page.model != "wikitext":
        return "not-an-article", f"content model {page.model[:40]}"
    if page.text_deleted:
        return "deleted", "its text is hidden"
    return None


def _position(cursor: str | None, file: StoredFile) -> tuple[int, int]:
    """Return a cursor's stream and number; raise if it belongs to another file."""
    if cursor is None:
        return 0, 0
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise NotKept("bad-record", f"cursor {cursor[:60]!r} is not one of a dump")
    size, stream, number = map(int, match.groups())
    if size != file.size:
        raise CorpusChanged(
            f"{file.name} has {file.size} bytes, but this collection began with a dump of {size}: "
            "name that dump's date, or begin another collection"
        )
    return stream, number
