"""The registry of document types: their media types, file endings and extractors.

To add a type, add a row here and a file in `documents`; nothing else names the types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from .documents.html_pages.html_extractors import HTML_EXTRACTORS, TRAFILATURA
from .extracted import Extracted

Extractor = Callable[[bytes, str], Extracted]
"""Extracts text from a document's bytes, given the server's charset, which may be empty."""

HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
EPUB = "application/epub+zip"
TEI = "application/tei+xml"
PLAIN = "text/plain"


@dataclass(frozen=True, kw_only=True)
class DocumentType:
    """A type of document."""

    media_type: str
    """Media type that identifies it here and in rows."""
    also: tuple[str, ...] = ()
    """Other media types under which servers send it."""
    endings: tuple[str, ...]
    function: str = ""
    """Its extractor, as ``module:name`` below this folder; imported when it is first used. Pages
    have several, by name."""
    signed: bool = False
    """Whether every document of the type begins with a signature."""

    def extractor(self, html: str = TRAFILATURA) -> Extractor:
        """Return the function that extracts its text; `html` names the one for pages."""
        module, _, name = (self.function or HTML_EXTRACTORS[html]).partition(":")
        extractor: Extractor = getattr(import_module(module, __package__), name)
        return extractor


DOCUMENT_TYPES = (
    DocumentType(
        media_type=HTML,
        also=("application/xhtml+xml",),
        endings=(".html", ".htm", ".xhtml"),
    ),
    DocumentType(
        media_type=PDF,
        also=("application/x-pdf",),
        endings=(".pdf",),
        function=".documents.pdf_document:extract_pdf",
        signed=True,
    ),
    DocumentType(
        media_type=DOCX,
        endings=(".docx",),
        function=".documents.word_document:extract_docx",
        signed=True,
    ),
    DocumentType(
        media_type=EPUB,
        endings=(".epub",),
        function=".documents.epub_document:extract_epub",
        signed=True,
    ),
    DocumentType(
        media_type="text/markdown",
        also=("text/x-markdown", "text/x-web-markdown"),
        endings=(".md", ".markdown"),
        function=".documents.markdown_document:extract_markdown",
    ),
    DocumentType(
        media_type=TEI,
        endings=(".tei", ".tei.xml"),
        function=".documents.tei_document:extract_tei",
    ),
    DocumentType(
        media_type="text/x-conllu",
        also=("text/conllu", "application/x-conllu"),
        endings=(".conllu",),
        function=".documents.conllu_document:extract_conllu",
    ),
    DocumentType(
        media_type="text/x-wiki",
        endings=(".wiki", ".mediawiki", ".wikitext"),
        function=".documents.wikitext_document:extract_wikitext",
    ),
    DocumentType(
        media_type=PLAIN,
        endings=(".txt", ".text"),
        function=".documents.plain_document:extract_plain",
    ),
)
"""The document types from which text is extracted."""

BY_MEDIA_TYPE = {name: kind for kind in DOCUMENT_TYPES for name in (kind.media_type, *kind.also)}


def by_ending(name: str) -> DocumentType | None:
    """Return the type for the ending of a file name or of a URL's path, if there is one.

    >>> by_ending("notes/Read.ME.md").media_type
    'text/markdown'
    """
    lowered = name.lower()
    return next((kind for kind in DOCUMENT_TYPES if lowered.endswith(kind.endings)), None)
