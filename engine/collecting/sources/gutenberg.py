"""`Gutenberg`: books of Project Gutenberg, by its catalogue and a mirror."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from platformdirs import user_cache_path

from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .answers.book_catalogue import CatalogueRow, read_catalogue
from .answers.book_text import book_text
from .listing_guard import number_of

if TYPE_CHECKING:
    from ..web.web import Web

LICENCE = "https://www.gutenberg.org/policy/license.html"

_CATALOGUE_SECONDS = 86_400
"""Age in seconds up to which a downloaded catalogue is reused; it is published once per day."""

_MOST_BYTES = 256 << 20
_ROWS = 500


class Gutenberg(Source):
    """Books of Project Gutenberg in plain text, in the order of their numbers.

    Parameters
    ----------
    languages
        Codes of ISO 639, separated by commas: ``fr`` or ``fr,it``; empty for all. A book in several
        languages is listed if one of them is wanted.
    bookshelf
        Part of the name of the bookshelf that books must be on; case is ignored.
    catalogue
        The catalogue's URL, as CSV, with or without gzip.
    mirror
        Where texts are; the path ``/cache/epub/N/pgN.txt`` is added.

    Notes
    -----
    Texts come from a mirror, as https://www.gutenberg.org/policy/robot_access.html asks: programs
    that read its site are locked out. Header, licence and markers are cut off. Nearly all books are
    in the public domain in the USA; the catalogue does not mark the others.
    """

    name: ClassVar[str] = "gutenberg"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://www.gutenberg.org/ebooks/offline_catalogs.html"
    # The example of the page on robots waits two seconds between requests.
    limits: ClassVar[dict[str, float]] = {"www.gutenberg.org": 2.0, "gutenberg.pglaf.org": 2.0}

    def __init__(
        self,
        languages: str = "",
        *,
        bookshelf: str = "",
        catalogue: str = "https://www.gutenberg.org/cache/epub/feeds/pg_catalog.csv.gz",
        mirror: str = "https://gutenberg.pglaf.org",
    ) -> None:
        self.languages = ",".join(sorted(filter(None, languages.replace(" ", "").split(","))))
        self.bookshelf = bookshelf
        self.catalogue = catalogue
        self.mirror = mirror

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of 500 items; the cursor is the last book's number."""
        after = number_of(cursor, "Gutenberg") if cursor else -1
        path = await self._download(web)
        rows = await asyncio.to_thread(self._rows, path)
        useless = [row for row in rows if row.problem]
        if useless and after < 0:
            yield Page(items=tuple(map(self._item, useless)), cursor="0", total=len(rows))
        left = [row for row in rows if row.number > max(after, 0)]
        for first in range(0, len(left), _ROWS):
            some = left[first : first + _ROWS]
            items = tuple(map(self._item, some))
            yield Page(items=items, cursor=str(some[-1].number), total=len(rows))

    def own_text(self, text: str) -> str:
        """Return a book without header, licence and markers."""
        return book_text(text)

    async def _download(self, web: Web) -> Path:
        """Return the catalogue's file, downloaded at most once a day."""
        digest = blake2b(self.catalogue.encode(), digest_size=8).hexdigest()
        path = user_cache_path("paninifs") / "catalogues" / f"{digest}.csv"
        if path.exists():
            if 0 <= time.time() - path.stat().st_mtime < _CATALOGUE_SECONDS:
                return path
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        await web.save(self.catalogue, path, most_bytes=_MOST_BYTES)
        return path

    def _rows(self, path: Path) -> Sequence[CatalogueRow]:
        """Return the rows that are wanted, in the order of their numbers, and unusable ones."""
        try:
            rows = read_catalogue(_unpacked(path))
        except NotKept:
            path.unlink(missing_ok=True)  # or it would be used for a day
            raise
        shelf, wanted = self.bookshelf.casefold(), set(filter(None, self.languages.split(",")))
        chosen = [
            row
            for row in rows
            if row.problem
            or (
                row.type == "Text"
                and (not wanted or wanted & set(row.languages))
                and shelf in row.bookshelves.casefold()
            )
        ]
        return sorted(chosen, key=lambda row: row.number)

    def _item(self, row: CatalogueRow) -> Item:
        if row.problem:
            return Item(key=f"row {row.line}", refusal=("bad-record", row.problem))
        facts = {
            "authors": row.authors,
            "date": row.issued,
            "subjects": row.subjects,
            "categories": row.locc,
            "bookshelves": row.bookshelves,
            "languages": "; ".join(row.languages),
            "rights": "public domain in the USA, unless the book says otherwise",
        }
        return Item(
            key=str(row.number),
            url=f"{self.mirror}/cache/epub/{row.number}/pg{row.number}.txt",
            media_type="text/plain",
            title=row.title,
            lang=row.languages[0] if len(row.languages) == 1 else "",
            licence=LICENCE,
            extra={name: value for name, value in facts.items() if value},
        )


def _unpacked(path: Path) -> bytes:
    body = path.read_bytes()
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.open(path) as stream:
            body = stream.read(_MOST_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise NotKept("bad-compression", f"the catalogue of Gutenberg: {error}") from None
    if len(body) > _MOST_BYTES:
        raise NotKept("bomb", f"the catalogue of Gutenberg: more than {_MOST_BYTES} bytes")
    return body
