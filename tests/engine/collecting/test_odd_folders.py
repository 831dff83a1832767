"""Folders that are collected although something in them is odd: nothing ends the whole."""

from __future__ import annotations

import os
import zipfile

import pytest
from collecting import collected, rows

import paninifs as pf
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.pipeline.item_files import ItemFiles
from paninifs.engine.collecting.sources.bulk import walking
from paninifs.engine.collecting.sources.document_folder import Folder
from paninifs.storage.errors import StorageRefused
from paninifs.storage.targets.open import open_target

TEXT = "A text about ducks, long enough to be one. "


def gathered(folder, tmp_path):
    corpus = open_target(tmp_path / "corpus")
    collected(Folder(folder), "", tmp_path / "cache", target=corpus)
    return corpus


def documents(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{TEXT}{number}")
    return folder


def test_a_subfolder_that_may_not_be_listed_is_one_failed_item(tmp_path, monkeypatch):
    folder = documents(tmp_path / "in", "a.txt", "b/x.txt", "c.txt", "d/y.txt")
    listdir = os.listdir

    def refused(path="."):
        if os.fspath(path).endswith(("/b", "/d")):
            raise (PermissionError if os.fspath(path).endswith("/b") else FileNotFoundError)(13)
        return listdir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", refused)
        corpus = gathered(folder, tmp_path)
    assert [row["id"] for row in rows(corpus)] == ["a.txt", "c.txt"]
    counts = Ledger.read(corpus).state.sources[0].counts
    assert counts.reasons == {"forbidden": 1, "not-found": 1}
    gathered(folder, tmp_path)  # once it may be listed, what is in it comes
    assert [row["id"] for row in rows(corpus)] == ["a.txt", "c.txt", "b/x.txt", "d/y.txt"]


def test_files_that_come_later_are_found_wherever_they_are(tmp_path):
    folder = documents(tmp_path / "in", "b.txt", "d/e.txt")
    corpus = gathered(folder, tmp_path)
    (folder / "a.txt").write_text("One that comes before the others.")
    (folder / "d/a.txt").write_text("One that comes between the others.")
    for _ in range(2):
        gathered(folder, tmp_path)
        assert [row["id"] for row in rows(corpus)] == ["b.txt", "d/e.txt", "a.txt", "d/a.txt"]
    assert Ledger.read(corpus).state.sources[0].counts.decided == 4


def test_files_that_may_not_be_looked_at(tmp_path, monkeypatch):
    folder = documents(tmp_path / "in", "a.txt", "b.txt")
    stat = os.stat

    def refused(path, **options):
        if os.fspath(path).endswith("in/a.txt"):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refused)
        corpus = gathered(folder, tmp_path)
    assert [row["id"] for row in rows(corpus)] == ["b.txt"]
    assert Ledger.read(corpus).state.sources[0].counts.reasons == {"forbidden": 1}


@pytest.mark.parametrize("seconds", [1e15, -1e15, float("inf")])
def test_times_that_no_calendar_has(seconds):
    assert walking._local_time(seconds) == ""


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = documents(tmp_path / os.fsdecode(b"in\xff"), "a.txt")
    corpus = tmp_path / os.fsdecode(b"corpus\xfe")
    for _ in range(2):
        found = pf.collect(
            Folder(folder), corpus, progress=False, processes=1, cache=tmp_path / "cache"
        )
        assert found.counts["kept"] == 1
    assert "\\udcff" in next((corpus / "_collection/records").iterdir()).read_text()


def archive(path, names):
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            opened.writestr(name, f"{TEXT}{name}")
    return path


def test_the_directory_of_an_archive_is_read_once(tmp_path, monkeypatch):
    archive(tmp_path / "a.zip", [f"{number}.txt" for number in range(50)])
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments):
            opened.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    files = ItemFiles()
    for number in range(50):
        name = f"{number}.txt"
        assert files.read(f"{tmp_path}/a.zip::{name}").decode() == f"{TEXT}{name}"
    assert len(opened) == 1
    files.close()


def test_an_archive_is_closed_once_nobody_reads_it(tmp_path):
    paths = [f"{archive(tmp_path / name, ['x.txt'])}" for name in ("a.zip", "b.zip")]
    files = ItemFiles()
    with files._opened(paths[0]) as first:
        assert files.read(f"{paths[1]}::x.txt")  # takes its place
        assert first.read("x.txt")
    assert first.fp is None
    with files._opened(paths[1]) as second:
        files.close()
        assert second.read("x.txt")
    assert second.fp is None


def test_a_missing_member_and_a_file_that_is_no_archive(tmp_path):
    archive(tmp_path / "a.zip", ["x.txt"])
    (tmp_path / "b.zip").write_bytes(b"no archive")
    files = ItemFiles()
    for name, reason in (("a.zip::y", "not-found"), ("b.zip::x", "damaged"), ("", "unknown-type")):
        with pytest.raises(NotKept) as refusal:
            files.read(f"{tmp_path}/{name}")
        assert refusal.value.reason == reason
    files.close()


@pytest.mark.parametrize("place", ["cache", "XDG_CACHE_HOME"])
@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_working_folders_that_cannot_be_made_are_named(kind, place, tmp_path, monkeypatch):
    folder = documents(tmp_path / "in", "a.txt")
    bad = tmp_path / "bad"
    if kind == "file":
        bad.write_text("a file")
    else:
        bad.mkdir()
        monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(bad)))
    if place != "cache":
        monkeypatch.setenv(place, str(bad))
    cache = bad if place == "cache" else tmp_path / "cache"
    with pytest.raises(StorageRefused, match=f"{bad}.* needed for working files.*{place}"):
        pf.collect(Folder(folder), tmp_path / "corpus", progress=False, cache=cache)
