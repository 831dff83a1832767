"""DOCX: paragraphs, tables and notes, read from the XML of the archive.

python-docx is not used: it misses content controls and inserted text, and is seven times slower.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from ...outcome import NotKept
from ..document_types import DOCX
from ..extracted import Extracted
from .xml_trees import parsed_xml, require_lxml
from .zip_archive import ZipArchive

_MAIN = "/officeDocument"
"""End of the relationship type of the main part, in both variants of the format."""

_CORE = "docProps/core.xml"
_NOTES = ("footnotes.xml", "endnotes.xml")
_SKIPPED = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "fldData", "pict"})
_WRITTEN = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_PROPERTIES = frozenset({"pPr", "rPr", "tblPr", "tcPr", "sectPr"})


def extract_docx(content: bytes, charset: str) -> Extracted:  # noqa: ARG001 (XML has its own)
    """Return the text of a Word document: one line per paragraph, tabs between cells."""
    archive = ZipArchive(content)
    main = _main_part(archive)
    folder = posixpath.dirname(main)
    notes = (posixpath.join(folder, name) for name in _NOTES)
    parts = (main, *(note for note in notes if note in archive.names))
    text = "\n".join("".join(_pieces(parsed_xml(archive.read(part)))).strip() for part in parts)
    title, lang = _facts(archive)
    return Extracted(text=text, title=title, lang=lang, media_type=DOCX)


def _main_part(archive: ZipArchive) -> str:
    for relation in parsed_xml(archive.read("_rels/.rels")):
        if str(relation.get("Type", "")).endswith(_MAIN):
            return str(relation.get("Target", "")).removeprefix("/")
    raise NotKept("damaged", "the archive names no main part")


def _facts(archive: ZipArchive) -> tuple[str, str]:
    """Return the title and the language that the document's properties give."""
    if _CORE not in archive.names:
        return "", ""
    core = parsed_xml(archive.read(_CORE))
    return core.findtext("{*}title") or "", core.findtext("{*}language") or ""


def _pieces(root: Any) -> Iterator[str]:
    """Yield the text of a part in pieces."""
    walk = require_lxml().iterwalk(root, events=("start", "end"))
    cells, follows = 0, False
    for event, element in walk:
        name = element.tag.rpartition("}")[2]
        if event == "start":
            if name == "tc":
                cells, follows = cells + 1, False
            elif name == "p":
                yield " " if cells and follows else ""
                follows = True
            if name in _SKIPPED or name in _PROPERTIES:
                walk.skip_subtree()
            elif name == "t":
                yield element.text or ""
            else:
                yield _WRITTEN.get(name, "")
        elif name == "p":
            yield "" if cells else "\n"
        elif name == "tc":
            cells -= 1
            yield "\t"
        elif name == "tr":
            yield "\n"
