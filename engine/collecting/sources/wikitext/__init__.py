"""Conversion of wikitext, the markup of MediaWiki, to plain text, in linear time.

`plain_text` has the public function; `opaque` hides what must not be parsed, `structure` pairs
brackets, `links` reads links and templates, and `inline` removes markup within lines. Templates are
dropped, not expanded, and nothing is fetched. Imports nothing outside this folder.
"""

from .plain_text import wikitext_to_text

__all__ = ["wikitext_to_text"]
