"""A page of a MediaWiki export, read from its XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .....storage.errors import BackendUnavailable
from ...outcome import NotKept

_ID = re.compile(r"[0-9]{1,15}")
_NAMESPACE = re.compile(r"-?[0-9]{1,6}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_TITLE_CHARACTERS = 255
"""Maximum characters of a title; MediaWiki's have at most 255 bytes."""


@dataclass(frozen=True, kw_only=True)
class DumpPage:
    """A page of an export, with its metadata and the text of its latest revision."""

    id: str
    namespace: int
    title: str
    redirect: str
    """Title of the page that it redirects to; empty if it does not."""
    revision: str
    """The revision's number; empty if it has none."""
    timestamp: str
    """When the revision was made: ``2026-11-01T12:00:00Z``; empty if unknown."""
    model: str
    """Content model: ``wikitext``."""
    text: str
    text_deleted: bool
    """Whether the text was hidden from the public."""


def safe_parser() -> Any:
    """Return an XML parser that expands no entities, loads nothing and bounds depth and size."""
    try:
        from lxml import etree
    except ImportError:
        raise BackendUnavailable(
            "dumps are read with lxml; pip install 'paninifs[collect]'"
        ) from None
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )


def parsed_page(xml: bytes, parser: Any) -> DumpPage:
    """Read a page's XML.

    Raises
    ------
    NotKept
        It is not well-formed (``damaged``), or lacks a usable id, title or namespace
        (``bad-record``).
    """
    from lxml import etree

    try:
        page = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise NotKept("damaged", str(error)[:200]) from None
    revisions = page.findall("revision")
    revision = revisions[-1] if revisions else etree.Element("revision")
    text = revision.find("text")
    redirect = page.find("redirect")
    timestamp = _text(revision, "timestamp")
    found = DumpPage(
        id=_matching(_ID, page, "id"),
        namespace=int(_matching(_NAMESPACE, page, "ns")),
        title=_text(page, "title"),
        redirect="" if redirect is None else redirect.get("title", "") or "?",
        revision=_text(revision, "id") if _ID.fullmatch(_text(revision, "id")) else "",
        timestamp=timestamp if _TIMESTAMP.fullmatch(timestamp) else "",
        model=_text(revision, "model") or "wikitext",
        text="" if text is None else text.text or "",
        text_deleted=text is not None and text.get("deleted") is not None,
    )
    if not found.title or len(found.title) > _TITLE_CHARACTERS:
        raise NotKept("bad-record", f"page {found.id}: a title of {len(found.title)} characters")
    return found


def _text(element: Any, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _matching(pattern: re.Pattern[str], page: Any, name: str) -> str:
    value = _text(page, name)
    if not pattern.fullmatch(value):
        raise NotKept("bad-record", f"<{name}> is {value[:40]!r}")
    return value
