"""Reads answers of HAL's search: Solr's JSON, with the fields of HAL's documentation.

https://api.archives-ouvertes.fr/docs/search
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ...listed_item import Item
from ...outcome import NotKept
from .json_answers import parse_object, text, texts

_FACTS = {
    "authors": "authFullName_s",
    "date": "producedDate_s",
    "updated": "modifiedDate_s",
    "doi": "doiId_s",
    "journal": "journalTitle_s",
    "type": "docType_s",
    "categories": "domainAllCode_s",
    "languages": "language_s",
}
"""HAL's fields that are stored as further facts, by the names of the facts."""

FIELDS = (
    "docid",
    "halId_s",
    "uri_s",
    "title_s",
    "abstract_s",
    "licence_s",
    "fileMain_s",
    *_FACTS.values(),
)
"""The fields to ask for, besides those of the languages."""


@dataclass(frozen=True, kw_only=True)
class HalPage:
    """Documents that were found."""

    items: tuple[Item, ...]
    total: int | None
    mark: str
    """The next ``cursorMark``; at the end, the same as the one that was sent."""


def language_fields(lang: str) -> tuple[str, str]:
    """Return the names of the fields with a document's title and abstract in a language."""
    return f"{lang}_title_s", f"{lang}_abstract_s"


def read_page(body: bytes, *, langs: tuple[str, ...], lang: str, full_text: bool) -> HalPage:
    """Read an answer.

    Parameters
    ----------
    body
        The answer.
    langs
        The languages whose fields were asked for.
    lang
        The language that abstracts must be in; empty for the document's own if there is one.
    full_text
        Whether the items are the documents' files.

    Raises
    ------
    NotKept
        HAL reports an error, or this is not one of its answers.
    """
    answer = parse_object(body, "an answer of HAL")
    if "error" in answer:
        error = answer["error"] if isinstance(answer["error"], dict) else {}
        raise NotKept("bad-record", f"HAL refuses the query: {text(error, 'msg')[:200]}")
    given = answer.get("response")
    response = given if isinstance(given, dict) else {}
    documents = response.get("docs")
    mark = answer.get("nextCursorMark")
    if not isinstance(documents, list) or not isinstance(mark, str) or not mark:
        raise NotKept("bad-record", "an answer of HAL without documents or nextCursorMark")
    total = response.get("numFound")
    return HalPage(
        items=tuple(_item(one, langs, lang, full_text=full_text) for one in documents),
        total=total if type(total) is int and total >= 0 else None,
        mark=mark,
    )


def _item(document: Any, langs: tuple[str, ...], lang: str, *, full_text: bool) -> Item:
    key = text(document, "halId_s") or text(document, "docid") if isinstance(document, dict) else ""
    if not key:
        digest = blake2b(repr(document).encode(errors="replace"), digest_size=8).hexdigest()
        return Item(key=f"document:{digest}", refusal=("bad-record", "no halId_s and no docid"))
    url = text(document, "uri_s") or f"https://hal.science/{key}"
    facts = {name: "; ".join(texts(document, field)) for name, field in _FACTS.items()}
    extra = {name: value for name, value in facts.items() if value}
    licence = text(document, "licence_s")
    if full_text:
        file = text(document, "fileMain_s")
        if not file.startswith(("http://", "https://")):
            return Item(key=key, url=url, refusal=("no-text", "no file"))
        own = text(document, "language_s")
        title = text(document, language_fields(lang or own)[0]) or text(document, "title_s")
        return Item(key=key, url=file, title=title, lang=own, licence=licence, extra=extra)
    found, title, abstract = _abstract(document, langs, lang)
    if not abstract:
        return Item(key=key, url=url, refusal=("no-text", f"no abstract {lang}".strip()))
    content = f"{title}\n\n{abstract}" if title else abstract
    return Item(
        key=key, url=url, text=content, title=title, lang=found, licence=licence, extra=extra
    )


def _abstract(
    document: Mapping[str, Any], langs: tuple[str, ...], lang: str
) -> tuple[str, str, str]:
    """Return language, title and abstract; the language is empty if HAL does not give it."""
    own = text(document, "language_s")
    order = (lang,) if lang else tuple(sorted(langs, key=lambda one: one != own))
    for one in order:
        title, abstract = language_fields(one)
        if text(document, abstract):
            return one, text(document, title) or text(document, "title_s"), text(document, abstract)
    return "", text(document, "title_s"), "" if lang else text(document, "abstract_s")
