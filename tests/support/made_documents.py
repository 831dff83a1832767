"""Documents of every type that text is extracted from, made here; and the parts of hostile ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping

OPF = "http://www.idpf.org/2007/opf"
DC = "http://purl.org/dc/elements/1.1/"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="{package}" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)


def pdf(*pages: str, title: str = "", catalog: str = "", count: int | None = None) -> bytes:
    """Return a PDF with a line of text per line of a page."""
    numbers = [5 + 2 * index for index in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    total = len(pages) if count is None else count
    objects = {
        1: f"<</Type/Catalog/Pages 2 0 R{catalog}>>",
        2: f"<</Type/Pages/Kids[{kids}]/Count {total}>>",
        3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        4: f"<</Title({title})>>",
    }
    for number, page in zip(numbers, pages, strict=True):
        shown = "".join(f"({line}) Tj T* " for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {shown}ET" if page else ""
        objects[number] = (
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]"
            f"/Resources<</Font<</F1 3 0 R>>>>/Contents {number + 1} 0 R>>"
        )
        objects[number + 1] = f"<</Length {len(stream)}>>stream\n{stream}\nendstream"
    return pdf_of(objects, "/Root 1 0 R/Info 4 0 R")


def pdf_of(objects: Mapping[int, str], trailer: str) -> bytes:
    """Return a PDF of objects, by their numbers, with its table of references."""
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, body in objects.items():
        places[number] = len(out)
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        out += f"{number} 1\n{place:010d} 00000 n \n".encode()
    size = max(objects) + 1
    out += f"trailer<</Size {size}{trailer}>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def zipped(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def replaced_in_zip(archive: bytes, changes: Mapping[str, str | bytes | None]) -> bytes:
    """Return an archive with other contents of files; None removes one."""
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        files: dict[str, str | bytes | None] = {name: read.read(name) for name in read.namelist()}
    return zipped({name: held for name, held in (files | changes).items() if held is not None})


def epub(
    *chapters: str, metadata: str = "", items: str = "", others: Mapping[str, str] | None = None
) -> bytes:
    """Return a book whose chapters are the given bodies, in an order unlike that of its files."""
    names = [f"c{len(chapters) - index}.xhtml" for index in range(len(chapters))]
    manifest = "".join(
        f'<item id="{name}" href="text/{name}" media-type="application/xhtml+xml"/>'
        for name in sorted(names)
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    package = (
        f'<package xmlns="{OPF}" version="3.0"><metadata xmlns:dc="{DC}">{metadata}</metadata>'
        f"<manifest>{manifest}{items}</manifest><spine>{spine}</spine></package>"
    )
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(package="OEBPS/book.opf"),
        "OEBPS/book.opf": package,
    }
    for name, body in zip(names, chapters, strict=True):
        files[f"OEBPS/text/{name}"] = (
            '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>not read</title></head><body>{body}</body></html>"
        )
    return zipped(files | dict(others or {}))


def docx(paragraphs: Iterable[str] = (), *, table: Iterable[Iterable[str]] = ()) -> bytes:
    """Return a Word document of paragraphs and a table behind them."""
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = "A made document"
    for text in paragraphs:
        document.add_paragraph(text)
    rows = [list(row) for row in table]
    if rows:
        made = document.add_table(len(rows), len(rows[0]))
        for row, texts in zip(made.rows, rows, strict=True):
            for cell, text in zip(row.cells, texts, strict=True):
                cell.text = text
    held = io.BytesIO()
    document.save(held)
    return held.getvalue()


def tei(body: str, header: str = "", doctype: str = "", attributes: str = "") -> bytes:
    """Return a TEI document."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}'
        f'<TEI xmlns="http://www.tei-c.org/ns/1.0"{attributes}>'
        f"<teiHeader>{header}</teiHeader><text><body>{body}</body></text></TEI>"
    ).encode()


def page(body: str, head: str = "", lang: str = "en") -> str:
    """Return an HTML page."""
    return f'<!doctype html><html lang="{lang}"><head>{head}</head><body>{body}</body></html>'
