"""Wikitext of one page. Dumps are taken apart by `sources.wikipedia_dump`."""

from __future__ import annotations

from ...sources.wikitext import wikitext_to_text
from ..charsets import decoded
from ..extracted import Extracted


def extract_wikitext(content: bytes, charset: str) -> Extracted:
    """Return the text of a page of a wiki."""
    text = wikitext_to_text(decoded(content, charset).text)
    return Extracted(text=text, media_type="text/x-wiki")
