"""Wikipedia's dumps: every documented field and compression, and files with lies."""

from __future__ import annotations

import asyncio
import bz2
import tracemalloc
from pathlib import Path

import pytest
from bulk_files import (
    HEAD,
    TAIL,
    dump_page,
    items_of,
    multistream,
    pages_of,
    reasons_of,
)

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.bulk import dump_stream
from paninifs.engine.collecting.sources.wikipedia_dump import DUMP_BYTES, WikipediaDump
from paninifs.storage.errors import CorpusChanged, CorpusNotFound, UsageError


def dump(folder: Path, content: bytes, name: str = "dump.xml", lang: str = "fr") -> WikipediaDump:
    path = folder / name
    path.write_bytes(content)
    return WikipediaDump(lang, path=path)


def test_an_article_is_listed_with_all_that_the_dump_says(tmp_path):
    text = "Un ''texte'' <ref>& plus</ref>."
    source = dump(tmp_path, HEAD + dump_page(7, text, title="L'Été & la nuit?") + TAIL)
    (item,) = items_of(source)
    assert item.key == "frwiki:7"
    assert item.title == "L'Été & la nuit?"
    assert item.url == "https://fr.wikipedia.org/wiki/L'%C3%89t%C3%A9_%26_la_nuit%3F"
    assert item.content == text.encode()
    assert item.media_type == "text/x-wiki"
    assert item.lang == "fr"
    assert item.licence == "CC-BY-SA-4.0"
    assert item.extra == {"page_id": "7", "revision": "1007", "modified": "2026-11-01T00:00:07Z"}


def test_pages_that_are_no_articles_are_listed_as_such(tmp_path):
    pages = [
        dump_page(1, "{{a}}", namespace=10),
        dump_page(2, "#REDIRECT [[Article 3]]", redirect="Article 3"),
        dump_page(3),
        dump_page(4, "return {}", model="Scribunto"),
        dump_page(5).replace(
            b'<text bytes="13" xml:space="preserve">', b'<text deleted="deleted">'
        ),
    ]
    items = items_of(dump(tmp_path, HEAD + b"".join(pages) + TAIL))
    assert [item.refusal for item in items] == [
        ("not-an-article", "namespace 10"),
        ("not-an-article", "redirect to Article 3"),
        None,
        ("not-an-article", "content model Scribunto"),
        ("deleted", "its text is hidden"),
    ]


def test_the_last_revision_counts_and_a_page_may_have_none(tmp_path):
    two = dump_page(1, "old").replace(
        b"</page>", b"<revision><id>2</id><text>new</text></revision></page>"
    )
    none = b"<page><title>A</title><ns>0</ns><id>2</id></page>"
    items = items_of(dump(tmp_path, HEAD + two + none + TAIL))
    assert [item.content for item in items] == [b"new", b""]


@pytest.mark.parametrize(
    ("lang", "key", "iso"),
    [("simple", "simplewiki:1", "en"), ("zh-yue", "zh_yuewiki:1", "yue"), ("sa", "sawiki:1", "sa")],
)
def test_codes_of_wikipedias_are_not_those_of_languages(tmp_path, lang, key, iso):
    (item,) = items_of(dump(tmp_path, HEAD + dump_page(1) + TAIL, lang=lang))
    assert (item.key, item.lang) == (key, iso)


def test_a_damaged_page_costs_no_other(tmp_path):
    pages = [
        dump_page(1),
        dump_page(2).replace(b"<ns>", b"<ns"),
        dump_page(3).replace(b"<id>3</id>", b"<id>-3</id>"),
        dump_page(4).replace(b"<ns>0</ns>", b""),
        dump_page(5, title="x" * 300),
        dump_page(6).replace(b"Un ''", b"&entity; &#0; ''"),
        dump_page(7).replace(b"Un ''", b"\xff\xfe"),
        dump_page(8).replace(b"<ns>", b"<a>" * 5000 + b"</a>" * 5000 + b"<ns>"),
        dump_page(9),
    ]
    items = items_of(dump(tmp_path, multistream(pages), "d.xml.bz2"))
    assert reasons_of(items) == [
        "", "damaged", *["bad-record"] * 3, *["damaged"] * 3, "",
    ]  # fmt: skip


def test_entities_of_a_document_type_are_never_expanded(tmp_path):
    lol = b'<!DOCTYPE mediawiki [<!ENTITY a "lol"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "/etc/x">]>'
    pages = [
        dump_page(1, "x").replace(b">x<", b">&b;<"),
        dump_page(2, "x").replace(b">x<", b">&c;<"),
    ]
    items = items_of(dump(tmp_path, lol + HEAD + b"".join(pages) + TAIL))
    assert reasons_of(items) == ["damaged", "damaged"]


def test_a_page_without_an_end_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(dump_stream, "PAGE_BYTES", 2000)
    monkeypatch.setattr(dump_stream, "_DECODED_BYTES", 500)
    pages = [dump_page(1), dump_page(2, "x" * 9000), dump_page(3)]
    items = items_of(dump(tmp_path, HEAD + b"".join(pages) + TAIL))
    assert reasons_of(items) == ["", "too-large", ""]


