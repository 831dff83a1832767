"""How text files are written: delimiter, quote, escape and encoding, in every format."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paninifs import open_corpus
from paninifs.storage.corpus import survey as surveying
from paninifs.storage.corpus.index import CorpusIndex, extend_index
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.corpus.survey import survey
from paninifs.storage.errors import BackendUnavailable, ResultsMismatch, UsageError
from paninifs.storage.formats.recognition import transcoding
from paninifs.storage.formats.recognition.transcoding import utf8_stream
from paninifs.storage.rows.dialect import DEFAULT_DIALECT, Dialect
from paninifs.storage.store.manifest import Manifest, facts_of, require_same
from paninifs.storage.targets.local import LocalTarget

TEXTS = ['déjà vu ; à "l\'été"', "", "Œuvre\tà 5 €", "naïve"]


@pytest.fixture
def write(tmp_path):
    def write_and_open(data, name="a.csv", **options):
        (tmp_path / name).write_bytes(data)
        return open_corpus(tmp_path / name, **options)

    return write_and_open


def read(corpus, index=None):
    """Return texts and reasons, read row by row."""
    index = index or corpus.index
    texts, reasons = [], {}
    for row in range(index.rows):
        (stretch,) = index.stretches(row, row + 1)
        for batch in read_stretch(stretch, corpus.opener, index.selection):
            texts += batch.text.to_pylist()
            for fault in batch.faults:
                reasons[fault.row] = fault.reason
    return texts, reasons


# --- delimiter, quote, escape ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ";"},
        {"delimiter": "|", "quote": "'"},
        {"delimiter": "\x01"},
        {"delimiter": "¦", "quote": "»"},
        {"delimiter": " ", "escape": "\\"},
    ],
    ids=str,
)
def test_values_are_those_that_were_written(write, name, options):
    file = io.StringIO()
    writer = csv.writer(
        file,
        delimiter=options["delimiter"],
        quotechar=options.get("quote", '"'),
        escapechar=options.get("escape"),
        doublequote="escape" not in options,
    )
    writer.writerows([("id", "text"), *enumerate(TEXTS)])
    data = file.getvalue().encode()
    corpus = write(gzip.compress(data) if name.endswith(".gz") else data, name, **options)
    assert read(corpus) == (TEXTS, {})


def test_escapes_without_quotes(write):
    corpus = write(b'id,text\n1,"un\\, deux"\n2,trois\\\nquatre\n', quote=None, escape="\\")
    assert read(corpus) == (['"un, deux"', "trois\nquatre"], {})


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_an_escaped_line_break_in_the_last_record(write, end):
    corpus = write(b"text\nun\\\ndeux" + end, escape="\\")
    assert read(corpus) == (["un\ndeux"], {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delimiter": "||"}, "delimiter must be a single character, not '||'"),
        ({"delimiter": "\n"}, "delimiter must be a single character"),
        ({"quote": "''"}, "quote must be a single character"),
        ({"delimiter": ";", "quote": ";"}, "quote cannot be ';': that is the delimiter"),
        ({"quote": ","}, "quote cannot be ',': that is the delimiter of CSV"),
        ({"delimiter": ";", "escape": ";"}, "escape cannot be ';'"),
        ({"encoding": "klingon"}, "encoding 'klingon' is unknown"),
        ({"encoding": "base64"}, "encoding 'base64' is unknown"),
        ({"encoding": "idna"}, "encoding 'idna' is unknown"),
        ({"encoding": 5}, "encoding 5 is unknown"),
    ],
    ids=str,
)
def test_an_impossible_dialect_is_refused_by_name(write, options, words):
    with pytest.raises(UsageError, match=words.replace("|", r"\|")):
        write(b"text\n", **options)


def test_an_option_that_concerns_no_file_is_refused(write, tmp_path):
    with pytest.raises(UsageError, match=r"delimiter=';' is for csv, tsv; .* are jsonl"):
        write(b'{"text": "a"}\n', "a.jsonl", delimiter=";")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"encoding='cp1252' is for jsonl, .* are parquet"):
        open_corpus(tmp_path / "a.parquet", encoding="cp1252")


def test_other_files_of_a_corpus_are_not_concerned(tmp_path):
    pq.write_table(pa.table({"text": ["é"]}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_bytes("text;n\né;1\n".encode("cp1252"))
    (tmp_path / "c.txt").write_bytes("é;1\n".encode("cp1252"))
    corpus = open_corpus(tmp_path, delimiter=";", encoding="cp1252")
    assert read(corpus) == (["é", "é", "é;1"], {})


# --- what a store knows of it ---------------------------------------------------------------------


def test_a_default_dialect_leaves_no_trace(write):
    corpus = write(b"text\na\n", delimiter=None, quote='"', escape='"', encoding="UTF8")
    assert corpus.dialect == DEFAULT_DIALECT
    assert "dialect" not in facts_of(corpus, {}, 1)["corpus"]
    assert "dialect" not in corpus.index.to_json()["files"][0]["file"]


def test_another_dialect_is_another_store(write, tmp_path):
    plain = facts_of(write(b"text\na\n"), {}, 1)
    other = facts_of(write(b"text\na\n", quote=None, encoding="latin-1"), {}, 1)
    assert other["corpus"]["dialect"] == {"quote": None, "encoding": "iso8859-1"}
    manifest = Manifest(facts=plain, fields=(), shard_rows=4096, rows=1, created="", versions={})
    with pytest.raises(ResultsMismatch, match=r"corpus → dialect was absent and is .*iso8859-1"):
        require_same(LocalTarget(tmp_path), manifest, other)


def test_an_index_keeps_dialects(write):
    corpus = write("text;n\né;1\n".encode("cp1252"), delimiter=";", encoding="cp1252")
    found = CorpusIndex.from_json(json.loads(json.dumps(corpus.index.to_json())))
    assert found == corpus.index
    assert read(corpus, found) == (["é"], {})
    plain = replace(corpus.index.files[0], file=replace(corpus.files[0], dialect=DEFAULT_DIALECT))
    assert replace(corpus.index, files=(plain,)).digest != corpus.index.digest


# --- encodings ------------------------------------------------------------------------------------

WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"]
ENCODINGS = [*WIDE, "cp1252", "latin-1", "gb18030", "shift_jis", "utf-7", "mac-roman"]
SAMPLES = {
    "latin-1": ["déjà", "naïve; l'été"],
    "shift_jis": ["日本語。", "表ソ能"],  # their second bytes are those of \ and |
    "mac-roman": ["déjà", "€"],
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "document"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_format_reads_every_encoding(tmp_path, encoding, name, packed):
    texts = SAMPLES.get(encoding, ["déjà", "日本語" if encoding != "cp1252" else "€"]) * 50
    written = {
        "a.jsonl": "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts),
        "a.csv": "id,text\r\n" + "".join(f'{n},"{t}"\r\n' for n, t in enumerate(texts)),
        "a.txt": "\n".join(texts),
        "document": "\n".join(texts),
    }[name]
    format = "document" if name == "document" else None
    file = tmp_path / (("a.txt" if format else name) + (".bz2" if packed else ""))
    data = written.encode(encoding)
    file.write_bytes(bz2.compress(data) if packed else data)
    corpus = open_corpus(file, format=format, encoding=encoding)
    assert read(corpus) == ([written] if format else texts, {})
    assert len(corpus.index.files[0].units) == 1 or encoding == "utf-8-sig"


def test_a_file_that_is_not_utf_8_is_one_task_and_the_plan_says_so(write, monkeypatch):
    corpus = write("text\nné\n".encode("latin-1"), encoding="latin-1")
    assert corpus.index.notes == ("a.csv: not UTF-8, so each file is read by a single task",)


@pytest.mark.documented("wrong-bytes")
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
@pytest.mark.parametrize(
    ("encoding", "wrong"),
    [
        ("cp1252", b"\x81"),
        ("ascii", b"\xe9"),
        ("shift_jis", b"\x81"),
        ("gb18030", b"\xc3\xa9\xff"),
        ("euc-jp", b"\x8f\xa1"),
        ("utf-16-le", b"\x00\xd8"),
        ("utf-32-le", b"\x00\x00\x11\x00"),
    ],
)
def test_bytes_that_cannot_be_decoded_cost_their_row(write, encoding, wrong, name):
    if encoding == "gb18030":
        wrong = b"\xff"
    template = {"a.jsonl": '{"text": "@"}\n', "a.csv": "@\n", "a.txt": "@\n"}[name]
    head = "text\n" if name == "a.csv" else ""
    rows = [template.replace("@", one).encode(encoding) for one in ("good", "ab@", "good")]
    rows[1] = rows[1].replace("@".encode(encoding), wrong)
    data = head.encode(encoding) + b"".join(rows)
    texts, reasons = read(write(data, name, encoding=encoding))
    assert texts == ["good", None, "good"]
    at = 12 if name == "a.jsonl" else 2
    assert reasons == {1: f"invalid {codecs.lookup(encoding).name} at character {at}"}


MULTIBYTE = "big5 big5hkscs cp932 cp949 cp950 euc_jp euc_kr gb18030 gb2312 gbk shift_jis johab"


@pytest.mark.parametrize("encoding", MULTIBYTE.split())
def test_a_wrong_byte_never_takes_the_line_break_behind_it(encoding):
    for byte in range(128, 256):
        for more in (b"", b"\x30"):
            stream = io.BytesIO(b"a" + bytes([byte]) + more + b"\nb\n")
            lines = utf8_stream(stream, encoding).read().split(b"\n")
            assert lines[-2:] == [b"b", b""], (byte, more)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_half_a_pair_with_the_byte_of_a_line_break_breaks_no_line(encoding):
    for half in ("\ud80a", "\udc0a"):
        data = f"a{half}b\nc".encode(encoding, "surrogatepass")
        assert utf8_stream(io.BytesIO(data), encoding).read() == b"a\xffb\nc"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 16])
def test_characters_may_be_cut_where_reading_pauses(monkeypatch, size):
    monkeypatch.setattr(transcoding, "_PIECE_BYTES", size)
    text = "añ日本\n𝄞é\r\n" * 20
    for encoding in ("utf-16", "utf-32-be", "gb18030", "utf-7", "euc_jis_2004"):
        encoded = text.replace("𝄞", "") if encoding.startswith("euc") else text
        stream = utf8_stream(io.BytesIO(encoded.encode(encoding)), encoding)
        assert stream.read().decode() == encoded


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_wide_encoding_without_a_mark_asks_for_the_byte_order(write, encoding, name):
    head = '{"text": "un"}\n' if name == "a.jsonl" else "text\nun\n"
    data = head.encode(f"{encoding}-be")
    with pytest.raises(UsageError, match=f"name its byte order: {encoding}-le or {encoding}-be"):
        write(data, name, encoding=encoding).index  # noqa: B018
    assert read(write(data, name, encoding=f"{encoding}-be"))[0][-1] == "un"


def test_nuls_are_no_sign_of_utf_16_if_the_encoding_is_known(write):
    corpus = write(b"a\x00\x81b\n" * 2, "a.txt", encoding="cp1252")
    assert read(corpus)[1] == dict.fromkeys((0, 1), "invalid cp1252 at character 2")


def test_half_a_character_at_the_end_is_quarantined(write):
    corpus = write("un\ndeux".encode("utf-16")[:-1], "a.txt", encoding="utf-16")
    assert read(corpus) == (["un", None], {1: "invalid utf-16 at character 3"})


def test_a_large_corpus_in_another_encoding_is_sampled(write, monkeypatch):
    monkeypatch.setattr(surveying, "COUNTED_BYTES", 1000)
    monkeypatch.setattr(surveying, "FRONT_BYTES", 512)
    texts = [f"déjà {n}" for n in range(1000)]
    corpus = write("\n".join(texts).encode("utf-16"), "a.txt", encoding="utf-16")
    found = survey(corpus)
    assert not found.counted
    assert 800 < found.index.rows < 1200
    stretches = found.readable(found.index.stretches(500, 520))
    read_ = [
        text
        for stretch in stretches
        for batch in read_stretch(stretch, found.opener, found.index.selection)
        for text in batch.text.to_pylist()
    ]
    assert len(read_) == 20
    assert set(read_) <= set(texts)


# --- detection ------------------------------------------------------------------------------------

FRENCH = (
    "Il était une fois, dans une forêt éloignée où les chênes étaient très âgés, une "
    "fée « malgré elle » ; on l'appelait Zoé à cause de son cœur. Ça coûtait 5 € l'été.\n"
)
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
RUSSIAN = "Всё смешалось в доме Облонских. Жена узнала, что муж был в связи.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "utf-8"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "cp1252"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-32"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        ("no accent here\n", "ascii"),
    ],
)
def test_an_encoding_is_detected_and_kept(tmp_path, text, encoding):
    pytest.importorskip("chardet")
    (tmp_path / "a.txt").write_bytes((text * 20).encode(encoding))
    corpus = open_corpus(tmp_path / "a.txt", encoding="auto")
    assert read(corpus) == ([text.rstrip("\n")] * 20, {})
    (file,) = corpus.index.files
    known = file.file.dialect.encoding
    assert (file.note or "").startswith(f"read as {known}, as detected; " if known else "")
    assert bool(file.note) == bool(known)
    again = CorpusIndex.from_json(json.loads(json.dumps(corpus.index.to_json())))
    assert again == corpus.index
    assert again.moved_to(corpus.files) == again  # a resumed run does not detect again


def test_each_file_has_its_own_encoding(tmp_path):
    pytest.importorskip("chardet")
    for name, encoding in (("a.txt", "cp1252"), ("b.txt", "utf-8"), ("c.txt.gz", "utf-16")):
        data = (FRENCH * 9).encode(encoding)
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    corpus = open_corpus(tmp_path / "[ab]*", encoding="auto")
    grown = extend_index(
        corpus.index, open_corpus(tmp_path, encoding="auto").files[2:], corpus.opener
    )
    assert read(corpus, grown) == ([FRENCH.rstrip("\n")] * 27, {})
    encodings = [file.file.dialect.encoding for file in grown.files]
    assert encodings == ["cp1252", None, "utf-16"]


def test_an_accent_behind_a_long_beginning_is_detected(tmp_path):
    pytest.importorskip("chardet")
    plain = b"no accent here\n" * 100_000
    (tmp_path / "a.txt").write_bytes(plain + FRENCH.encode("cp1252"))
    corpus = open_corpus(tmp_path / "a.txt", encoding="auto")
    assert corpus.index.files[0].file.dialect.encoding == "cp1252"
    assert corpus.index.rows == 100_001


@pytest.mark.documented("undetected")
@pytest.mark.parametrize("name", [None, "x-klingon"])
def test_what_cannot_be_detected_is_read_as_utf_8(tmp_path, monkeypatch, name):
    chardet = pytest.importorskip("chardet")
    monkeypatch.setattr(chardet, "detect", lambda *_, **__: {"encoding": name})
    (tmp_path / "a.txt").write_bytes(b"\xff\ngood\n")
    corpus = open_corpus(tmp_path, encoding="auto")
    texts, reasons = read(corpus)
    assert texts == [None, "good"]
    assert reasons[0].startswith("invalid UTF-8 at byte 0")
    (note,) = corpus.index.notes
    assert note.startswith("a.txt: its encoding cannot be detected, so it is read as UTF-8; name")


def test_nuls_in_utf_8_are_no_sign_of_another_encoding(tmp_path):
    pytest.importorskip("chardet")
    (tmp_path / "a.txt").write_bytes("dé\0jà\n".encode())
    corpus = open_corpus(tmp_path, encoding="auto")
    assert read(corpus) == (["dé\0jà"], {})
    assert corpus.index.notes == ()


@pytest.mark.parametrize("package", [None, SimpleNamespace(detect=None)], ids=["none", "old"])
def test_without_the_package_an_error_says_what_to_install(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, "chardet", package)
    (tmp_path / "a.txt").write_bytes(b"good\n")
    with pytest.raises(BackendUnavailable, match=r"pip install 'paninifs\[encoding\]'"):
        open_corpus(tmp_path, encoding="auto")


def test_only_options_that_a_format_has_are_kept():
    dialect = Dialect(delimiter=";", quote=None, encoding="latin-1")
    assert dialect.only(("encoding",)) == Dialect(encoding="latin-1")
    assert dialect.only(()) == DEFAULT_DIALECT
