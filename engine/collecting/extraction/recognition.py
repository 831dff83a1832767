"""Recognition of a document's type: by its content, then the declared type, then its name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ....storage.formats.recognition.binary import binary
from ..outcome import NotKept
from .document_types import (
    BY_MEDIA_TYPE,
    DOCX,
    EPUB,
    HTML,
    PDF,
    PLAIN,
    TEI,
    DocumentType,
    by_ending,
)
from .documents.zip_archive import ZipArchive

_HEAD_BYTES = 1 << 12
_VAGUE = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-download", PLAIN}
)
"""Media types that servers declare for files of unknown type."""

_XML = frozenset({"application/xml", "text/xml"})
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ROOT = re.compile(r"<(?:\w[\w.-]*:)?(\w[\w.-]*)")
_LOOKS_LIKE_HTML = re.compile(r"\s*(?:<!doctype\s+html\b|<html[\s>])", re.IGNORECASE)
_TEI_ROOTS = frozenset({"TEI", "TEI.2", "teiCorpus"})


def recognised(content: bytes, media_type: str = "", name: str = "") -> DocumentType:
    """Return the type of a document.

    A signature takes precedence: a PDF that is served as text is a PDF. A document without the
    signature of its declared type is refused: in place of a PDF, servers send pages that ask to
    sign in.

    Parameters
    ----------
    content
        The document; not compressed by gzip.
    media_type
        The declared type; empty if unknown.
    name
        A file's name or a URL, for its ending.

    Raises
    ------
    NotKept
        ``unknown-type``, ``wrong-type``, ``encrypted``, or what a damaged archive raises.

    Examples
    --------
    >>> recognised(b"# Title", "text/plain", "https://example.org/README.md?raw=1").media_type
    'text/markdown'
    """
    media_type = media_type.partition(";")[0].strip().lower()
    path = urlsplit(name).path if "://" in name else name
    said = (media_type in _VAGUE and by_ending(path)) or BY_MEDIA_TYPE.get(media_type)
    if signed := _by_signature(content, said):
        return BY_MEDIA_TYPE[signed]
    if said is not None and said.signed:
        raise NotKept("wrong-type", f"it is declared as {said.media_type}")
    if said is not None and (media_type not in _VAGUE or said.media_type != PLAIN):
        return said
    if media_type not in _VAGUE and media_type not in _XML:
        raise NotKept("unknown-type", media_type[:100])
    return BY_MEDIA_TYPE[_by_beginning(content, media_type)]


def _by_signature(content: bytes, said: DocumentType | None) -> str | None:
    """Return the media type of the signature in the first bytes; None if there is none."""
    if b"%PDF-" in content[:1024] and not content[:1024].lstrip().startswith(b"<"):
        return PDF
    if content.startswith(_ZIP):
        return _in_zip(content)
    if content.startswith(_OLE) and _ENCRYPTED_PACKAGE in content:
        raise NotKept("encrypted", "an Office document with a password")
    if found := binary(content[:_HEAD_BYTES]):
        what = found.removeprefix("it is ").partition(";")[0]
        raise NotKept("unknown-type" if said is None else "wrong-type", what)
    return None


def _in_zip(content: bytes) -> str:
    archive = ZipArchive(content)
    if "[Content_Types].xml" in archive.names and any(
        name.startswith("word/") for name in archive.names
    ):
        return DOCX
    if "META-INF/container.xml" in archive.names or (
        "mimetype" in archive.names and archive.read("mimetype").strip() == EPUB.encode()
    ):
        return EPUB
    raise NotKept("unknown-type", f"a ZIP archive of {len(archive.names)} files")


def _by_beginning(content: bytes, media_type: str) -> str:
    """Return the media type of a text without a signature, by its first elements."""
    head = _beginning(content)
    if head.lstrip().startswith("<?xml") or media_type in _XML:
        root = _ROOT.search(_COMMENT.sub("", head))
        if root and root[1] in _TEI_ROOTS:
            return TEI
        if root and root[1].lower() == "html":
            return HTML
        raise NotKept("unknown-type", f"XML with the root {root[1][:40]}" if root else "XML")
    # Declared plain text may be about HTML, and begin with an example of it.
    return HTML if media_type != PLAIN and _LOOKS_LIKE_HTML.match(head) else PLAIN


def _beginning(content: bytes) -> str:
    head = content[:_HEAD_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    return head.decode("utf-8", "replace").removeprefix("\ufeff")
