"""`UrlList`: addresses in a text, CSV or JSONL file."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from ....storage.errors import ColumnNotFound, UsageError
from ....storage.filesystems.redaction import shown
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .answers.json_answers import parse_object
from .bulk.walking import plain_path
from .list_lines import ListLine, ListLines, Position

if TYPE_CHECKING:
    from ..web.web import Web

ROWS = 1000
"""Lines per page."""

_DELIMITERS = "\t,;"
_LONGEST_URL = 8192
_JSON = (".jsonl", ".ndjson", ".json")
_TABLES = (".csv", ".tsv")
_PROSE = ("bad-url", "unreadable", "too-large")
"""Reasons for which a line of a text is not taken for an address."""

_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


class UrlList(Source):
    """Addresses to fetch, in the order of a list.

    Parameters
    ----------
    path
        A local path or a URL of fsspec. The ending gives the format: ``.csv`` and ``.tsv`` with a
        header, ``.jsonl`` and ``.ndjson`` with one object per line, anything else with one address
        per line; each also compressed, as ``.gz``. In UTF-8.
    column
        The column with the address. Others are optional: ``id`` (the address if it is missing),
        ``title``, ``lang`` and ``licence``; the rest is kept as further facts.

    Notes
    -----
    Empty lines, and lines of text that begin with ``#``, are skipped. An address that comes twice
    is listed twice, under one key, also if what follows ``#`` differs. A list may grow at its end
    between two runs.
    """

    name: ClassVar[str] = "urls"

    def __init__(self, path: str | PathLike[str], *, column: str = "url") -> None:
        self.path = plain_path(path)
        self.column = column

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:  # noqa: ARG002
        """Yield pages of a thousand lines; the cursor is a position in the file."""
        with await asyncio.to_thread(ListLines, self.path) as lines:
            items = self._items(lines, _position(cursor))
            while page := await asyncio.to_thread(lambda: list(islice(items, ROWS))):
                if cursor is None and _is_prose(self.path, [item for item, _ in page]):
                    raise UsageError(
                        f"{shown(self.path)} has no address of the web in its first lines; to "
                        "collect documents, name their folder"
                    )
                cursor = json.dumps(asdict(page[-1][1]))
                yield Page(items=tuple(item for item, _ in page), cursor=cursor)

    def _items(self, lines: ListLines, start: Position) -> Iterator[tuple[Item, Position]]:
        """Yield items, and the positions after them."""
        kind = _kind(self.path)
        parse: Callable[[bytes], dict[str, str] | None]
        delimiters = ""
        if kind in _TABLES:
            parse, delimiters, after = self._table(lines)
            start = max(start, after, key=lambda position: position.offset)
        elif kind in _JSON:
            parse = _object
        else:
            parse = self._address
        for line in lines.from_position(start, delimiters=delimiters):
            if line.content is not None and not line.content.strip():
                continue
            try:
                fields = parse(_content(line))
                if fields is not None:
                    yield self._item(fields), line.end
            except NotKept as error:
                refusal = (error.reason, f"line {line.number}: {error.detail}"[:300])
                yield Item(key=f"line {line.number}", refusal=refusal), line.end

    def _address(self, content: bytes) -> dict[str, str] | None:
        line = content.decode("utf-8-sig").strip()
        return None if line.startswith("#") or not line else {self.column: line}

    def _table(self, lines: ListLines) -> tuple[Callable[[bytes], dict[str, str]], str, Position]:
        """Read the header; return a row parser, the delimiter, and where the first row begins."""
        for line in lines.from_position(Position(), delimiters=_DELIMITERS):
            if line.content is None or not line.content.strip():
                continue
            header = line.content.decode("utf-8-sig", "replace").strip("\r\n")
            for delimiter in _DELIMITERS:
                columns = next(csv.reader([header], delimiter=delimiter))
                if self.column in columns:
                    return _Row(columns, delimiter).parse, delimiter, line.end
            raise ColumnNotFound(f"{self.path} has no column {self.column!r}: {header[:200]!r}")
        raise UsageError(f"{self.path} is empty: a header with {self.column!r} is needed")

    def _item(self, fields: Mapping[str, str]) -> Item:
        url = fields.get(self.column, "").strip().partition("#")[0]  # which is not sent to servers
        _check(url)
        known = {self.column, "id", "title", "lang", "licence", "license"}
        return Item(
            key=fields.get("id") or url,
            url=url,
            title=fields.get("title", ""),
            lang=fields.get("lang", ""),
            licence=fields.get("licence") or fields.get("license", ""),
            extra={name: value for name, value in fields.items() if name not in known and value},
        )


class _Row:
    """Parses rows of a table."""

    def __init__(self, columns: list[str], delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter

    def parse(self, content: bytes) -> dict[str, str]:
        text = content.decode("utf-8-sig").strip("\r\n")
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise NotKept("bad-record", str(error)) from None
        if len(rows) != 1 or len(rows[0]) != len(self._columns):
            found = sum(map(len, rows))
            raise NotKept("bad-record", f"{found} columns instead of {len(self._columns)}")
        return dict(zip(self._columns, rows[0], strict=True))


def _object(content: bytes) -> dict[str, str]:
    fields = parse_object(content.decode("utf-8-sig"), "the line")
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in fields.items()
        if value is not None
    }


def _content(line: ListLine) -> bytes:
    if line.content is None:
        raise NotKept("too-large", "a line of more than 1 MiB")
    try:
        line.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotKept("unreadable", "not in UTF-8") from None
    return line.content


def _check(url: str) -> None:
    """Raise if a URL cannot be one to fetch."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname)
    except ValueError:
        usable = False
    if not usable or len(url) > _LONGEST_URL or any(one <= " " for one in url):
        raise NotKept("bad-url", repr(url[:200]))


def _is_prose(path: str, items: list[Item]) -> bool:
    """Return whether none of the lines of a text is an address."""
    other = _kind(path) in (*_TABLES, *_JSON)
    return not other and all(item.refusal and item.refusal[0] in _PROSE for item in items)


def _kind(path: str) -> str:
    """Return a list's ending, in lower case, without that of its compression."""
    name = path.lower().rpartition("/")[2]
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    return name[name.rfind(".") :] if "." in name else ""


def _position(cursor: str | None) -> Position:
    try:
        return Position(**json.loads(cursor)) if cursor else Position()
    except (ValueError, TypeError):
        raise UsageError(f"not a cursor of a list: {str(cursor)[:80]!r}") from None
