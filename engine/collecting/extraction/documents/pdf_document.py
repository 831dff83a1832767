"""PDF: the text layer of its pages, by PDFium. Forms, scripts and links are never opened."""

from __future__ import annotations

import ctypes
import re
from typing import Any

from .....storage.errors import BackendUnavailable
from ...outcome import NotKept
from ..document_types import PDF
from ..extracted import Extracted
from ..tidying import MOST_TEXT

_MOST_PAGES = 20_000
_HYPHEN = re.compile("[\x02\ufffe](?:\r?\n)?")
"""Character that PDFium returns for a hyphen that divides a word at the end of a line."""


def extract_pdf(content: bytes, charset: str) -> Extracted:  # noqa: ARG001 (it has no charset)
    """Return the text of a PDF's pages, with a blank line between pages."""
    try:
        import pypdfium2
    except ImportError as error:
        raise BackendUnavailable(
            "text of PDF needs pypdfium2: pip install 'paninifs[collect]'"
        ) from error
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        password = pypdfium2.raw.FPDF_GetLastError() == pypdfium2.raw.FPDF_ERR_PASSWORD
        raise NotKept("encrypted" if password else "damaged", f"{error}"[:200]) from error
    try:
        pages = _pages(document, pypdfium2.PdfiumError)
        if not any(map(str.strip, pages)):
            raise NotKept("no-text", f"{len(pages)} pages without a text layer")
        return Extracted(
            text="\n\n".join(map(_joined, pages)),
            title=document.get_metadata_value("Title"),
            lang=_language(document, pypdfium2.raw),
            media_type=PDF,
            extra={"pages": str(len(pages)), "authors": document.get_metadata_value("Author")},
        )
    finally:
        document.close()


def _pages(document: Any, failure: type[Exception]) -> list[str]:
    count = len(document)
    if count > _MOST_PAGES:
        raise NotKept("bomb", f"a PDF of {count:,} pages")
    texts: list[str] = []
    size = 0
    for number in range(count):
        try:
            page = document[number]
            text_page = page.get_textpage()
        except failure as error:
            raise NotKept("damaged", f"page {number + 1} of {count}: {error}"[:200]) from error
        texts.append(text_page.get_text_range())
        text_page.close()
        page.close()
        size += len(texts[-1])
        if size > MOST_TEXT:
            raise NotKept("bomb", f"{number + 1} pages hold more than {MOST_TEXT:,} characters")
    return texts


def _joined(page: str) -> str:
    """Return the text of a page with divided words joined."""
    page = page.strip()
    return _HYPHEN.sub("", page) if "\x02" in page or "\ufffe" in page else page


def _language(document: Any, raw: Any) -> str:
    """Return the language that the document's catalogue names, if PDFium can say."""
    if not hasattr(raw, "FPDFCatalog_GetLanguage"):
        return ""
    held = (raw.FPDF_WCHAR * 64)()
    size = raw.FPDFCatalog_GetLanguage(document, held, ctypes.sizeof(held))
    if size > ctypes.sizeof(held):
        return ""
    return bytes(held)[:size].decode("utf-16-le", "ignore").rstrip("\x00")
