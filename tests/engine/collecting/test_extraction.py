"""Texts of documents of every type, and what is recognised, decoded and tidied on the way."""

from __future__ import annotations

import gzip
import io

import docx as python_docx
import pytest
import trafilatura  # noqa: F401 (urllib3, which it imports, binds a socket then; no unit test may)
from made_documents import docx, epub, page, pdf, replaced_in_zip, tei

from paninifs.engine.collecting.extraction.document_types import DOCUMENT_TYPES, DOCX, EPUB, PDF
from paninifs.engine.collecting.extraction.extract import extract
from paninifs.engine.collecting.outcome import NotKept

DUCKS = "Ducks are birds that live on water, and eat what they find there."
FRENCH = (
    "Où sont passés les garçons ? À l'école, bien sûr : c'est l'été, et déjà il fait très chaud."
)
RUSSIAN = "Утки живут на воде и едят то, что там находят. Зимой они улетают на юг."
JAPANESE = "かもは水の上にすむ鳥で、そこで見つけたものを食べます。冬には南へ飛んでいきます。"


def test_html() -> None:
    """The main text without scripts, and what the page says of itself."""
    head = "<title> Of  ducks </title><script>alert('no')</script>"
    licence = '<a rel="nofollow license" href="https://example.org/by">terms</a>'
    body = f"<article><h1>Ducks</h1><p>{DUCKS}</p><p>{DUCKS[::-1]}</p></article>{licence}"
    found = extract(page(body, head, "en-GB").encode(), media_type="text/html")
    assert DUCKS in found.text
    assert "alert" not in found.text
    assert (found.title, found.lang, found.licence, found.media_type) == (
        "Of ducks",
        "en-GB",
        "https://example.org/by",
        "text/html",
    )


def test_xhtml_with_a_declaration() -> None:
    text = '<?xml version="1.0" encoding="iso-8859-1"?>' + page(f"<p>{FRENCH}</p>")
    found = extract(text.encode("iso-8859-1"), media_type="application/xhtml+xml")
    assert found.text == FRENCH


def test_pdf() -> None:
    """Its pages in order, its title and its language."""
    made = pdf("One\nand a half", "", "Two", title="Numbers", catalog="/Lang(fr-CA)")
    found = extract(made)
    assert found.text.split() == ["One", "and", "a", "half", "Two"]
    assert "half\n" in found.text
    assert (found.title, found.lang, found.media_type) == ("Numbers", "fr-CA", PDF)
    assert found.extra == {"pages": "3"}


def test_docx() -> None:
    """Paragraphs and tables; a cell may hold several paragraphs."""
    made = docx(["One\ttwo", DUCKS], table=[["a", "b"], ["c\nd", "e"]])
    found = extract(made)
    assert found.text == f"One\ttwo\n{DUCKS}\na\tb\nc\nd\te"
    assert (found.title, found.media_type) == ("A made document", DOCX)


def test_docx_has_what_python_docx_reads() -> None:
    """The words of python-docx, which reads the same file in another way, in the same order."""
    made = docx([DUCKS, FRENCH, "", "a\tb"], table=[["x", "y z"], ["", "w"]])
    words: list[str] = []
    for block in python_docx.Document(io.BytesIO(made)).iter_inner_content():
        if isinstance(block, python_docx.table.Table):
            words += " ".join(cell.text for row in block.rows for cell in row.cells).split()
        else:
            words += block.text.split()
    assert extract(made).text.split() == words


def test_docx_has_what_python_docx_misses() -> None:
    """Content controls, and text that was inserted while changes were tracked; none deleted."""
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r>"
        "</w:del></w:p>"
    )
    document = f'<w:document xmlns:w="{namespace}"><w:body>{body}</w:body></w:document>'
    made = replaced_in_zip(docx(["One"]), {"word/document.xml": document})
    blocks = python_docx.Document(io.BytesIO(made)).iter_inner_content()
    assert "".join(block.text for block in blocks) == ""
    assert extract(made).text == "control\nnew"


def test_docx_cells_with_paragraphs() -> None:
    document = python_docx.Document(io.BytesIO(docx([], table=[["a", "b"]])))
    document.tables[0].cell(0, 0).add_paragraph("c")
    held = io.BytesIO()
    document.save(held)
    assert extract(held.getvalue()).text == "a c\tb"


