"""`Item` and `Page`: what a source lists. They are fetched and decided in `pipeline`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that may become a row of the corpus.

    An item has a `text`, or `content` to extract one from, or a `url` to fetch such content from;
    the first of these that is there is used. A `refusal` alone lists an item that the source itself
    could not understand.
    """

    key: str
    """Identifies the item in its source, the same whenever it is listed; the row's `id`."""
    url: str = ""
    """Where it is fetched from, or where a reader finds it; the row's `url`."""
    text: str | None = None
    """Its text, as the source had it."""
    content: bytes | None = None
    """A document's bytes, to extract text from."""
    path: str = ""
    """A file to extract text from: a path or URL for fsspec, or ``archive.zip::member``."""
    media_type: str = ""
    """The type of `content` or of the file, where known: ``application/pdf``."""
    title: str = ""
    lang: str = ""
    """ISO 639-1 or 639-3 code that the source gives; detected from the text if empty."""
    licence: str = ""
    """An SPDX identifier or a licence's URL, as the source gives it; empty if unknown."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further facts by name (authors, date, doi, category); stored as one JSON column."""
    refusal: tuple[str, str] | None = None
    """A reason of `outcome.REASONS` and a detail, for an item that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Consecutive items of a source, and the cursor after them."""

    items: tuple[Item, ...]
    cursor: str
    """Passed to `Source.pages` to resume after this page; its format is up to the source."""
    total: int | None = None
    """How many items the source says it has in all; None if it does not say."""