def test_a_page_without_an_end_is_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(dump_stream, "PAGE_BYTES", 1 << 20)
    source = dump(tmp_path, HEAD + b"<page>" + bytes(24 << 20) + b"</page>" + TAIL)
    tracemalloc.start()
    try:
        assert reasons_of(items_of(source)) == ["too-large"]
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_goes_on_without_pages_is_not_a_dump(tmp_path, monkeypatch):
    monkeypatch.setattr(dump_stream, "GAP_BYTES", 3 << 20)
    source = dump(tmp_path, bz2.compress(HEAD + bytes(8 << 20) + TAIL), "d.bz2")
    with pytest.raises(NotKept, match="no page in"):
        items_of(source)


@pytest.mark.parametrize("cut", [1, 60, 500, 1000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_dump_that_ends_early_says_so_after_all_that_it_has(tmp_path, cut, packed):
    pages = [dump_page(n) for n in range(1, 9)]
    whole = multistream(pages) if packed else HEAD + b"".join(pages) + TAIL
    kept = whole[: len(whole) - len(TAIL) - cut]
    source = dump(tmp_path, kept)

    async def read() -> list[str]:
        keys = []
        try:
            async for page in source.pages(None, None):
                keys += [item.key for item in page.items]
        except NotKept as refused:
            return [*keys, refused.reason]
        return keys

    *keys, reason = asyncio.run(read())
    assert reason == "truncated"
    assert keys == [f"frwiki:{n}" for n in range(1, len(keys) + 1)]
    assert packed or len(keys) == kept.count(b"</page>") > 3


def test_a_damaged_stream_is_reported_with_its_position(tmp_path):
    content = bytearray(multistream([dump_page(n) for n in range(1, 9)]))
    content[len(content) // 2] ^= 255
    with pytest.raises(NotKept, match="stream at byte"):
        items_of(dump(tmp_path, bytes(content), "d.bz2"))


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (b"7z\xbc\xaf\x27\x1c", UsageError, "multistream"),
        (b"PK\x03\x04", UsageError, ".zip"),
        (b"<html><page></page></html>", NotKept, "mediawiki"),
        (b"", NotKept, "mediawiki"),
        (bz2.compress(b"hello"), NotKept, "mediawiki"),
    ],
)
def test_other_files_are_refused(tmp_path, content, error, says):
    with pytest.raises(error, match=says):
        items_of(dump(tmp_path, content))


def test_a_stream_is_resumed_without_what_comes_before(tmp_path):
    source = dump(tmp_path, multistream([dump_page(n) for n in range(1, 12)]), "d.bz2")
    path = Path(source.path)
    (page,) = pages_of(source)
    size, stream, _ = page.cursor.split(":")
    content = bytearray(path.read_bytes())
    content[200 : int(stream)] = bytes(int(stream) - 200)  # would be noticed if it were decoded
    path.write_bytes(bytes(content))
    assert [item.key for item in items_of(source, f"{size}:{stream}:1")] == ["frwiki:11"]


def test_a_cursor_of_another_dump_is_refused(tmp_path):
    source = dump(tmp_path, HEAD + dump_page(1) + TAIL)
    (page,) = pages_of(source)
    dump(tmp_path, HEAD + dump_page(1) + dump_page(2) + TAIL)
    with pytest.raises(CorpusChanged, match="date"):
        items_of(source, page.cursor)


class Mirror:
    """Saves one file, and counts."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, []

    async def save(self, url, path, *, most_bytes=None):
        self.asked.append((url, most_bytes))
        path.write_bytes(self.content)


def test_a_dump_is_downloaded_once(tmp_path):
    web = Mirror(multistream([dump_page(n) for n in range(1, 5)]))
    source = WikipediaDump(
        "fr", "20261101", base="http://mirror.example/", spool=tmp_path / "spool"
    )
    (page,) = pages_of(source, web=web)
    assert items_of(source, page.cursor, web) == []
    folder = "http://mirror.example/frwiki/20261101"
    url = f"{folder}/frwiki-20261101-pages-articles-multistream.xml.bz2"
    assert web.asked == [(url, DUMP_BYTES)]


def test_settings_that_could_lead_elsewhere_are_refused():
    for lang in ("../x", "fr.evil.example/", "FR", "", "a" * 30):
        with pytest.raises(UsageError, match="lang"):
            WikipediaDump(lang)
    with pytest.raises(UsageError, match="date"):
        WikipediaDump("fr", "../latest")


def test_a_missing_dump_is_reported(tmp_path):
    with pytest.raises(CorpusNotFound, match="no such file"):
        items_of(WikipediaDump(path=tmp_path / "none.xml"))


def test_dumps_are_read_from_any_filesystem(tmp_path):
    import fsspec

    fsspec.filesystem("memory").pipe("/dumps/d.xml.bz2", multistream([dump_page(1)]))
    assert len(items_of(WikipediaDump(path="memory://dumps/d.xml.bz2"))) == 1