def test_epub() -> None:
    """Chapters in the order of the spine, and the metadata of the package."""
    metadata = (
        "<dc:title>On ducks</dc:title><dc:language>en</dc:language><dc:rights>CC0-1.0</dc:rights>"
        "<dc:creator>A. Nas</dc:creator><dc:creator>B. Nas</dc:creator>"
    )
    made = epub("<h1>I</h1><p>One<br/>two&#160;three</p>", "<p>Of <i>du</i>cks.</p>" * 2,
                metadata=metadata)  # fmt: skip
    found = extract(made, media_type="application/octet-stream")
    assert found.text == "I\n\nOne\ntwo three\n\nOf ducks.\n\nOf ducks."
    assert (found.title, found.lang, found.licence) == ("On ducks", "en", "CC0-1.0")
    assert found.extra == {"authors": "A. Nas; B. Nas"}
    assert found.media_type == EPUB


def test_epub_that_is_not_quite_xml() -> None:
    """Chapters are then read as HTML."""
    assert extract(epub("<p>One &nbsp; two<p>three")).text.split() == ["One", "two", "three"]


def test_epub_whose_fonts_alone_are_encrypted() -> None:
    references = '<encryption><CipherReference URI="OEBPS/fonts/a.otf"/></encryption>'
    made = epub("<p>One</p>", others={"META-INF/encryption.xml": references})
    assert extract(made).text == "One"


def test_tei() -> None:
    """The text without the header; of a choice, the regular form."""
    header = (
        "<fileDesc><titleStmt><title>Le <hi>Canard</hi></title><author>A. Nas</author></titleStmt>"
        '<publicationStmt><availability><licence target="https://example.org/by"/></availability>'
        "</publicationStmt></fileDesc>"
    )
    body = (
        "<head>I</head><p>Un <choice><orig>canart</orig><reg>canard</reg></choice>, &eacute;gar"
        "&#233;<lb/>et las.</p><lg><l>vers</l><l>deux</l></lg><p>c'est <sic>sik</sic></p>"
    )
    doctype = '<!DOCTYPE TEI SYSTEM "tei.dtd" [<!ENTITY other "autre &#38;amp; même">]>'
    made = tei(body + "<p>&other;!</p>", header, doctype, ' xml:lang="fr"')
    found = extract(made, media_type="application/xml")
    assert found.text == (
        "I\n\nUn canard, égaré\net las.\n\nvers\ndeux\n\nc'est sik\n\nautre & même!"
    )
    assert (found.title, found.lang, found.licence) == ("Le Canard", "fr", "https://example.org/by")
    assert found.extra == {"authors": "A. Nas"}


def test_markdown() -> None:
    """Text without marks, code and all; the title is given or the first heading."""
    text = (
        "# Of *ducks*\n\nThey `quack`  \n[loudly](x).\n\n- one\n- two\n\n```\ncode\n```\n<b>x</b>\n"
    )
    found = extract(text.encode(), media_type="text/plain", name="https://example.org/a.md")
    assert found.text == "Of ducks\n\nThey quack\nloudly.\n\none\ntwo\n\ncode\n\nx"
    assert (found.title, found.media_type) == ("Of ducks", "text/markdown")
    given = extract(f"---\ntitle: 'T'\nlang: en\n---\n{text}".encode(), media_type="text/markdown")
    assert (given.title, given.lang, given.text) == ("T", "en", found.text)


def test_conllu() -> None:
    """Sentences as their comments give them, or put together from words."""
    text = (
        "# newdoc id = d\n# sent_id = 1\n# text = Du lait.\n"
        "1-2\tDu\t_\t_\t_\t_\t_\t_\t_\t_\n1\tDe\t_\t_\t_\t_\t_\t_\t_\t_\n2\tle\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "3\tlait\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n4\t.\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
    )
    words_only = text.replace("# text = Du lait.\n", "").replace("newdoc id = d", "newpar")
    empty_node = "3.1\tbu\t_\t_\t_\t_\t_\t_\t_\t_\n4\t."
    found = extract((text + words_only.replace("4\t.", empty_node)).encode(), name="a.conllu")
    assert found.text == "Du lait.\n\nDu lait."


def test_wikitext() -> None:
    """By the function that the source of dumps has."""
    found = extract(b"== Canards ==\nIls [[eau|nagent]].", name="a.wiki")
    assert found.text == "Canards\nIls nagent."
    assert found.media_type == "text/x-wiki"


def test_plain_text_that_is_compressed() -> None:
    made = gzip.compress(DUCKS.encode()) + gzip.compress(b" Quack.")
    assert extract(made, media_type="application/gzip", name="a.txt.gz").text == DUCKS + " Quack."
    assert extract(made, name="https://example.org/a.md.gz").media_type == "text/markdown"


@pytest.mark.parametrize(
    ("media_type", "name", "is_now"),
    [
        ("text/html", "", PDF),
        ("", "a.txt", PDF),
        ("application/octet-stream", "a.html", PDF),
    ],
)
def test_a_signature_is_believed_before_what_is_declared(
    media_type: str, name: str, is_now: str
) -> None:
    assert extract(pdf("One"), media_type=media_type, name=name).media_type == is_now


