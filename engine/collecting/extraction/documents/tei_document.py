"""TEI: the body of a text, and the metadata of its header."""

from __future__ import annotations

from typing import Any

from ...outcome import NotKept
from ..document_types import TEI
from ..extracted import Extracted
from .markup_text import Layout, markup_text, names
from .xml_trees import parsed_xml

_LAYOUT = Layout(
    paragraphs=names(
        "ab argument body byline castList closer dateline div div1 div2 div3 div4 div5"
        " docTitle epigraph figure floatingText front group head lg list opener p"
        " postscript quote salute signed sp stage table text titlePage trailer back"
    ),
    lines=names("castItem docAuthor item l lb row speaker titlePart"),
    cells=names("cell"),
    skipped=names("fw sic orig abbr del teiHeader facsimile standOff"),
)
"""The layout of TEI. In a choice, the corrected, regular or expanded form is read."""

_CHOICES = names("sic orig abbr")
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def extract_tei(content: bytes, charset: str) -> Extracted:
    """Return the text of a TEI document: all of its ``text`` elements."""
    root = parsed_xml(content, charset)
    texts = [text for text in root.iter("{*}text") if not _inside_text(text)]
    if not texts:
        raise NotKept("no-text", "it has no element named text")
    _keep_what_stands_alone(root)
    title = root.find(".//{*}fileDesc/{*}titleStmt/{*}title")
    return Extracted(
        text="\n\n".join(markup_text(text, _LAYOUT) for text in texts),
        title="" if title is None else " ".join("".join(title.itertext()).split()),
        lang=_language(root, texts[0]),
        licence=_licence(root),
        media_type=TEI,
        extra={"authors": "; ".join(_authors(root))},
    )


def _inside_text(text: Any) -> bool:
    return next(text.iterancestors("{*}text"), None) is not None


def _keep_what_stands_alone(root: Any) -> None:
    """Rename a ``sic``, ``orig`` or ``abbr`` that is not in a choice, so that its text is read."""
    for element in root.iter(*("{*}" + name for name in _CHOICES)):
        parent = element.getparent()
        if parent is None or parent.tag.rpartition("}")[2] != "choice":
            element.tag = "seg"


def _language(root: Any, text: Any) -> str:
    used = root.find(".//{*}langUsage/{*}language")
    said = text.get(_LANG) or root.get(_LANG) or ("" if used is None else used.get("ident"))
    return str(said or "")


def _licence(root: Any) -> str:
    found = root.find(".//{*}availability//{*}licence")
    if found is None:
        return ""
    return str(found.get("target") or "".join(found.itertext()))


def _authors(root: Any) -> list[str]:
    found = root.iterfind(".//{*}fileDesc/{*}titleStmt/{*}author")
    return [" ".join("".join(author.itertext()).split()) for author in found]
