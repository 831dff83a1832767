"""Reads arXiv's articles: metadata in its own format for OAI-PMH, and entries of its Atom API.

https://info.arxiv.org/help/oa/index.html and https://info.arxiv.org/help/api/user-manual.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ...listed_item import Item
from ...outcome import NotKept
from .oai_answers import OaiRecord, count_of
from .xml_answers import digest_of, parse_xml, text_of

_METADATA = "{http://arxiv.org/OAI/arXiv/}"
_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"

_FACTS = {
    "categories": "categories",
    "date": "created",
    "updated": "updated",
    "doi": "doi",
    "journal": "journal-ref",
    "comments": "comments",
    "report": "report-no",
    "msc": "msc-class",
    "acm": "acm-class",
}
"""Elements of a record that are stored as further facts, by the names of the facts."""

# Since 2007, and before: https://info.arxiv.org/help/arxiv_identifier.html
_ID = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}")
_VERSIONED = re.compile(r"https?://arxiv\.org/abs/(.+?)(?:v(\d+))?")


@dataclass(frozen=True, kw_only=True)
class ArxivFeed:
    """A page of the Atom API."""

    items: tuple[Item, ...]
    total: int


def item_of_record(record: OaiRecord, pdfs: str = "") -> Item:
    """Return a record of OAI-PMH, with metadata in the format ``arXiv``, as an item.

    Parameters
    ----------
    record
        The record.
    pdfs
        Base URL of PDFs, without a slash at its end, if the text is to be that of the article.
        Otherwise the text is title and abstract.
    """
    identifier = record.identifier.removeprefix("oai:arXiv.org:")
    if not _ID.fullmatch(identifier):
        detail = f"identifier {record.identifier[:80]!r}"
        return _refused(f"record:{digest_of(record.element)}", "bad-record", detail)
    if record.deleted:
        return _refused(identifier, "deleted", record.datestamp[:40])
    data = record.metadata
    if data is None or data.tag != f"{_METADATA}arXiv":
        return _refused(identifier, "bad-record", "no metadata in the format arXiv")

    def field(name: str) -> str:
        return text_of(data.find(f"{_METADATA}{name}"))

    extra = {
        "authors": "; ".join(map(_author, data.iterfind(f"{_METADATA}authors/{_METADATA}author"))),
        **{name: field(element) for name, element in _FACTS.items()},
        "datestamp": record.datestamp,
    }
    return _article(
        identifier,
        title=field("title"),
        abstract=field("abstract"),
        licence=field("license"),
        extra=extra,
        pdfs=pdfs,
    )


def _author(element: Any) -> str:
    names = (text_of(element.find(f"{_METADATA}{part}")) for part in ("forenames", "keyname"))
    suffix = text_of(element.find(f"{_METADATA}suffix"))
    return " ".join(name for name in (*names, suffix) if name)


def read_feed(body: bytes, pdfs: str = "") -> ArxivFeed:
    """Read an answer of the Atom API; `pdfs` is as for `item_of_record`.

    Raises
    ------
    NotKept
        It is an error of the API, or not an Atom feed.
    """
    root = parse_xml(body, "a feed of arXiv")
    if root.tag != f"{_ATOM}feed":
        raise NotKept("bad-record", f"an element <{root.tag[:80]}> instead of an Atom feed")
    entries = list(root.iterfind(f"{_ATOM}entry"))
    for entry in entries:
        if "/api/errors" in text_of(entry.find(f"{_ATOM}id")):
            message = text_of(entry.find(f"{_ATOM}summary"))
            raise NotKept("bad-record", f"arXiv refuses the query: {message[:200]}")
    total = count_of(text_of(root.find(f"{_SEARCH}totalResults")))
    if total is None:
        raise NotKept("bad-record", "a feed without totalResults")
    return ArxivFeed(items=tuple(_item_of_entry(entry, pdfs) for entry in entries), total=total)


def _item_of_entry(entry: Any, pdfs: str) -> Item:
    def field(name: str, space: str = _ATOM) -> str:
        return text_of(entry.find(f"{space}{name}"))

    link = _VERSIONED.fullmatch(field("id"))
    if link is None or not _ID.fullmatch(link[1]):
        detail = f"identifier {field('id')[:80]!r}"
        return _refused(f"entry:{digest_of(entry)}", "bad-record", detail)
    terms = [one.get("term", "") for one in entry.iterfind(f"{_ATOM}category")]
    main = entry.find(f"{_ARXIV}primary_category")
    first = "" if main is None else main.get("term", "")
    names = (text_of(one) for one in entry.iterfind(f"{_ATOM}author/{_ATOM}name"))
    extra = {
        "authors": "; ".join(name for name in names if name),
        "categories": " ".join(dict.fromkeys(term for term in (first, *terms) if term)),
        "date": field("published"),
        "updated": field("updated"),
        "version": link[2] or "",
        "doi": field("doi", _ARXIV),
        "journal": field("journal_ref", _ARXIV),
        "comments": field("comment", _ARXIV),
    }
    return _article(
        link[1],
        title=field("title"),
        abstract=field("summary"),
        licence=field("license", _ARXIV),
        extra=extra,
        pdfs=pdfs,
    )


def _article(
    identifier: str,
    *,
    title: str,
    abstract: str,
    licence: str,
    extra: Mapping[str, str],
    pdfs: str,
) -> Item:
    known = {key: value for key, value in _dated(extra).items() if value}
    if pdfs:
        return Item(
            key=identifier,
            url=f"{pdfs}/pdf/{identifier}",
            media_type="application/pdf",
            title=title,
            licence=licence,
            extra=known,
        )
    if not abstract:
        return _refused(identifier, "no-text", "no abstract")
    return Item(
        key=identifier,
        url=f"https://arxiv.org/abs/{identifier}",
        text=f"{title}\n\n{abstract}" if title else abstract,
        title=title,
        licence=licence,
        extra=known,
    )


def _dated(extra: Mapping[str, str]) -> dict[str, str]:
    """Rename dates that cannot be parsed, so that sorting by date stays possible."""
    return {
        (f"{key}_as_given" if key in ("date", "updated") and not _is_date(value) else key): value
        for key, value in extra.items()
    }


def _is_date(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text[:10]))
    except ValueError:
        return False


def _refused(key: str, reason: str, detail: str) -> Item:
    url = f"https://arxiv.org/abs/{key}" if _ID.fullmatch(key) else ""
    return Item(key=key, url=url, refusal=(reason, detail))
