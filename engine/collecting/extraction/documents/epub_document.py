"""EPUB: the chapters of a book in the order of its spine, and the metadata of its package."""

from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from ...outcome import NotKept
from ..charsets import decoded
from ..document_types import EPUB
from ..extracted import Extracted
from .html_pages.html_document import declared_charset
from .markup_text import XHTML, markup_text
from .xml_trees import parsed_xml
from .zip_archive import ZipArchive

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_CHAPTERS = frozenset({"application/xhtml+xml", "text/html"})
_FACTS = {"title": "title", "lang": "language", "licence": "rights"}


def extract_epub(content: bytes, charset: str) -> Extracted:  # noqa: ARG001 (XML has its own)
    """Return the text of a book."""
    archive = ZipArchive(content)
    package = _package_path(archive)
    root = parsed_xml(archive.read(package))
    chapters = _chapters(root, posixpath.dirname(package))
    locked = _encrypted(archive).intersection(chapters)
    if locked:
        raise NotKept("encrypted", f"{len(locked)} of {len(chapters)} chapters")
    text = "\n\n".join(_chapter(archive.read(path)) for path in chapters)
    facts = {fact: _first(root, name) for fact, name in _FACTS.items()}
    extra = {"authors": "; ".join(_all(root, "creator")), "date": _first(root, "date")}
    return Extracted(text=text, media_type=EPUB, extra=extra, **facts)


def _package_path(archive: ZipArchive) -> str:
    for entry in parsed_xml(archive.read(_CONTAINER)).iter("{*}rootfile"):
        return _within("", entry.get("full-path", ""))
    raise NotKept("damaged", "the book names no package")


def _within(folder: str, reference: str) -> str:
    """Return the path in the archive that a reference from a folder means."""
    path = posixpath.normpath(posixpath.join(folder, unquote(urlsplit(reference).path)))
    if path.startswith(("/", "..")):
        raise NotKept("unsafe-path", reference[:100])
    return path


def _chapters(root: Any, folder: str) -> list[str]:
    """Return the paths of the chapters; a chapter that the spine names twice is there once."""
    items = {item.get("id"): item for item in root.iter("{*}item")}
    spine = [items.get(entry.get("idref")) for entry in root.iter("{*}itemref")]
    read = [item for item in spine if item is not None and item.get("media-type") in _CHAPTERS]
    if not read:
        raise NotKept("damaged", "the book's spine names no chapter")
    return list(dict.fromkeys(_within(folder, item.get("href", "")) for item in read))


def _encrypted(archive: ZipArchive) -> set[str]:
    """Return the files that are encrypted; in a book that can be read, those are fonts."""
    if _ENCRYPTION not in archive.names:
        return set()
    references = parsed_xml(archive.read(_ENCRYPTION)).iter("{*}CipherReference")
    return {_within("", reference.get("URI", "")) for reference in references}


def _chapter(content: bytes) -> str:
    try:
        return markup_text(parsed_xml(content), XHTML)
    except NotKept as problem:
        if problem.reason != "damaged":
            raise
    from lxml import html  # many books are not well-formed XML

    text = decoded(content, declared_charset(content)).text
    parser = html.HTMLParser(encoding="utf-8", no_network=True)
    root = html.document_fromstring(text.encode(), parser=parser)
    if any("depth" in entry.message for entry in parser.error_log):
        raise NotKept("too-deep")
    return markup_text(root, XHTML)


def _all(root: Any, name: str) -> list[str]:
    found = root.iter("{http://purl.org/dc/elements/1.1/}" + name)
    return [text for element in found if (text := "".join(element.itertext()).strip())]


def _first(root: Any, name: str) -> str:
    return next(iter(_all(root, name)), "")
