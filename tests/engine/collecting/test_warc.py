"""Web archives: every documented kind of record, and lies about lengths, digests and encodings."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import pytest
from bulk_files import (
    http_response,
    items_of,
    pages_of,
    reasons_of,
    sha1,
    warc_info,
    warc_record,
    written,
)

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.bulk import http_message, warc_framing
from paninifs.engine.collecting.sources.bulk.warc_framing import WarcReader
from paninifs.engine.collecting.sources.warc import WARC_BYTES, WarcFiles
from paninifs.storage.errors import CorpusChanged, CorpusNotFound, UsageError

PAGE = "<html><p>Une page d'été.</p></html>".encode()
BOM = b"\xef\xbb\xbf"


@pytest.fixture(params=["x.warc.gz", "x.warc"])
def path(request, tmp_path) -> Path:
    return tmp_path / request.param


def listed(path: Path, *records: bytes, **settings: object):
    return items_of(WarcFiles(written(path, records), **settings))


def test_a_response_is_listed_with_its_page(path):
    block = http_response(PAGE, media_type="text/html; charset=UTF-8")
    request = warc_record(1, b"GET / HTTP/1.1\r\n\r\n", "request")
    metadata = warc_record(
        3, b"fetchTimeMs: 10", "metadata", Content_Type="application/warc-fields"
    )
    (item,) = listed(path, warc_info(), request, warc_record(2, block), metadata)
    assert item.key == "urn:uuid:00000000-0000-0000-0000-000000000002"
    assert item.url == "http://host.example/2"
    assert item.content == BOM + PAGE
    assert item.media_type == "text/html"
    assert item.extra == {"date": "2026-11-01T00:00:00Z"}


def test_a_conversion_is_listed_with_its_text(path):
    text = "Un texte.\nDeux."
    (one, two, bad) = listed(
        path,
        warc_record(
            1,
            text.encode(),
            "conversion",
            Content_Type="text/plain",
            WARC_Identified_Content_Language="fra",
        ),
        warc_record(
            2, b"", "conversion", Content_Type="", WARC_Identified_Content_Language="fra,eng"
        ),
        warc_record(3, b"\xff\xfe\xfd", "conversion", Content_Type="text/plain"),
    )
    assert (one.text, one.lang, one.media_type) == (text, "fra", "text/plain")
    assert (two.text, two.lang, two.extra["languages"]) == ("", "", "fra,eng")
    assert bad.refusal == ("unreadable", "not UTF-8 at byte 0")


@pytest.mark.parametrize(
    ("charset", "text", "content"),
    [
        ("iso-8859-1", "été “x”".encode("cp1252"), BOM + "été “x”".encode()),
        ("koi8-r", "Панини".encode("koi8-r"), BOM + "Панини".encode()),
        ("utf-8", "été".encode("cp1252"), "été".encode("cp1252")),  # it is not what it is called
        ("utf-8", BOM + b"a", BOM + b"a"),
        ("nonsense", b"a", b"a"),
        ("unicode_escape", b"\\x41", b"\\x41"),
        ("punycode", b"a-", b"a-"),
    ],
)
def test_the_charset_of_the_server_is_heeded_if_it_is_right(tmp_path, charset, text, content):
    block = http_response(text, media_type=f"text/html; charset={charset}")
    (item,) = listed(tmp_path / "x.warc", warc_record(1, block))
    assert item.content == content


def _chunks(body: bytes) -> bytes:
    return (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:]))
        + b"0\r\n\r\n"
    )


def _brotli(body: bytes) -> bytes:
    from fastwarc.stream_io import BrotliWriter

    packed = io.BytesIO()
    writer = BrotliWriter(packed)
    writer.write(body)
    writer.close()
    return packed.getvalue()


def _deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODED = {
    "plain": (PAGE, {}),
    "chunked": (_chunks(PAGE), {"Transfer_Encoding": "chunked"}),
    "gzip": (gzip.compress(PAGE), {"Content_Encoding": "gzip"}),
    "two members": (
        gzip.compress(PAGE[:5]) + gzip.compress(PAGE[5:]),
        {"Content_Encoding": "gzip"},
    ),
    "zlib": (zlib.compress(PAGE), {"Content_Encoding": "deflate"}),
    "deflate": (_deflate(PAGE), {"Content_Encoding": "deflate"}),
    "brotli": (_brotli(PAGE), {"Content_Encoding": "br"}),
    "both": (
        _chunks(gzip.compress(PAGE)),
        {"Transfer_Encoding": "chunked", "Content_Encoding": "x-gzip, identity"},
    ),
    "undone": (PAGE, {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_encodings_are_undone(path, kind):
    body, headers = ENCODED[kind]
    (item,) = listed(path, warc_record(1, http_response(body, **headers)))
    assert item.content == PAGE


def test_a_digest_of_any_form_of_the_payload_is_right(path):
    packed = gzip.compress(PAGE)
    body = _chunks(packed)
    block = http_response(body, Transfer_Encoding="chunked", Content_Encoding="gzip")
    records = [warc_record(n, block, payload=form) for n, form in enumerate((PAGE, packed, body))]
    assert reasons_of(listed(path, *records)) == ["", "", ""]


BAD = {
    "digest": (http_response(PAGE), {"payload": b"other"}, "damaged"),
    "block digest": (http_response(PAGE), {"WARC_Block_Digest": sha1(b"other")}, "damaged"),
    "cut by the crawler": (http_response(PAGE), {"WARC_Truncated": "length"}, "truncated"),
    "not found": (http_response(PAGE, "404 Not Found"), {}, "not-found"),
    "forbidden": (http_response(PAGE, "403 No"), {}, "forbidden"),
    "moved": (http_response(PAGE, "301 Moved", Location="/x"), {}, "bad-status"),
    "failed": (http_response(PAGE, "503 Busy"), {}, "server-error"),
    "image": (http_response(PAGE, media_type="image/png"), {}, "unknown-type"),
    "no type": (http_response(PAGE, media_type=""), {}, "unknown-type"),
    "no status": (b"hello\r\n\r\n", {}, "bad-headers"),
    "empty": (b"", {}, "bad-headers"),
    "many headers": (http_response(PAGE, **{f"x{n}": "y" for n in range(200)}), {}, "bad-headers"),
    "long header": (http_response(PAGE, x="y" * 100_000), {}, "bad-headers"),
    "more than its length": (http_response(PAGE, Content_Length="3"), {}, "bad-headers"),
    "less than its length": (http_response(PAGE, Content_Length="9999"), {}, "truncated"),
    "length of letters": (http_response(PAGE, Content_Length="many"), {}, "bad-headers"),
    "half of a chunk": (
        http_response(_chunks(PAGE)[:-20], Transfer_Encoding="chunked"), {}, "truncated",
    ),
    "no last chunk": (
        http_response(_chunks(PAGE)[:-5], Transfer_Encoding="chunked"), {}, "truncated",
    ),
    "bad chunk": (
        http_response(b"3\r\nabc\r\nzz\r\n", Transfer_Encoding="chunked"), {}, "damaged",
    ),
    "half of gzip": (
        http_response(gzip.compress(PAGE)[:-12], Content_Encoding="gzip"), {}, "truncated",
    ),
    "bad gzip": (
        http_response(gzip.compress(PAGE)[:10] + b"\xff" * 30, Content_Encoding="gzip"),
        {},
        "bad-compression",
    ),
    "bad brotli": (http_response(b"\xff" * 30, Content_Encoding="br"), {}, "bad-compression"),
    "unknown encoding": (http_response(PAGE, Content_Encoding="rot13"), {}, "bad-compression"),
    "bomb": (
        http_response(gzip.compress(bytes(3 << 20)), Content_Encoding="gzip"), {}, "bomb",
    ),
    "bomb in a bomb": (
        http_response(
            gzip.compress(gzip.compress(bytes(30 << 20))), Content_Encoding="gzip, gzip"
        ),
        {},
        "bomb",
    ),
    "brotli bomb": (http_response(_brotli(bytes(3 << 20)), Content_Encoding="br"), {}, "bomb"),
    "too large": (http_response(b"abc" * 4_000_000), {}, "too-large"),
    "revisit": (
        http_response(b""),
        {"kind": "revisit", "WARC_Refers_To_Date": "2026-10-01T00:00:00Z"},
        "unchanged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_other_answers_end_in_a_reason_and_cost_no_other(tmp_path, kind):
    block, headers, reason = BAD[kind]
    good = [warc_record(n, http_response(PAGE)) for n in (1, 3)]
    bad = warc_record(2, block, **headers)
    items = listed(tmp_path / "x.warc.gz", good[0], bad, good[1], most_bytes=10 << 20)
    assert reasons_of(items) == ["", reason, ""]
    assert items[1].key.endswith("2")


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (0, "bad-headers"),
        (-7, "bad-headers"),
        (50, "bad-headers"),  # what is left over is no record
        (400, "bad-headers"),  # it reaches into the next one
        (10**6, "truncated"),
        (10**14, "truncated"),
        (10**30, None),
    ],
)
def test_a_length_that_is_wrong_costs_only_its_own_record(path, length, reason):
    records = [warc_record(n, http_response(PAGE)) for n in (1, 2, 3, 4)]
    records[1] = warc_record(2, http_response(PAGE), length=length)
    items = listed(path, *records)
    reasons = reasons_of(items)
    if reason is None:
        assert all(reasons[1:-2])
        assert reasons[1]
    else:
        assert reasons == ["", reason, "", ""]
    assert [item.key[-1] for item in items if not item.refusal] == ["1", "3", "4"]


def test_damage_costs_only_what_is_damaged(tmp_path):
    members = [gzip.compress(warc_record(n, http_response(PAGE))) for n in range(1, 7)]
    second = bytearray(members[1])
    second[30] ^= 255
    members[1] = bytes(second)  # cannot be decompressed
    members[3] = members[3][:-9]  # without its end
    members[4] = b"not a record" + members[4]
    path = tmp_path / "x.warc.gz"
    path.write_bytes(b"".join(members))
    items = items_of(WarcFiles(path))
    good = [item.key[-1] for item in items if not item.refusal]
    assert {"1", "3", "6"} <= set(good)
    assert "" in reasons_of(items)
    assert sum(1 for reason in reasons_of(items) if reason) >= 2
    assert all(
        reason in {"", "damaged", "bad-headers", "truncated"} for reason in reasons_of(items)
    )


class Counting(io.BytesIO):
    """A file that counts the bytes that are read."""

    count = 0

    def read(self, size=-1, /):
        data = super().read(size)
        self.count += len(data)
        return data


def test_a_length_beyond_the_end_does_not_read_to_the_end():
    lie = warc_record(1, http_response(PAGE), length=10**14)
    file = Counting(lie + warc_record(2, http_response(bytes(1 << 24))))
    reader = WarcReader(file, len(file.getvalue()), frozenset({"response"}), 1 << 20)
    first = next(reader.records())
    assert first.problem[0] == "truncated"
    assert file.count < 2 << 20


def test_a_file_with_too_many_damaged_records_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(warc_framing, "DAMAGED_RECORDS", 5)
    lies = [warc_record(n, http_response(PAGE), length=3) for n in range(9)]
    source = WarcFiles(written(tmp_path / "x.warc.gz", lies))
    with pytest.raises(NotKept, match="5 records"):
        items_of(source)


@pytest.mark.parametrize("given", ["9x", "+9", "", "-9", "9.0"])
def test_a_length_is_a_plain_number(tmp_path, given):
    record = warc_record(1, b"Un texte.", "conversion", Content_Type="", Content_Length=given)
    (item, *_) = listed(tmp_path / "x.warc", record, warc_record(2, http_response(PAGE)))
    assert item.refusal[0] == "bad-headers"


def test_bytes_between_records_are_reported(tmp_path):
    records = [warc_record(n, http_response(PAGE)) for n in (1, 2)]
    path = tmp_path / "x.warc"
    path.write_bytes(records[0] + b"rubbish\r\n" + records[1])
    items = items_of(WarcFiles(path))
    assert reasons_of(items) == ["", "damaged", ""]
    assert f"at byte {len(records[0])}" in items[1].refusal[1]


@pytest.mark.parametrize("cut", [1, 5, 30, 100])
def test_a_file_that_ends_early_keeps_what_comes_before(path, cut):
    written(path, [warc_record(n, http_response(PAGE)) for n in (1, 2, 3)])
    path.write_bytes(path.read_bytes()[:-cut])
    items = items_of(WarcFiles(path))
    assert reasons_of(items)[:2] == ["", ""]
    # Of the last record, the page may still be whole: then only the end of the file is missing.
    assert len(items) == 3 or cut <= 5


def test_other_files_are_one_failed_item(tmp_path):
    for name, content in (("a.gz", gzip.compress(b"hello")), ("b", b"hello " * 1000), ("c", b"\0")):
        (tmp_path / name).write_bytes(content)
        assert reasons_of(items_of(WarcFiles(tmp_path / name))) == ["damaged"]
    (tmp_path / "empty").write_bytes(b"")
    assert items_of(WarcFiles(tmp_path / "empty")) == []


def test_records_without_an_identifier_have_keys_of_their_own(path):
    block = http_response(PAGE)
    items = listed(
        path,
        warc_record(1, block, WARC_Record_ID=""),
        warc_record(2, block, WARC_Record_ID="", WARC_Target_URI=""),
        warc_record(3, block, WARC_Record_ID="", WARC_Date=""),
    )
    keys = [item.key for item in items]
    assert keys[0] == "http://host.example/1 2026-11-01T00:00:00Z"
    assert len(set(keys)) == 3


def test_a_bomb_is_not_expanded(monkeypatch):
    given = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, wbits):
            self._real = real(wbits=wbits)

        def decompress(self, data, most):
            given.append(self._real.decompress(data, most))
            return given[-1]

        def __getattr__(self, name):
            return getattr(self._real, name)

    monkeypatch.setattr(http_message.zlib, "decompressobj", Watched)
    packed = gzip.compress(bytes(64 << 20))
    with pytest.raises(NotKept, match="limit"):
        http_message.decoded(packed, "gzip", 2 << 20)
    assert sum(map(len, given)) == (2 << 20) + 1


class Mirror:
    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, []

    async def save(self, url, path, *, most_bytes=None):
        self.asked.append((url, most_bytes))
        path.write_bytes(self.content)


def test_files_of_the_web_are_downloaded_by_the_collection(tmp_path):
    web = Mirror(gzip.compress(warc_record(1, http_response(PAGE))))
    urls = ["http://h.example/a/1.warc.gz", "https://h.example/b/1.warc.gz"]
    source = WarcFiles(urls, spool=tmp_path / "spool")
    pages = pages_of(source, web=web)
    assert len(pages) == 2
    assert web.asked == [(url, WARC_BYTES) for url in urls]
    assert pages_of(source, pages[0].cursor, web) == pages[1:]
    assert len(web.asked) == 2


def test_files_may_be_named_by_a_pattern(tmp_path):
    for number in (1, 2, 3):
        written(tmp_path / f"c-{number}.warc.gz", [warc_record(number, http_response(PAGE))])
    source = WarcFiles(f"{tmp_path}/c-*.warc.gz")
    pages = pages_of(source)
    assert [page.items[0].key[-1] for page in pages] == ["1", "2", "3"]
    (tmp_path / "c-1.warc.gz").unlink()
    written(tmp_path / "c-4.warc.gz", [warc_record(4, http_response(PAGE))])
    assert [item.key[-1] for item in items_of(source, pages[1].cursor)] == ["3", "4"]
    with pytest.raises(CorpusChanged, match="is missing"):
        items_of(source, pages[0].cursor)
    with pytest.raises(CorpusNotFound, match="no file matches"):
        items_of(WarcFiles(f"{tmp_path}/d-*.warc"))


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one"):
        WarcFiles([])
    with pytest.raises(UsageError, match="twice"):
        WarcFiles(["a", "a"])
    with pytest.raises(CorpusNotFound, match="no such file"):
        items_of(WarcFiles(tmp_path / "none.warc"))