@pytest.mark.parametrize(
    ("text", "media_type", "name", "is_now"),
    [
        (page("<p>One</p>"), "", "", "text/html"),
        (page("<p>One</p>"), "text/plain", "https://example.org/?a=b.html", "text/plain"),
        (page("<p>One</p>"), "application/xml", "", "text/html"),
        (page("<p>One</p>"), "Text/HTML; charset=utf-8", "a.pdf", "text/html"),
        ("One", "", "", "text/plain"),
        ("One", "text/plain", "a.md", "text/markdown"),
        ("One", "text/x-markdown", "a.html", "text/markdown"),
        ("%PDF is a format", "", "", "text/plain"),
        (tei("<p>One</p>").decode(), "", "a.xml", "application/tei+xml"),
        ("<?xml version='1.0'?><!-- <html> --><TEI><text>One</text></TEI>", "text/xml", "",
         "application/tei+xml"),
    ],
)  # fmt: skip
def test_recognition(text: str, media_type: str, name: str, is_now: str) -> None:
    assert extract(text.encode(), media_type=media_type, name=name).media_type == is_now


def test_a_media_type_and_an_ending_each_mean_one_type() -> None:
    names = [name for kind in DOCUMENT_TYPES for name in (kind.media_type, *kind.also)]
    endings = [ending for kind in DOCUMENT_TYPES for ending in kind.endings]
    assert len({*names, *endings}) == len(names) + len(endings)


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        (FRENCH, "utf-8", ""),
        (FRENCH, "utf-8", "iso-8859-1"),
        (FRENCH, "cp1252", "iso-8859-1"),
        ("L’œuf coûte 2 € de plus.", "cp1252", "iso-8859-1"),
        (FRENCH, "cp1252", ""),
        (FRENCH, "cp1252", "utf-8"),
        (FRENCH, "cp1252", "no-such-charset"),
        (FRENCH, "cp1252", "zlib"),
        (FRENCH, "utf-16", ""),
        (FRENCH, "utf-16-le", ""),
        (FRENCH, "utf-16-be", ""),
        (FRENCH, "utf-16-le", "utf-16le"),
        (FRENCH, "utf-32", ""),
        (FRENCH, "utf-8-sig", "cp1252"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "koi8-r", ""),
        (RUSSIAN, "cp1251", ""),
        (RUSSIAN, "utf-16-le", ""),
        (JAPANESE, "shift_jis", "shift_jis"),
        (JAPANESE, "shift_jis", ""),
        (JAPANESE, "euc_jp", ""),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (JAPANESE, "iso2022_jp", ""),
        (JAPANESE + "\nABC", "utf-16-le", "utf-16"),
        ("鸭子住在水上。", "hz", "hz-gb-2312"),
    ],
)
def test_encodings(text: str, encoding: str, charset: str) -> None:
    """The right text, whatever is declared, or nothing is."""
    assert extract(text.encode(encoding), media_type="text/plain", charset=charset).text == text


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-16-le"])
def test_encodings_of_pages(encoding: str) -> None:
    head = f"<meta charset='{encoding}'>" if encoding == "cp1252" else ""
    made = page(f"<p>{FRENCH}</p>", head).encode(encoding)
    assert extract(made, media_type="text/html").text == FRENCH


def test_one_broken_byte_is_counted() -> None:
    """A text in UTF-8 with one byte that is not becomes neither mojibake nor nothing."""
    broken = (FRENCH * 20).encode() + b" \xff"
    found = extract(broken, media_type="text/plain", charset="utf-8")
    assert found.text == FRENCH * 20 + " \ufffd"
    assert found.extra == {"replaced_bytes": "1"}


def test_a_byte_in_a_large_text_is_found_quickly() -> None:
    """What surrounds it is all that its encoding is detected from."""
    content = b"a" * 1_500_000 + "déjà vu à l'école d'été".encode("cp1252") + b"a" * 1_500_000
    assert "aadéjà vu à l'école d'étéaa" in extract(content, media_type="text/plain").text


def test_a_text_is_tidied() -> None:
    text = "\ufeffun\x00\x07  \r\ndeux\rtrois\x0c\n\n\n\n\nquatre\ue000\n\n"
    assert extract(text.encode(), media_type="text/plain").text == (
        "un\ndeux\ntrois\n\n\nquatre\ue000"
    )


def test_empty_documents_have_no_text() -> None:
    for made in (b"", b" \r\n", b"\xef\xbb\xbf", b"-- ... --", page("").encode(), pdf("", "")):
        with pytest.raises(NotKept, match="it holds no text"):
            extract(made)
