"""What a file is by its first bytes: which files are refused, and which look odd but are read."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import pickle
import re
import sqlite3
import struct
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed import PACK

from paninifs import open_corpus
from paninifs.storage.corpus.reading import read_stretches
from paninifs.storage.errors import ColumnNotFound, CorpusEmpty
from paninifs.storage.formats.recognition.documents import HEAD_BYTES
from paninifs.storage.formats.recognition.encodings import wide

GOOD = {
    ".txt": b"good\n",
    ".jsonl": b'{"text": "good"}\n',
    ".csv": b"id,text\n1,good\n",
    ".tsv": b"id\ttext\n1\tgood\n",
}
LINES = "".join(f"नमस्ते {n} – première ligne\r\n" for n in range(40))


def zipped(**files):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(name.replace("__", "/"), data, kind)
    return sink.getvalue()


def office(*names):
    return zipped(**{"[Content_Types].xml": "<Types/>", **dict.fromkeys(names, "<x/>")})


def tarred():
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"un\n"))
    return sink.getvalue()


def database(folder):
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("create table a (text)")
    connection.close()
    data = (folder / "a.db").read_bytes()
    (folder / "a.db").unlink()
    return data


def arrow():
    sink = io.BytesIO()
    table = pa.table({"text": ["un"]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet():
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["un"]}), sink)
    return sink.getvalue()


def array():
    sink = io.BytesIO()
    np.save(sink, np.arange(3))
    return sink.getvalue()


PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
BINARY = {
    "gzip data": gzip.compress(b"un\n", mtime=0),
    "bz2 data": bz2.compress(b"un\n" * 9),
    "xz data": lzma.compress(b"un\n"),
    "zstd data": PACK[".zst"](b"un\n"),
    "a ZIP archive": zipped(a="un"),
    "an Excel workbook": office("xl__workbook.xml"),
    "a Word document": office("word__document.xml"),
    "an OpenDocument file": zipped(mimetype="application/vnd.oasis.opendocument.text"),
    "a tar archive": tarred(),
    "a PDF": PDF,
    "an Arrow (Feather) file": arrow(),
    "a Parquet file": parquet(),
    "a NumPy array": array(),
    "a Python pickle": pickle.dumps({"text": ["un"]}),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "a GIF image": b"GIF89a\x01\0\x01\0\0\0\0;",
    "an ELF program": b"\x7fELF\x02\x01\x01" + bytes(9),
    "a Windows program": b"MZ\x90\0\x03\0\0\0",
    "an Office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40),
    "a Git LFS pointer": LFS,
    "a git-annex pointer": b"/annex/objects/SHA256E-s12--4d7a.txt\n",
}
UTF = {
    "UTF-16 little-endian": codecs.BOM_UTF16_LE + LINES.encode("utf-16-le"),
    "UTF-16 big-endian": codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"),
    "UTF-32 little-endian": codecs.BOM_UTF32_LE + LINES.encode("utf-32-le"),
    "UTF-32 big-endian": codecs.BOM_UTF32_BE + LINES.encode("utf-32-be"),
    **{
        f"{encoding} without a mark": LINES.encode(encoding)
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    },
    "UTF-16 ASCII": "un\r\ndeux\r\n".encode("utf-16-le"),
    "UTF-16 Russian": "один два\n".encode("utf-16-le"),
    "UTF-16 Chinese": "一二三 四\n五六\n".encode("utf-16-be"),
    "UTF-16 and no more": codecs.BOM_UTF16_LE,
}


def read(path, **options):
    """Return the texts of a corpus and, by row, why some have none."""
    corpus = open_corpus(path, **options)
    index = corpus.index
    texts, reasons = [], {}
    stretches = index.stretches(0, index.rows)
    for _, _, rows in read_stretches(stretches, corpus.opener, index.selection):
        reasons |= {len(texts) + fault.row - rows.start: fault.reason for fault in rows.faults}
        texts += rows.text.to_pylist()
    return texts, reasons


def problem(folder, name, data, **options):
    """Return the problem of a file beside a good one, whose text must be read."""
    (folder / name).write_bytes(data)
    ending = name[name.index(".") :]
    good = GOOD.get(ending, GOOD[".txt"])
    (folder / f"z{ending if ending in GOOD else '.txt'}").write_bytes(good)
    index = open_corpus(folder, **options).index
    assert read(folder, **options)[0] == ["good"]
    assert index.files[0].units == ()
    return index.files[0].problem


# --- files that are something else ----------------------------------------------------------------


@pytest.mark.documented("impostor")
@pytest.mark.parametrize("ending", GOOD)
@pytest.mark.parametrize("what", BINARY)
def test_a_binary_file_is_named(tmp_path, what, ending):
    found = problem(tmp_path, f"a{ending}", BINARY[what])
    assert f"it is {what}" in found


@pytest.mark.parametrize("ending", GOOD)
def test_a_database_is_named(tmp_path, ending):
    assert "it is an SQLite database" in problem(tmp_path, f"a{ending}", database(tmp_path))


@pytest.mark.documented("utf-16")
@pytest.mark.parametrize("ending", GOOD)
@pytest.mark.parametrize("what", UTF)
def test_utf_16_and_32_are_named(tmp_path, what, ending):
    found = problem(tmp_path, f"a{ending}", UTF[what])
    assert f"it is {what.upper()[:6]}" in found
    assert "--encoding utf-" in found
    encoding = found.partition("--encoding ")[2].partition(",")[0]
    assert UTF[what].decode(encoding).startswith(LINES[:2] if "mark" in what else "")


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_decompressed_bytes_are_looked_at(tmp_path, ending):
    data = PACK[ending](UTF["UTF-16 little-endian"])
    assert "it is UTF-16" in problem(tmp_path, f"a.txt{ending}", data)


def test_a_small_first_member_hides_nothing(tmp_path):
    data = UTF["utf-16-le without a mark"]
    packed = b"".join(gzip.compress(piece) for piece in (b"", data[:1], data[1:]))
    assert "it is UTF-16" in problem(tmp_path, "a.txt.gz", packed)


@pytest.mark.parametrize("what", BINARY)
def test_a_document_that_is_binary_is_quarantined(tmp_path, what):
    (tmp_path / "a.txt").write_bytes(BINARY[what])
    texts, reasons = read(tmp_path, format="document")
    assert texts == [None]
    assert f"it is {what}" in reasons[0]


@pytest.mark.parametrize("what", UTF)
def test_a_document_in_utf_16_is_quarantined(tmp_path, what):
    (tmp_path / "a.txt").write_bytes(UTF[what])
    texts, reasons = read(tmp_path, format="document")
    assert texts == [None]
    assert f"it is {what.upper()[:6]}" in reasons[0]


JSON = [{"text": "un"}, {"text": "deux"}]
NOT_LINES = {
    "array": (json.dumps(JSON), "a JSON array"),
    "array of one": (json.dumps(JSON[:1]), "a JSON array"),
    "array of strings": (json.dumps(["un", "deux"]), "a JSON array"),
    "empty array": ("[]", "a JSON array"),
    "pretty array": (json.dumps(JSON, indent=1), "a JSON array"),
    "array by line": ('[\n{"text": "un"},\n{"text": "deux"}\n]\n', "a JSON array"),
    "array, opened in its first line": ('[{"text": "un"},\n{"text": "deux"}]\n', "a JSON array"),
    "long array": (json.dumps(JSON * 5000), "a JSON array"),
    "pretty object": (json.dumps(JSON[0], indent=1), "JSON over several lines"),
    "pretty objects": (json.dumps(JSON[0], indent=1) * 2, "JSON over several lines"),
    "nested": (json.dumps({"rows": JSON}, indent=1), "JSON over several lines"),
    "page": ("<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "an HTML page"),
    "page without a type": ("\n <HTML lang=en>\n<head>\n", "an HTML page"),
    "xml": ('<?xml version="1.0"?>\n<a/>\n', "XML"),
    "returns": ('{"text":"a"}\r{"text":"b"}\r', "its lines end in CR alone"),
    "sequence": ('\x1e{"text":"a"}\n\x1e{"text":"b"}\n', "a JSON text sequence"),
}


@pytest.mark.documented("not-lines")
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "marked"])
@pytest.mark.parametrize("what", NOT_LINES)
def test_what_is_not_json_lines_is_named(tmp_path, what, mark):
    data, words = NOT_LINES[what]
    assert words in problem(tmp_path, "a.jsonl", (mark + data).encode())


NOT_TABLES = {
    "json lines": ('{"text": "un"}\n{"text": "deux"}\n', "it is JSON Lines"),
    "array": (json.dumps(JSON), "it is a JSON array"),
    "pretty object": (json.dumps(JSON[0], indent=1), "it is JSON, and no table"),
    "page": ("<!doctype html>\n<title>a, b</title>\n", "it is an HTML page"),
    "returns": ("id,text\r1,un\r2,deux\r", "its lines end in CR alone"),
    "quoted returns": ('"id","text"\r"1","un"\r', "its lines end in CR alone"),
}


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("what", NOT_TABLES)
def test_what_is_not_a_table_is_named(tmp_path, what, ending):
    data, words = NOT_TABLES[what]
    assert words in problem(tmp_path, f"a{ending}", data.encode())


def test_lines_of_plain_text_must_not_end_in_cr_alone(tmp_path):
    assert "its lines end in CR alone" in problem(tmp_path, "a.txt", b"un\rdeux\r")


def test_a_corpus_of_one_such_file_is_refused_with_the_reason(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(JSON))
    with pytest.raises(CorpusEmpty, match=r"a\.jsonl: not readable as jsonl: it is a JSON array; "):
        open_corpus(tmp_path / "a.jsonl").index  # noqa: B018


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.parquet", LFS, "no footer: .*; it is a Git LFS pointer"),
        ("a.parquet", gzip.compress(b"un", mtime=0), "no footer: .*; it is gzip data"),
        ("a.parquet", b"<!DOCTYPE html><title>404</title>", "no footer: .*; it is an HTML page"),
        ("a.parquet", parquet()[:-9], "no footer: [^;]*$"),
        ("a.jsonl.gz", PACK[".zst"](b"un\n"), "damaged gzip: .*; it is zstd data"),
        ("a.jsonl.gz", GOOD[".jsonl"], "damaged gzip: .*; it is not compressed: take "),
        ("a.jsonl.gz", LFS, "damaged gzip: .*; it is a Git LFS pointer"),
        ("a.jsonl.gz", gzip.compress(bytes(9), mtime=0)[:-9], "damaged gzip: [^;]*$"),
    ],
    ids=range(8),
)
def test_what_cannot_be_decoded_is_named(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "z.txt").write_bytes(b"good\n")
    assert re.search(words, open_corpus(tmp_path).index.files[0].problem)


def test_a_zstd_window_that_is_too_large_has_a_remedy(tmp_path):
    # A frame's header alone: a window of 256 MiB, then the last block, which is empty.
    frame = struct.pack("<I", 0xFD2FB528) + bytes([0, (28 - 10) << 3]) + b"\x01\0\0"
    (tmp_path / "a.jsonl.zst").write_bytes(frame)
    with pytest.raises(CorpusEmpty, match=r"window of more than 128 MiB; .* without --long"):
        open_corpus(tmp_path).index  # noqa: B018


def test_many_such_files_are_told_in_few_notes(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_bytes(UTF["UTF-16 ASCII"])
    (tmp_path / "z.txt").write_bytes(GOOD[".txt"])
    notes = open_corpus(tmp_path).index.notes
    assert len(notes) == 11
    assert notes[-1] == "and 20 more notes like these; see the quarantine"


# --- files that look odd, and are read ------------------------------------------------------------

ODD_TEXTS = [
    "%PDF is a format",
    "%PDF-1.4 is a version of it",
    "GIF89a, ORC, MZ, PAR1, Obj",
    "PK is a pair of letters",
    "<html>",
    "<!DOCTYPE html>",
    "{",
    "[",
    '[{"text": "un"}]',
    '{"text": "un"}',
    "version https://git-lfs.github.com/spec/v1",
    "/annex/objects/ is a path",
    "ustar",
    "a\0b",
    "one\0two",
    "\0\0\0",
    "a\0b\0c",
    "a\x01b\x02",
    "\u4e00\0",
    "\ufeff\ufeff",
    "",
]


@pytest.mark.parametrize("first", ODD_TEXTS, ids=ascii)
def test_a_line_of_plain_text_may_be_anything(tmp_path, first):
    (tmp_path / "a.txt").write_bytes(f"{first}\nsecond\n".encode())
    texts, reasons = read(tmp_path / "a.txt")
    assert texts == [first.removeprefix("\ufeff"), "second"]
    assert reasons == {}


@pytest.mark.parametrize("first", ODD_TEXTS, ids=ascii)
def test_a_document_may_be_anything_that_is_text(tmp_path, first):
    (tmp_path / "a.html").write_bytes(f"{first}\nsecond\n".encode())
    texts, reasons = read(tmp_path, format="document")
    assert texts == [f"{first}\nsecond\n".removeprefix("\ufeff")]
    assert reasons == {}


@pytest.mark.parametrize("first", [text for text in ODD_TEXTS if text], ids=ascii)
def test_a_value_may_be_anything(tmp_path, first):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": first}) + "\n")
    quoted = first.replace('"', '""')
    (tmp_path / "b.csv").write_bytes(f'text,id\n"{quoted}",1\n'.encode())
    assert read(tmp_path) == ([first, first], {})


def test_latin_1_is_read_line_by_line(tmp_path):
    (tmp_path / "a.txt").write_bytes("MZ naïve\nplain\nÿþ\n".encode("latin-1"))
    texts, reasons = read(tmp_path)
    assert texts == [None, "plain", None]
    assert all(reason.startswith("invalid UTF-8") for reason in reasons.values())


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1251", "shift_jis", "gb18030"])
@pytest.mark.parametrize("at", range(6))
def test_a_nul_makes_no_utf_16(tmp_path, encoding, at):
    line = {"cp1251": "один два три", "shift_jis": "日本語の文", "gb18030": "中文句子"}
    data = f"id,text\n1,{line.get(encoding, 'déjà vu')}\n2,deux\n".encode(encoding)
    (tmp_path / "a.txt").write_bytes(data[: at + 9] + b"\0" + data[at + 9 :])
    assert len(read(tmp_path / "a.txt")[0]) == 3


@pytest.mark.parametrize(
    "data",
    [
        b'\n\n{"text": "un"}\n',
        b'\xef\xbb\xbf{"text": "un"}\n',
        b'  \t{"text": "un"}\n',
        b'{"text"\r:\r"un"}',
        b'{"text":\t"un"}\r\n',
    ],
)
def test_json_lines_may_begin_with_white_space(tmp_path, data):
    (tmp_path / "a.jsonl").write_bytes(data)
    assert read(tmp_path)[0][-1] == "un"


@pytest.mark.parametrize(
    "first", ["[1]", "[", "{", '{"text": "cut', "[2026-11-29] begun", "<html>", "{}", "null", "\r"]
)
def test_a_bad_first_line_costs_no_other(tmp_path, first):
    (tmp_path / "a.jsonl").write_text(first + "\n" + '{"text": "un"}\n{"text": "deux"}\n')
    texts, reasons = read(tmp_path)
    assert texts[-2:] == ["un", "deux"]
    assert set(reasons) == set(range(len(texts) - 2))


@pytest.mark.parametrize("header", ["[,text", '"[",text', "{,text", "<html>,text", "<a>,text"])
def test_a_header_may_name_brackets(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\n0,un\n")
    assert read(tmp_path) == (["un"], {})


def test_lines_that_are_arrays_are_rows_and_bad_ones(tmp_path):
    (tmp_path / "a.jsonl").write_text("[1]\n[2]\n")
    with pytest.raises(ColumnNotFound, match=r"none; a\.jsonl, row 0: a JSON array where"):
        open_corpus(tmp_path).index  # noqa: B018
    (tmp_path / "b.jsonl").write_bytes(GOOD[".jsonl"])
    assert read(tmp_path)[0] == [None, None, "good"]


@pytest.mark.parametrize("data", [b"a\rb\n", b"a\rb", b"a\r", b"\r", b"a\r\nb\r\n"])
def test_a_line_may_hold_carriage_returns(tmp_path, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert read(tmp_path)[1] == {}


def test_only_the_first_bytes_are_looked_at(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\n" * HEAD_BYTES + UTF["UTF-16 ASCII"])
    assert open_corpus(tmp_path).index.rows == HEAD_BYTES + 3


@pytest.mark.parametrize("ahead", range(4))
def test_the_last_character_may_be_cut(ahead):
    text = "a" * ahead + "é🐉 " * HEAD_BYTES
    assert wide(f"a {text}".encode("utf-16-le")[:HEAD_BYTES]).startswith("it is UTF-16")
    assert wide(f"a\0{text}".encode()[:HEAD_BYTES]) is None
