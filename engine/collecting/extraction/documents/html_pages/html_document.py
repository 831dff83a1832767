"""Pages of HTML: decoded, parsed safely, and what they say of themselves.

Their main text is taken by one of the extractors, whose files are `html_by_trafilatura` and so on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ......storage.errors import BackendUnavailable
from ....outcome import NotKept
from ...charsets import decoded
from ...document_types import HTML
from ...extracted import Extracted

_HEAD_BYTES = 1 << 12
_META = re.compile(rb"""<meta[^>]{0,300}?\bcharset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_DECLARATION = re.compile(rb"""<\?xml[^>]{0,100}?\bencoding\s*=\s*["']([\w.:-]{1,40})""")
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,200}\?>")
_TITLES = ("string(//head/title)", "string(//meta[@property='og:title']/@content)", "string(//h1)")
_LANGUAGES = (
    "string(/html/@lang)",
    "string(/html/@*[name()='xml:lang'])",
    "string(//meta[translate(@http-equiv, 'CL', 'cl')='content-language']/@content)",
)
_LICENCES = ("string(//*[contains(concat(' ', @rel, ' '), ' license ')]/@href)",)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that is parsed, and what it says of itself."""

    root: Any
    """Its ``html`` element, of lxml; the extractor may change it."""
    title: str
    lang: str
    licence: str
    replaced: int
    """Broken sequences of bytes that became U+FFFD."""


def declared_charset(content: bytes) -> str:
    """Return the charset that a page names in a ``meta`` element or its XML declaration, if any."""
    head = content[:_HEAD_BYTES]
    found = _DECLARATION.search(head) or _META.search(head)
    return found[1].decode("ascii", "replace") if found else ""


def parsed_page(content: bytes, charset: str) -> Page:
    """Return a page that is decoded and parsed.

    Raises
    ------
    NotKept
        It cannot be decoded, or is nested too deeply.
    """
    try:
        import lxml.html
    except ImportError as error:
        raise BackendUnavailable(
            f"text of HTML needs lxml ({error}): pip install 'paninifs[collect]'"
        ) from error
    page = decoded(content, charset, declared_charset(content))
    declaration = _XML_DECLARATION.match(page.text)
    root = _parsed(page.text[declaration.end() if declaration else 0 :], lxml.html)
    return Page(
        root=root,
        title=_first(root, _TITLES),
        lang=_first(root, _LANGUAGES).partition(",")[0],
        licence=_first(root, _LICENCES),
        replaced=page.replaced,
    )


def extracted(page: Page, text: str) -> Extracted:
    """Return what was found in a page.

    Raises
    ------
    NotKept
        ``no-text``: its main text is empty.
    """
    if not text:
        raise NotKept("no-text", "no main text was found on the page")
    return Extracted(
        text=text,
        title=page.title,
        lang=page.lang,
        licence=page.licence,
        media_type=HTML,
        extra={"replaced_bytes": str(page.replaced)} if page.replaced else {},
    )


def _parsed(text: str, lxml_html: Any) -> Any:
    parser = lxml_html.HTMLParser(
        encoding="utf-8",
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
        no_network=True,
        huge_tree=False,
    )
    # As bytes, since lxml reads a str by its own encoding, and refuses some.
    root = lxml_html.document_fromstring(text.encode(), parser=parser, ensure_head_body=True)
    # The parser drops what is nested too deeply, and reports it in its error log only.
    if any("depth" in entry.message for entry in parser.error_log):
        raise NotKept("too-deep")
    return root


def _first(root: Any, paths: tuple[str, ...]) -> str:
    found = (str(root.xpath(path)).strip() for path in paths)
    return next(filter(None, found), "")
