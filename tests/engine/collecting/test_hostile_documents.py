"""Hostile and broken documents: each ends in a reason of the list, and harms nothing."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
import trafilatura  # noqa: F401 (urllib3, which it imports, binds a socket then; no unit test may)
from made_documents import (
    CONTAINER,
    docx,
    epub,
    page,
    pdf,
    pdf_of,
    replaced_in_zip,
    tei,
    zipped,
)

from paninifs.engine.collecting.extraction.document_types import DOCX, EPUB, HTML, PDF, TEI
from paninifs.engine.collecting.extraction.documents.html_pages.html_extractors import (
    HTML_EXTRACTORS,
)
from paninifs.engine.collecting.extraction.extract import extract
from paninifs.engine.collecting.outcome import REASONS, NotKept

MEBI = 1 << 20
WORDS = "of ducks and other birds "


def _stretched(member: str, size: int) -> bytes:
    """Return a Word document in which a part is mostly zeros."""
    return replaced_in_zip(docx(["One"]), {member: b"\0" * size})


def _overlapping() -> bytes:
    """Return an archive whose entries all have the same bytes."""
    made = bytearray(zipped({"word/a": "a" * 5000}, zipfile.ZIP_STORED))
    end = made.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", made, end + 16)[0]
    entry = bytes(made[start:end])
    entries = b"".join(entry.replace(b"word/a", f"word/{one}".encode()) for one in "bcdefg")
    made[start:] = entry + entries + made[end:]
    end = made.rindex(b"PK\x05\x06")
    struct.pack_into("<HHI", made, end + 8, 7, 7, end - start)
    return bytes(made)


def _flagged(archive: bytes) -> bytes:
    """Return an archive all of whose entries say that they are encrypted."""
    made = bytearray(archive)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = made.find(mark)
        while at >= 0:
            made[at + place] |= 1
            at = made.find(mark, at + 4)
    return bytes(made)


def _too_small() -> bytes:
    """Return a book whose directory says that its package is shorter than it is."""
    made = bytearray(epub("<p>One</p>"))
    for entry in zipfile.ZipFile(io.BytesIO(made)).infolist():
        if entry.filename.endswith(".opf"):
            at = made.index(b"PK\x01\x02")
            while made[at + 46 : at + 46 + len(entry.filename)] != entry.filename.encode():
                at = made.index(b"PK\x01\x02", at + 4)
            struct.pack_into("<I", made, at + 24, 40)
    return bytes(made)


def _encrypted_pdf() -> bytes:
    """Return a PDF whose password is not empty; its hashes are of nothing."""
    objects = {
        1: "<</Type/Catalog/Pages 2 0 R>>",
        2: "<</Type/Pages/Kids[]/Count 0>>",
        3: f"<</Filter/Standard/V 1/R 2/P -44/O<{'41' * 32}>/U<{'42' * 32}>>>",
    }
    return pdf_of(objects, f"/Root 1 0 R/Encrypt 3 0 R/ID[<{'43' * 16}><{'43' * 16}>]")


def pdf_of_forms_in_forms(times: int) -> bytes:
    """Return a PDF whose page draws a form ten times, which draws another ten times, and so on."""
    objects = {
        1: "<</Type/Catalog/Pages 2 0 R>>",
        2: "<</Type/Pages/Kids[4 0 R]/Count 1>>",
        3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        4: "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</X 6 0 R>>>>"
        "/Contents 5 0 R>>",
    }
    draws = "/X Do " * 10
    objects[5] = f"<</Length {len(draws)}>>stream\n{draws}\nendstream"
    for number in range(6, 6 + times):
        objects[number] = (
            "<</Type/XObject/Subtype/Form/BBox[0 0 612 792]"
            f"/Resources<</XObject<</X {number + 1} 0 R>>>>/Length {len(draws)}>>stream\n"
            f"{draws}\nendstream"
        )
    text = f"BT /F 9 Tf ({WORDS}) Tj ET"
    objects[6 + times] = (
        "<</Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources<</Font<</F 3 0 R>>>>"
        f"/Length {len(text)}>>stream\n{text}\nendstream"
    )
    return pdf_of(objects, "/Root 1 0 R")


def _recursive_pdf(kids: str) -> bytes:
    return pdf_of(
        {1: "<</Type/Catalog/Pages 2 0 R>>", 2: f"<</Type/Pages/Kids[{kids}]/Count 3>>"},
        "/Root 1 0 R",
    )


def _noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def _laughs(mark: str = "&", kind: str = "") -> bytes:
    """Return entities each of which is ten of the one before; parameter entities have marks."""
    texts = ["ha", *(f"{mark}l{number};" * 10 for number in range(8))]
    entities = "".join(f'<!ENTITY {kind}l{n} "{text}">' for n, text in enumerate(texts))
    return tei("<p>&l8;</p>", doctype=f"<!DOCTYPE TEI [{entities}]>")


BROKEN_BOOK = epub("<p>One</p>")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)

HOSTILE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    # compressed data
    "gzip bomb": (lambda: gzip.compress(bytes(40 * MEBI)), "text/plain", "bomb"),
    "gzip in gzip in gzip": (
        lambda: gzip.compress(gzip.compress(gzip.compress(b"text"))), "text/plain", "bomb"),
    "gzip, cut": (lambda: gzip.compress(_noise(5000))[:-900], "", "bad-compression"),
    "gzip, damaged": (
        lambda: b"\x1f\x8b\x08" + b"\0" * 7 + b"\xff" * 100, "text/plain", "bad-compression"),
    "gzip with a wrong checksum": (
        lambda: gzip.compress(b"text" * 9)[:-8] + bytes(8), "text/plain", "bad-compression"),
    # archives
    "zip bomb": (lambda: _stretched("word/document.xml", 40 * MEBI), DOCX, "bomb"),
    "zip of overlapping entries": (_overlapping, DOCX, "bomb"),
    "zip of many files": (lambda: zipped({f"word/{n}": "" for n in range(10_001)}), DOCX, "bomb"),
    "zip in zip": (lambda: zipped({"inner.zip": zipped({"a": "b"})}), "", "unknown-type"),
    "zip naming a parent": (
        lambda: zipped({"[Content_Types].xml": "", "word/../../../etc/passwd": "x"}), DOCX,
        "unsafe-path"),
    "zip naming the root": (lambda: zipped({"/etc/passwd": "x"}), DOCX, "unsafe-path"),
    "zip naming a drive": (lambda: zipped({"C:\\x": "x"}), DOCX, "unsafe-path"),
    "zip with a password": (lambda: _flagged(docx(["One"])), DOCX, "encrypted"),
    "zip with two files of a name": (
        lambda: zipped({"word/a": "1", "word/b": "2"}).replace(b"word/b", b"word/a"), DOCX,
        "damaged"),
    "zip, cut": (lambda: docx(["One"])[:-300], DOCX, "damaged"),
    "zip whose sizes are wrong": (_too_small, EPUB, "damaged"),
    "zip of an unknown method": (
        lambda: zipped({"META-INF/container.xml": "x"}, zipfile.ZIP_STORED).replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00",
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00"),
        EPUB, "bad-compression"),
    # Word
    "docx without its text": (
        lambda: replaced_in_zip(docx(["One"]), {"word/document.xml": None, "word/x": "x"}), DOCX,
        "damaged"),
    "docx without relations": (
        lambda: replaced_in_zip(docx(["One"]), {"_rels/.rels": None}), DOCX, "damaged"),
    "docx of other XML": (
        lambda: replaced_in_zip(docx(["One"]), {"word/document.xml": "<a><b>"}), DOCX, "damaged"),
    "docx with a password": (
        lambda: OLE + "EncryptedPackage".encode("utf-16-le"), DOCX, "encrypted"),
    "an old Word document": (lambda: OLE, "application/msword", "unknown-type"),
    # EPUB
    "epub without a package": (
        lambda: replaced_in_zip(BROKEN_BOOK, {"OEBPS/book.opf": None}), EPUB, "damaged"),
    "epub without a container": (
        lambda: replaced_in_zip(BROKEN_BOOK, {"META-INF/container.xml": None}), EPUB, "damaged"),
    "epub without chapters": (epub, EPUB, "damaged"),
    "epub whose package is outside": (
        lambda: replaced_in_zip(
            BROKEN_BOOK, {"META-INF/container.xml": CONTAINER.format(package="../../etc/passwd")}),
        EPUB, "unsafe-path"),
    "epub with chapters encrypted": (
        lambda: epub("<p>One</p>", others={
            "META-INF/encryption.xml": '<e><CipherReference URI="OEBPS/text/c1.xhtml"/></e>'}),
        EPUB, "encrypted"),
    # XML
    "entities of entities": (_laughs, TEI, "bomb"),
    "parameter entities of entities": (lambda: _laughs("%", "% "), TEI, "damaged"),
    "an entity of an entity": (
        lambda: tei("<p>&b;</p>", doctype='<!DOCTYPE TEI [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>'),
        TEI, "bomb"),
    "one huge entity": (
        lambda: tei("<p>" + "&a;" * 5000 + "</p>",
                    doctype=f'<!DOCTYPE TEI [<!ENTITY a "{"a" * 50_000}">]>'), TEI, "bomb"),
    "an entity from a file": (
        lambda: tei("<p>&a;</p>", doctype='<!DOCTYPE TEI [<!ENTITY a SYSTEM "/etc/passwd">]>'),
        TEI, "damaged"),
    "an entity from the web": (
        lambda: tei("<p>&a;</p>", doctype='<!DOCTYPE TEI [<!ENTITY a SYSTEM "http://10.0.0.1/">]>'),
        TEI, "damaged"),
    "an entity in an attribute": (
        lambda: _laughs().replace(b"<p>", b'<p n="&l8;">'), TEI, "bomb"),
    "XML 100,000 deep": (lambda: tei("<p>" * 100_000 + "x" + "</p>" * 100_000), TEI, "too-deep"),
    "XML 1,000 deep": (lambda: tei("<p>" * 1000 + "x" + "</p>" * 1000), TEI, "too-deep"),
    "XML that ends early": (lambda: tei("<p>One</p>")[:-30], TEI, "damaged"),
    "XML of something else": (lambda: b"<?xml version='1.0'?><svg/>", "text/xml", "unknown-type"),
    "TEI without a text": (lambda: b"<TEI><teiHeader>x</teiHeader></TEI>", TEI, "no-text"),
    "XML in an unknown encoding": (
        lambda: tei("<p>One</p>").replace(b"UTF-8", b"X-KLINGON"), TEI, "damaged"),
    # HTML
    "HTML 100,000 deep": (
        lambda: page("<div>" * 100_000 + WORDS * 20 + "</div>" * 100_000).encode(), HTML,
        "too-deep"),
    "HTML of formatting 3,000 deep": (
        lambda: page("<b><i>" * 3000 + WORDS * 20).encode(), HTML, "too-deep"),
    "HTML of scripts alone": (
        lambda: page(f"<script>document.write('{WORDS}')</script>").encode(), HTML, "no-text"),
    "HTML of one tag that never ends": (
        lambda: page("").encode() + b"<p " + b"a" * MEBI, HTML, "no-text"),
    "HTML of entities that are no characters": (
        lambda: page("<p>" + "&#0; &#xD800; &#x110000; b " * 9 + "</p>").encode(), HTML,
        "unreadable"),
    # PDF
    "PDF with a password": (_encrypted_pdf, PDF, "encrypted"),
    "PDF of a scan": (lambda: pdf("", "", ""), PDF, "no-text"),
    "PDF of a million pages": (lambda: pdf("One", count=1_000_000), PDF, "bomb"),
    "PDF whose pages are themselves": (lambda: _recursive_pdf("2 0 R 2 0 R"), PDF, "damaged"),
    "PDF without its pages": (lambda: _recursive_pdf("7 0 R"), PDF, "damaged"),
    "PDF, cut at its beginning": (lambda: b"%PDF-1.7\n" + pdf("One")[400:450], PDF, "damaged"),
    "PDF of noise": (lambda: b"%PDF-1.4\n" + _noise(20_000), PDF, "damaged"),
    # types and encodings
    "a page in place of a PDF": (lambda: page("<p>Sign in</p>").encode(), PDF, "wrong-type"),
    "a picture in place of a page": (
        lambda: b"\x89PNG\r\n\x1a\n" + _noise(500), HTML, "wrong-type"),
    "a picture": (lambda: b"\xff\xd8\xff\xe0" + _noise(500), "image/jpeg", "unknown-type"),
    "a program": (lambda: b"\x7fELF" + _noise(500), "text/plain", "wrong-type"),
    "JSON": (lambda: b'{"a": 1}', "application/json", "unknown-type"),
    "noise": (lambda: _noise(50_000), "text/plain", "unreadable"),
    "noise without controls": (
        lambda: bytes(byte | 0x80 for byte in _noise(50_000)), "text/plain", "unreadable"),
    "NULs": (lambda: bytes(5000), "text/plain", "unreadable"),
    "UTF-16 with half a character": (
        lambda: b"\xff\xfe" + WORDS.encode("utf-16-le") + b"\0", "text/plain", "unreadable"),
    "UTF-16 with a lone surrogate": (
        lambda: b"\xff\xfe" + WORDS.encode("utf-16-le") + b"\x00\xd8", "text/plain", "unreadable"),
    "UTF-16 in scripts without spaces, not marked": (
        lambda: "かもは水の上にすむ鳥で、そこ".encode("utf-16-le"), "text/plain", "unreadable"),
    "a text of characters of private use": (
        ("\ue001\ue002 a" * 50).encode, "text/plain", "unreadable"),
    "CoNLL-U with three columns": (lambda: b"1\ta\tb\n\n", "text/x-conllu", "damaged"),
    "CoNLL-U with huge numbers": (
        lambda: b"9" * 5000 + b"\ta" * 9 + b"\n\n", "text/x-conllu", "damaged"),
}  # fmt: skip
"""By name: what makes the document, the type that is declared, and the reason."""


CASES = [
    (name, html)
    for name, (_, media_type, _) in HOSTILE.items()
    for html in (HTML_EXTRACTORS if media_type == HTML else ["trafilatura"])
]
"""Hostile documents by name, pages with the name of every extractor for pages."""


@pytest.mark.parametrize(("name", "html"), CASES)
def test_a_hostile_document_ends_in_a_reason(name: str, html: str) -> None:
    make, media_type, reason = HOSTILE[name]
    assert reason in REASONS
    with pytest.raises(NotKept) as refused:
        extract(make(), media_type=media_type, html=html)
    assert refused.value.reason == reason, refused.value.detail
    assert len(refused.value.detail) <= 200


WHOLE = {
    "pdf": pdf("One\nTwo", "Three", title="T"),
    "docx": docx(["One", "Two"], table=[["a", "b"]]),
    "epub": epub("<h1>I</h1><p>One</p>", "<p>Two</p>", metadata="<dc:title>T</dc:title>"),
    "tei": tei("<head>I</head><p>One <choice><sic>x</sic><corr>y</corr></choice></p>"),
    "html": page("<main><h1>I</h1><p>One</p><ul><li>Two</ul></main>", "<title>T</title>").encode(),
    "gzip": gzip.compress(b"One, two, three" * 20),
}


@pytest.mark.parametrize(
    ("name", "html"), [*((name, "trafilatura") for name in WHOLE), ("html", "resiliparse")]
)
def test_damaged_documents_are_kept_or_refused(name: str, html: str) -> None:
    """Whatever bytes are changed, removed or missing at the end, nothing else is raised."""
    dice = random.Random(name)
    for _ in range(25):
        made = bytearray(WHOLE[name])
        for _ in range(dice.randint(1, 6)):
            made[dice.randrange(len(made))] = dice.randrange(256)
        start = dice.randrange(len(made))
        del made[start : start + dice.choice([0, 0, 1, 50, len(made)])]
        with suppress(NotKept):
            assert extract(bytes(made), name=f"a.{name}", html=html).text
