"""A folder of documents: order, types, archives, links, and names that lead elsewhere."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import fsspec
import pytest
from bulk_files import items_of, pages_of, reasons_of

from paninifs.engine.collecting.sources.bulk import walking, zip_listing
from paninifs.engine.collecting.sources.document_folder import Folder
from paninifs.engine.collecting.sources.url_list import UrlList
from paninifs.storage.errors import CorpusNotFound, UsageError


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a text")


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def test_files_come_in_the_order_of_their_paths(tmp_path):
    put(tmp_path, "b.txt", "a/z.html", "a/b/c.md", "a-b.pdf", "a.txt", "B.txt", "a/b.txt")
    keys = [item.key for item in items_of(Folder(tmp_path))]
    assert keys == ["B.txt", "a/b/c.md", "a/b.txt", "a/z.html", "a-b.pdf", "a.txt", "b.txt"]


def test_a_document_is_listed_with_its_path_and_type(tmp_path):
    put(tmp_path, "notes/Été.TXT")
    os.utime(tmp_path / "notes/Été.TXT", (0, 86400))
    (item,) = items_of(Folder(tmp_path))
    assert item.key == "notes/Été.TXT"
    assert Path(item.path).read_text() == "a text"
    assert item.media_type == "text/plain"
    assert item.extra == {"modified": "1970-01-02T00:00:00+00:00"}
    assert item.url == ""


TYPES = {
    "a.pdf": "application/pdf",
    "a.HTM": "text/html",
    "a.xhtml": "application/xhtml+xml",
    "a.txt": "text/plain",
    "a.txt.gz": "application/gzip",
    "a.docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "a.epub": "application/epub+zip",
    "a.md": "text/markdown",
    "a.tei": "application/tei+xml",
    "a.tei.xml": "application/tei+xml",
    "a.conllu": "text/x-conllu",
}


@pytest.mark.parametrize("name", TYPES)
def test_types_are_known_by_their_endings(tmp_path, name):
    put(tmp_path, name)
    (item,) = items_of(Folder(tmp_path))
    assert (item.media_type, item.refusal) == (TYPES[name], None)


def test_other_files_are_listed_with_a_reason(tmp_path):
    put(tmp_path, "a.jpg", "b", "c.csv", "d.jsonl.gz", "e.parquet")
    corpus = ("unknown-type", "it is a corpus already: use open_corpus")
    assert [item.refusal for item in items_of(Folder(tmp_path))] == [
        ("unknown-type", ".jpg"),
        ("unknown-type", "no ending"),
        *[corpus] * 3,
    ]


def test_types_and_patterns_choose(tmp_path):
    put(tmp_path, "a.txt", "b.pdf", "c.jpg", "d/e.txt", "d/f.md", "d/g/h.txt")
    (tmp_path / "d" / "z.zip").write_bytes(archive({"i.txt": b"", "j.md": b"", "k/l.txt": b""}))

    def keys(**settings):
        return [item.key for item in items_of(Folder(tmp_path, **settings))]

    assert keys(types=["text"])[:3] == ["a.txt", "d/e.txt", "d/g/h.txt"]
    assert keys(types=["text"])[3:] == ["d/z.zip::i.txt", "d/z.zip::k/l.txt"]
    assert keys(types="pdf, text") == sorted([*keys(types=["text"]), "b.pdf"])
    assert keys(pattern="**/*.md") == ["d/f.md", "d/z.zip::j.md"]
    with pytest.raises(UsageError, match="choose"):
        Folder(tmp_path, types=["word"])


def test_hidden_files_are_left_out(tmp_path):
    put(tmp_path, ".a.txt", ".b/c.txt", "d/.e/f.txt", "g.txt")
    members = {".h.txt": b"", "i/.j/k.txt": b"", "__MACOSX/l.txt": b"", "m.txt": b"", "n/": b""}
    (tmp_path / "o.zip").write_bytes(archive(members))
    assert [item.key for item in items_of(Folder(tmp_path))] == ["g.txt", "o.zip::m.txt"]


def test_a_path_is_the_same_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written = ("letters", "letters/", "./letters", "a/../letters//")
    assert {Folder(path).settings()["path"] for path in written} == {"letters"}
    assert {UrlList(path).settings()["path"] for path in ("a.txt", "./a.txt")} == {"a.txt"}
    assert Folder("~/letters").path == str(tmp_path / "letters")
    assert Folder("memory://letters/").path == "memory://letters/"


def test_corpora_and_results_inside_are_left_out(tmp_path):
    put(tmp_path, "a.txt", "corpus/part-000000.parquet", "corpus/_collection/card.md")
    put(tmp_path, "b/results.zarr/zarr.json", "b/results.zarr/c.txt", "b/d.txt")
    assert [item.key for item in items_of(Folder(tmp_path))] == ["a.txt", "b/d.txt"]


def test_links_out_of_the_folder_are_refused(tmp_path):
    put(tmp_path, "outside.txt", "out/x.txt", "in/a.txt", "in/sub/b.txt")
    folder = tmp_path / "in"
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "sub2").symlink_to(tmp_path / "out")
    (folder / "inner.txt").symlink_to("a.txt")
    (folder / "loop").symlink_to(folder)
    (folder / "nothing.txt").symlink_to("none.txt")
    os.mkfifo(folder / "pipe.txt")
    reasons = {item.key: item.refusal and item.refusal[0] for item in items_of(Folder(folder))}
    assert reasons == {
        "a.txt": None,
        "inner.txt": None,
        "link.txt": "unsafe-path",
        "nothing.txt": "not-found",
        "pipe.txt": "unknown-type",
        "sub/b.txt": None,
        "sub2": "unsafe-path",
    }


def test_names_that_could_be_taken_for_something_else_are_refused(tmp_path):
    put(tmp_path, "a.zip::b.txt", "c\nd.txt", "e.txt")
    (tmp_path / os.fsdecode(b"f\xff.txt")).write_text("x")
    items = items_of(Folder(tmp_path))
    assert reasons_of(items) == ["unsafe-path", "unsafe-path", "", "unsafe-path"]
    assert items[3].key == "f\\udcff.txt"
    assert all(item.key.encode() for item in items)


def test_members_of_archives_are_listed(tmp_path):
    (tmp_path / "a.zip").write_bytes(archive({"b/c.html": b"x", "a.txt": b"y", "d.jpg": b""}))
    items = items_of(Folder(tmp_path))
    assert [item.key for item in items] == ["a.zip::a.txt", "a.zip::b/c.html", "a.zip::d.jpg"]
    assert items[0].path == f"{tmp_path}/a.zip::a.txt"
    assert items[1].media_type == "text/html"
    assert reasons_of(items) == ["", "", "unknown-type"]


def test_an_archive_that_is_resumed_in_its_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("paninifs.engine.collecting.sources.bulk.paging.PAGE_ITEMS", 1)
    put(tmp_path, "a.txt", "z.txt")
    (tmp_path / "m.zip").write_bytes(archive({"1.txt": b"", "2.txt": b"", "3.txt": b""}))
    pages = pages_of(Folder(tmp_path))
    (tmp_path / "a.txt").unlink()
    assert [item.key for item in items_of(Folder(tmp_path), pages[2].cursor)] == [
        "m.zip::3.txt",
        "z.txt",
    ]


UNSAFE = (
    "/etc/a.txt",
    "../a.txt",
    "a/../../b.txt",
    "C:/a.txt",
    "a\\..\\b.txt",
    "a::b.txt",
    "a\n.txt",
)


@pytest.mark.parametrize("name", UNSAFE)
def test_members_that_lead_out_of_their_archive_are_refused(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(archive({name: b"x", "z.txt": b"y"}))
    assert sorted(reasons_of(items_of(Folder(tmp_path)))) == ["", "unsafe-path"]


def test_a_name_with_a_nul_is_refused(tmp_path):
    packed = archive({"aXtxt.pdf": b"x"}).replace(b"aXtxt.pdf", b"a\0txt.pdf")
    (tmp_path / "a.zip").write_bytes(packed)
    assert set(reasons_of(items_of(Folder(tmp_path)))) <= {"unsafe-path", "unknown-type"}


def test_bombs_are_refused_by_what_their_directory_says(tmp_path):
    zeros = bytes(4 << 20)
    inner = archive({"a.txt": zeros})
    (tmp_path / "a.zip").write_bytes(archive({"a.txt": zeros, "b.zip": inner, "c.txt": b"x"}))
    assert reasons_of(items_of(Folder(tmp_path))) == ["bomb", "unknown-type", ""]
    (tmp_path / "a.zip").write_bytes(archive({"a.txt": zeros}, zipfile.ZIP_STORED))
    assert reasons_of(items_of(Folder(tmp_path, most_bytes=1 << 20))) == ["too-large"]


def test_members_that_share_their_bytes_are_a_bomb(tmp_path):
    packed = bytearray(archive({"a.txt": b"x" * 1000, "b.txt": b"y" * 1000}, zipfile.ZIP_STORED))
    second = packed.rfind(b"PK\x01\x02")
    struct.pack_into("<L", packed, second + 42, 0)  # begins where the first one does
    (tmp_path / "a.zip").write_bytes(bytes(packed))
    assert set(reasons_of(items_of(Folder(tmp_path)))) == {"bomb"}


def test_encrypted_and_unknown_members_are_refused(tmp_path):
    packed = bytearray(archive({"a.txt": b"x", "b.txt": b"y"}))
    first = packed.find(b"PK\x01\x02")
    struct.pack_into("<H", packed, first + 8, 1)
    struct.pack_into("<H", packed, packed.rfind(b"PK\x01\x02") + 10, 97)
    (tmp_path / "a.zip").write_bytes(bytes(packed))
    assert reasons_of(items_of(Folder(tmp_path))) == ["encrypted", "bad-compression"]


def test_two_members_of_one_name_are_two_items(tmp_path):
    packed = archive({"a.txt": b"x", "b.txt": b"y"}).replace(b"b.txt", b"a.txt")
    (tmp_path / "a.zip").write_bytes(packed)
    items = items_of(Folder(tmp_path))
    assert [item.key for item in items] == ["a.zip::a.txt", "a.zip::a.txt#2"]
    assert reasons_of(items) == ["", "damaged"]


def _with_directory_of(size: int) -> bytes:
    packed = bytearray(archive({"a.txt": b"x"}))
    struct.pack_into("<L", packed, packed.rfind(b"PK\x05\x06") + 12, size)
    return bytes(packed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"PK\x03\x04", "damaged"),
        (b"PK\x05\x06", "damaged"),
        (b"x" * 100_000, "damaged"),
        (archive({"a.txt": b"x"})[:-30], "damaged"),
        (_with_directory_of(1 << 30), "too-large"),
        (_with_directory_of(1 << 20), "damaged"),
    ],
    ids=["empty", "begun", "ended", "letters", "cut", "huge directory", "large directory"],
)
def test_a_damaged_archive_is_one_failed_item(tmp_path, content, reason):
    (tmp_path / "a.zip").write_bytes(content)
    (item,) = items_of(Folder(tmp_path))
    assert (item.key, item.refusal[0]) == ("a.zip", reason)


def test_a_large_directory_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(_with_directory_of(1 << 30))
    monkeypatch.setattr(zip_listing.zipfile, "ZipFile", None)
    assert reasons_of(items_of(Folder(tmp_path))) == ["too-large"]


def test_size_depth_and_missing_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "DEPTH", 3)
    put(tmp_path, "a/b/c/d.txt", "a/b/c/e/f.txt", "g.txt")
    assert reasons_of(items_of(Folder(tmp_path))) == ["", "too-deep", ""]
    assert reasons_of(items_of(Folder(tmp_path, "*", most_bytes=3))) == ["too-large"]
    with pytest.raises(CorpusNotFound, match="no such folder"):
        items_of(Folder(tmp_path / "none"))
    with pytest.raises(UsageError, match="by a pattern"):
        Folder("zip://a::b.zip")


def test_one_file_one_archive_or_a_pattern_may_be_named(tmp_path):
    put(tmp_path, "a.txt", "b/c.txt", "b/d.pdf", "e[1]/f.txt")
    (tmp_path / "g.zip").write_bytes(archive({"1.txt": b"", "2.txt": b""}))

    def keys(path: str, cursor: str | None = None):
        return [item.key for item in items_of(Folder(f"{tmp_path}/{path}"), cursor)]

    assert keys("a.txt") == ["a.txt"]
    assert keys("g.zip") == ["g.zip::1.txt", "g.zip::2.txt"]
    assert keys("g.zip", '["g.zip", 1]') == ["g.zip::2.txt"]
    assert keys("a.txt", '["a.txt", 1]') == []
    assert keys("**/*.pdf") == ["b/d.pdf"]
    assert keys("b/*.txt") == ["c.txt"]
    assert keys("e[1]") == ["f.txt"]
    fsspec.filesystem("memory").pipe("/one/a.txt", b"x")
    (item,) = items_of(Folder("memory://one/a.txt"))
    assert (item.key, item.path) == ("a.txt", "memory:///one/a.txt")


def test_any_filesystem_is_walked_in_the_same_order(tmp_path):
    fs = fsspec.filesystem("memory")
    names = ("b.txt", "a/z.html", "a/b/c.md", "a-b.pdf", "a.txt", ".h/x.txt", "a/b.txt", "no.jpg")
    put(tmp_path, *names)
    (tmp_path / "a" / "m.zip").write_bytes(archive({"x.txt": b"1", "../y.txt": b"2"}))
    fs.put(str(tmp_path), "/walked", recursive=True)
    local, remote = items_of(Folder(tmp_path)), items_of(Folder("memory://walked"))
    assert [item.key for item in remote] == [item.key for item in local]
    assert reasons_of(remote) == reasons_of(local)
    assert remote[0].path.startswith("memory://")
    assert all(item.extra["modified"] for item in remote)
    pages = pages_of(Folder("memory://walked"))
    assert items_of(Folder("memory://walked"), pages[-2].cursor) == []
    assert items_of(Folder("memory://walked"), pages[-1].cursor) == remote  # there may be new ones
