"""Reads Project Gutenberg's catalogue: the CSV file of its feeds.

https://www.gutenberg.org/ebooks/offline_catalogs.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from ...outcome import NotKept

_NEEDED = ("Text#", "Type", "Title", "Language")


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueRow:
    """A row. One that cannot be used has a `problem`, and the number 0."""

    line: int
    number: int = 0
    type: str = ""
    issued: str = ""
    title: str = ""
    languages: tuple[str, ...] = ()
    authors: str = ""
    subjects: str = ""
    locc: str = ""
    bookshelves: str = ""
    problem: str = ""


def read_catalogue(body: bytes) -> list[CatalogueRow]:
    """Read a catalogue; of several rows with one number, the first counts.

    Raises
    ------
    NotKept
        It is not a catalogue of Project Gutenberg.
    """
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(lines, [])
        missing = [name for name in _NEEDED if name not in header]
        if missing:
            raise NotKept("bad-record", f"the catalogue has no column {missing[0]}")
        return list(_rows(lines, {name: header.index(name) for name in header}))
    except UnicodeDecodeError as error:
        raise NotKept("unreadable", f"the catalogue: {error}") from None
    except csv.Error as error:
        raise NotKept("damaged", f"the catalogue, line {lines.line_num}: {error}") from None


def _rows(lines: Iterator[list[str]], columns: dict[str, int]) -> Iterator[CatalogueRow]:
    seen: set[int] = set()
    for line, row in enumerate(lines, 2):
        if not row:
            continue
        if len(row) < len(columns):
            yield CatalogueRow(line=line, problem=f"{len(row)} columns of {len(columns)}")
            continue

        def field(name: str, row: list[str] = row) -> str:
            return " ".join(row[columns[name]].split()) if name in columns else ""

        number = field("Text#")
        if not (number.isascii() and number.isdigit() and 0 < int(number[:12]) < 10**9):
            yield CatalogueRow(line=line, problem=f"number {number[:40]!r}")
        elif int(number) in seen:
            continue
        else:
            seen.add(int(number))
            yield CatalogueRow(
                line=line,
                number=int(number),
                type=field("Type"),
                issued=field("Issued"),
                title=field("Title"),
                languages=tuple(filter(None, map(str.strip, field("Language").split(";")))),
                authors=field("Authors"),
                subjects=field("Subjects"),
                locc=field("LoCC"),
                bookshelves=field("Bookshelves"),
            )
