"""What holds for every source of files: resumed anywhere, unique keys, bounded memory, threads."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_files import (
    HEAD,
    TAIL,
    dump_page,
    http_response,
    items_of,
    multistream,
    pages_of,
    warc_info,
    warc_record,
    written,
)

from paninifs.engine.collecting.outcome import REASONS, NotKept
from paninifs.engine.collecting.source import Source
from paninifs.engine.collecting.sources.bulk import paging
from paninifs.engine.collecting.sources.document_folder import Folder
from paninifs.engine.collecting.sources.hugging_face import HuggingFaceDataset
from paninifs.engine.collecting.sources.warc import WarcFiles
from paninifs.engine.collecting.sources.wikipedia_dump import WikipediaDump

PAGES = [dump_page(n, f"Texte {n}. " * (n % 5), namespace=10 * (n % 4 == 3)) for n in range(1, 24)]


def xml_dump(folder: Path) -> Source:
    path = folder / "frwiki.xml"
    path.write_bytes(HEAD + b"".join(PAGES) + TAIL)
    return WikipediaDump(path=path)


def many_streams(folder: Path) -> Source:
    path = folder / "frwiki-multistream.xml.bz2"
    path.write_bytes(multistream(PAGES))
    return WikipediaDump(path=path)


def blind_streams(folder: Path) -> Source:
    """Streams that end anywhere, as parallel compressors make them."""
    path = folder / "frwiki.xml.bz2"
    whole = HEAD + b"".join(PAGES) + TAIL
    cuts = range(0, len(whole), 997)
    path.write_bytes(b"".join(bz2.compress(whole[at : at + 997]) for at in cuts))
    return WikipediaDump(path=path)


def gzip_dump(folder: Path) -> Source:
    path = folder / "frwiki.xml.gz"
    whole = HEAD + b"".join(PAGES) + TAIL
    path.write_bytes(gzip.compress(whole[:5000]) + gzip.compress(whole[5000:]))
    return WikipediaDump(path=path)


def warcs(folder: Path) -> Source:
    records = [warc_record(n, http_response(b"<p>page %d" % n)) for n in range(1, 8)]
    damaged = bytearray(gzip.compress(records[6]))
    damaged[40] ^= 255
    paths = [
        written(folder / "a.warc.gz", [warc_info(), *records[:2], records[2][:-40], *records[3:5]]),
        written(folder / "b.warc", [warc_info(), records[5]]),
        written(folder / "c.wet.gz", [warc_record(9, b"Un texte.", "conversion", Content_Type="")]),
    ]
    (folder / "d.warc.gz").write_bytes(bytes(damaged) + gzip.compress(warc_record(10, b"x")))
    (folder / "e.warc.gz").write_bytes(
        gzip.compress(b"".join(warc_record(n, http_response(b"a")) for n in (21, 22, 23)))
    )
    return WarcFiles([*paths, folder / "d.warc.gz", folder / "e.warc.gz"])


def documents(folder: Path) -> Source:
    folder = folder / "documents"
    for name in ("b.txt", "a/z.html", "a/b/c.md", "é.pdf", "a.txt", ".hidden/x.txt", "data.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a text")
    for name in ("a.zip", "z.zip"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member in ("one.txt", "two/three.html", "../out.txt", "x.jpg", "a.txt"):
                archive.writestr(member, "a text")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 no directory")
    return Folder(folder)


def rows(folder: Path) -> Source:
    data = folder / "set" / "data"
    data.mkdir(parents=True)
    texts = [None if n % 7 == 3 else f"texte {n}" for n in range(30)]
    table = pa.table({"text": texts, "n": range(30)})
    pq.write_table(table, data / "train-00000-of-00002.parquet", row_group_size=8)
    lines = [json.dumps({"text": text}) for text in texts]
    (data / "train-00001-of-00002.jsonl").write_text("\n".join([*lines[:5], "{", "", *lines[5:]]))
    (data / "test-00000-of-00001.jsonl").write_text('{"text": "not this one"}\n')
    return HuggingFaceDataset("owner/name", base=str(folder / "set"), extra_columns=())


SOURCES = [xml_dump, many_streams, blind_streams, gzip_dump, warcs, documents, rows]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def source(request, tmp_path, monkeypatch) -> Source:
    monkeypatch.setattr(paging, "PAGE_ITEMS", 2)
    return request.param(tmp_path)


def test_pages_resumed_at_any_cursor_are_the_same(source):
    pages = pages_of(source)
    assert len(pages) > 3
    for index, page in enumerate(pages):
        if page.items:  # a folder's last page has none, and leads to the beginning
            assert pages_of(source, page.cursor) == pages[index + 1 :]


def test_keys_are_unique_and_refusals_have_listed_reasons(source):
    items = items_of(source)
    keys = [item.key for item in items]
    assert len(set(keys)) == len(keys)
    for item in items:
        assert item.key.encode()
        assert all(isinstance(value, str) for value in item.extra.values())
        if item.refusal:
            assert item.refusal[0] in REASONS
        else:
            assert item.text is not None or item.content is not None or item.path


def test_settings_are_json_and_say_nothing_of_a_spool_folder(source):
    assert json.loads(json.dumps(source.settings())) == source.settings()
    assert "spool" not in source.settings()


def test_a_cursor_of_something_else_is_refused(source):
    with pytest.raises(NotKept, match="cursor"):
        pages_of(source, "not a cursor")


def test_all_of_the_sample_is_listed(tmp_path):
    counted = {}
    for make in SOURCES:
        folder = tmp_path / make.__name__
        folder.mkdir()
        counted[make.__name__] = len(items_of(make(folder)))
    assert counted == {
        "xml_dump": 23,
        "many_streams": 23,
        "blind_streams": 23,
        "gzip_dump": 23,
        "warcs": 12,
        "documents": 17,
        "rows": 61,
    }


def large_dump(folder: Path, count: int) -> Source:
    path = folder / f"{count}.xml.bz2"
    text = "Un texte. " * 2000
    path.write_bytes(multistream((dump_page(n, text) for n in range(1, count + 1)), 50))
    return WikipediaDump(path=path)


def large_warc(folder: Path, count: int) -> Source:
    block = http_response(b"<p>Un texte. " * 2000)
    records = (warc_record(n, block) for n in range(1, count + 1))
    return WarcFiles(written(folder / f"{count}.warc.gz", records))


def large_lines(folder: Path, count: int) -> Source:
    folder = folder / str(count)
    folder.mkdir()
    line = json.dumps({"text": "Un texte. " * 2000}) + "\n"
    (folder / "train.jsonl").write_text(line * count)
    return HuggingFaceDataset("owner/name", base=str(folder))


def _peak(source: Source) -> int:
    async def read() -> None:
        async for _ in source.pages(None, None):
            pass

    tracemalloc.start()
    try:
        asyncio.run(read())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow("reads tens of megabytes under tracemalloc")
@pytest.mark.parametrize("make", [large_dump, large_warc, large_lines])
def test_memory_does_not_grow_with_the_file(
    make: Callable[[Path, int], Source], tmp_path, monkeypatch
):
    monkeypatch.setattr(paging, "PAGE_BYTES", 1 << 20)
    _peak(make(tmp_path, 50))  # what is loaded once is not counted
    small, large = (_peak(make(tmp_path, count)) for count in (200, 800))
    assert large < 1.25 * small


def test_the_event_loop_is_free_while_a_file_is_read():
    slow = threading.Event()

    def reader():
        slow.wait(10)
        yield paging.Page(items=(), cursor="1")

    async def main() -> list[str]:
        async def release() -> None:
            slow.set()

        releasing = asyncio.ensure_future(release())  # runs only if reading does not block
        cursors = [page.cursor async for page in paging.in_thread(reader())]
        await releasing
        return cursors

    begun = time.monotonic()
    assert asyncio.run(main()) == ["1"]
    assert time.monotonic() - begun < 10


def test_a_cancelled_listing_closes_its_file_once_the_step_has_ended():
    closed = []
    begun, go_on = threading.Event(), threading.Event()

    def reader():
        try:
            begun.set()
            go_on.wait(10)
            yield paging.Page(items=(), cursor="1")
        finally:
            closed.append(True)

    async def main() -> None:
        async def read() -> None:
            async for _ in paging.in_thread(reader()):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not closed
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]
