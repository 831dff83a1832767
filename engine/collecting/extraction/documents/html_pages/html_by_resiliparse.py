"""HTML by resiliparse: the main text of a page by a few rules, at several times the speed."""

from __future__ import annotations

from typing import Any

from ......storage.errors import BackendUnavailable
from ...extracted import Extracted
from .html_document import extracted, parsed_page

_WITHOUT_TEXT = (
    "audio",
    "canvas",
    "iframe",
    "noscript",
    "object",
    "script",
    "select",  # its time grows with the square of a list's options
    "style",
    "svg",
    "template",
    "video",
)


_MOST_IN_LINKS = 0.5
"""Share of its text that is in links above which a list is a menu."""


def extract_html(content: bytes, charset: str) -> Extracted:
    """Return the main text of a page."""
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ImportError as error:
        raise BackendUnavailable(
            f"text of HTML by resiliparse needs that package ({error}): "
            "pip install 'paninifs[collect]'"
        ) from error
    page = parsed_page(content, charset)
    from lxml import etree, html

    etree.strip_elements(page.root, *_WITHOUT_TEXT, with_tail=False)
    _keep_lists(page.root)
    # Not the page itself: in what is written by lxml every element is closed, so that none is
    # opened again in each of the following ones, and no page is too deep for resiliparse.
    text = extract_plain_text(
        html.tostring(page.root, encoding="unicode"),
        main_content=True,
        list_bullets=False,
        alt_texts=False,
        comments=False,
    )
    return extracted(page, text)


def _keep_lists(root: Any) -> None:
    """Make lists that are not menus into blocks: resiliparse takes most lists for menus."""
    for one in root.xpath("//ul[not(ancestor::ul)]"):
        whole = _letters(one.itertext())
        if _letters(one.xpath(".//a//text()")) <= _MOST_IN_LINKS * whole:
            for part in one.iter("ul", "li"):
                part.tag = "div"


def _letters(texts: Any) -> int:
    return sum(len(text) - text.count(" ") for text in texts)
