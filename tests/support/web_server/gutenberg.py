"""Project Gutenberg: its catalogue as CSV, and its texts where a mirror has them."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

from .config import ServerConfig
from .prose import paragraph, person, sentence

COLUMNS = (
    "Text#",
    "Type",
    "Issued",
    "Title",
    "Language",
    "Authors",
    "Subjects",
    "LoCC",
    "Bookshelves",
)
LANGUAGES = ("en", "fr", "en", "en; fr")
SHELVES = ("Poetry; Browsing: Literature", "Philosophy", "")


@dataclass(frozen=True, kw_only=True)
class Book:
    """A book, and its row of the catalogue."""

    number: int
    row: tuple[str, ...]
    text: str
    """What is between the markers."""

    @property
    def file(self) -> bytes:
        """The text file, with what comes before and after the markers, in UTF-8 with its mark."""
        title = self.row[3].replace("\n", " ").upper()
        begin, end = _MARKERS[self.number % len(_MARKERS)]
        lines = (
            f"The Project Gutenberg eBook of {self.row[3]}",
            "This eBook may be used by anybody, as its licence below says.",
            f"Release date: {self.row[2]} [eBook #{self.number}]",
            begin.format(title),
            self.text,
            end.format(title),
            "Updated editions will replace the previous one. Section 1. A long licence.",
        )
        return "\r\n\r\n\r\n".join(lines).replace("\n\n", "\r\n\r\n").encode("utf-8-sig")


_MARKERS = (
    (
        "*** START OF THE PROJECT GUTENBERG EBOOK {} ***",
        "*** END OF THE PROJECT GUTENBERG EBOOK {} ***",
    ),
    (
        "*** START OF THIS PROJECT GUTENBERG EBOOK {} ***",
        "*** END OF THIS PROJECT GUTENBERG EBOOK {} ***",
    ),
    (
        "***START OF THE PROJECT GUTENBERG EBOOK {}***",
        "End of Project Gutenberg's {0}\r\n\r\n***END OF THE PROJECT GUTENBERG EBOOK {0}***",
    ),
)


@lru_cache(maxsize=1024)
def book(config: ServerConfig, number: int) -> Book:
    """Return the book with that number, from 1."""
    chance = random.Random(f"gutenberg {config.seed} {number}")
    language = LANGUAGES[number % len(LANGUAGES)]
    lang = language[:2]
    title = sentence(chance, lang, 2, 6).rstrip(".")
    if number % 7 == 0:
        title += "\nOr, a second line"
    family, first = person(chance)
    text = "\n\n".join(paragraph(chance, lang, 5) for _ in range(8))
    row = (
        str(number),
        "Sound" if number % 13 == 0 else "Text",
        f"19{70 + number % 30}-12-01",
        title,
        language,
        f"{family}, {first}, 1801-1877; {person(chance)[0]}, Ed. [Editor]",
        f"{chance.choice(('Voyages', 'Ethics', 'Botany'))} -- Fiction",
        "PS",
        SHELVES[number % len(SHELVES)],
    )
    return Book(number=number, row=row, text=text)


@lru_cache(maxsize=1)
def catalogue(config: ServerConfig) -> bytes:
    """Return the catalogue."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    writer.writerows(book(config, number).row for number in range(1, config.books + 1))
    return stream.getvalue().encode()


def files(config: ServerConfig, request: web.Request) -> web.Response | None:
    """Return a file below ``/cache/epub``."""
    name = request.path.removeprefix("/cache/epub/")
    if name == "feeds/pg_catalog.csv":
        return _answer(catalogue(config), "text/csv; charset=utf-8")
    if name == "feeds/pg_catalog.csv.gz":
        return _answer(gzip.compress(catalogue(config), mtime=0), "application/gzip")
    found = re.fullmatch(r"(\d+)/pg(\d+)\.txt", name)
    if not found or found[1] != found[2] or not 1 <= int(found[1]) <= config.books:
        return None
    one = book(config, int(found[1]))
    return _answer(one.file, "text/plain; charset=utf-8") if one.row[1] == "Text" else None


def _answer(body: bytes, kind: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": kind})
