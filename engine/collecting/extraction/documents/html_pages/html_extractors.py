"""The extractors of pages by name, of which a collection uses one: they differ in texts and speed.

An extractor is added here and by a file beside this; nothing else knows them by name.
"""

from __future__ import annotations

from ......storage.errors import UsageError

TRAFILATURA = "trafilatura"
"""The default: drops menus and notices most reliably."""

HTML_EXTRACTORS = {
    TRAFILATURA: ".documents.html_pages.html_by_trafilatura:extract_html",
    "resiliparse": ".documents.html_pages.html_by_resiliparse:extract_html",
}
"""Functions by name, as ``module:name`` below `extraction`; imported when it is first used."""


def require_html_extractor(name: str) -> str:
    """Return the name of an extractor of pages, checked.

    Raises
    ------
    UsageError
        There is none of this name.

    Examples
    --------
    >>> require_html_extractor("resiliparse")
    'resiliparse'
    """
    if not isinstance(name, str) or name not in HTML_EXTRACTORS:
        choices = " or ".join(map(repr, HTML_EXTRACTORS))
        raise UsageError(f"html must be {choices}, not {name!r:.80}")
    return name
