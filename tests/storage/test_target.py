"""One suite for targets of every kind: whole objects, on a disk and behind fsspec."""

import os
import pickle
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from paninifs.storage.errors import ResultsMismatch, UnsafeKey
from paninifs.storage.targets import local as module
from paninifs.storage.targets.guarded import ReadBackTarget, RetryingTarget
from paninifs.storage.targets.local import LocalTarget, is_temporary
from paninifs.storage.targets.open import open_target
from paninifs.storage.targets.remote import FsspecTarget


@pytest.fixture(params=["local", "fsspec", "guarded local", "guarded fsspec", "gcs", "drive"])
def target(request, tmp_path):
    """A target of each kind, empty."""
    kind, name = request.param, uuid.uuid4().hex
    if kind == "gcs":
        gcs = request.getfixturevalue("gcs")
        yield open_target(f"gs://{gcs.make_bucket(name)}/store.zarr/", gcs.storage_options)
        return
    if kind == "drive":
        drive = request.getfixturevalue("drive")
        yield open_target(f"gdrive://{name}/store.zarr/", drive.storage_options)
        return
    if "local" in kind:
        plain = LocalTarget(tmp_path / "store.zarr")
    else:
        plain = FsspecTarget(f"memory://{name}/store.zarr/", {})
    yield RetryingTarget(ReadBackTarget(plain)) if "guarded" in kind else plain
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)


@pytest.fixture
def local(tmp_path):
    return LocalTarget(tmp_path / "store.zarr")


def race(count, work):
    """Run `work(number)` in threads that all start at once; return what they return."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(number):
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- every target -------------------------------------------------------------------------------


def test_get_returns_what_was_put(target):
    assert target.get("a/b/c") is None
    target.put("a/b/c", b"one")
    target.put("zarr.json", b"")
    assert (target.get("a/b/c"), target.get("zarr.json")) == (b"one", b"")
    assert target.get("a/b/d") is None
    assert target.get("a/b/c/d") is None


def test_a_put_replaces(target):
    target.put("a", b"a long one")
    target.put("a", b"short")
    assert target.get("a") == b"short"
    assert target.sizes() == {"a": 5}


def test_put_all_writes_the_objects_of_all_steps(target):
    target.put("a/1", b"old")
    many = {f"a/{n}": b"%d" % n for n in range(12)}
    target.put_all(many, {}, {"b/c": b"last"})
    target.put_all()
    assert target.get("a/1") == b"1"
    assert target.get("b/c") == b"last"
    assert target.sizes() == {key: len(data) for key, data in many.items()} | {"b/c": 4}


def test_a_step_that_fails_is_the_last(target):
    with pytest.raises(UnsafeKey):
        target.put_all({"a": b"1"}, {"../b": b"2", "c": b"3"}, {"d": b"4"})
    assert "d" not in target.sizes()


def test_create_writes_only_if_there_is_nothing(target):
    assert target.create("a/b", b"first") is True
    assert target.create("a/b", b"second") is False
    assert target.get("a/b") == b"first"
    target.delete(["a/b"])
    assert target.create("a/b", b"third") is True
    assert target.get("a/b") == b"third"


def test_one_of_eight_concurrent_creates_succeeds(target):
    for number in range(30):
        won = race(8, lambda n, key=f"folder-{number}/key": target.create(key, b"from %d" % n))
        assert sorted(won) == [False] * 7 + [True]
        assert target.get(f"folder-{number}/key") == b"from %d" % won.index(True)
    assert len(target.sizes()) == 30


def test_create_is_exclusive_despite_a_stale_lookup(monkeypatch):
    target = FsspecTarget(f"memory://{uuid.uuid4().hex}", {})
    target.put("a", b"first")
    memory = type(fsspec.filesystem("memory"))
    exists, looked = memory.exists, []

    def too_early(self, path, **options):
        looked.append(path)
        return len(looked) > 1 and exists(self, path, **options)

    monkeypatch.setattr(memory, "exists", too_early)
    assert target.create("a", b"second") is False
    assert len(looked) > 1
    assert target.get("a") == b"first"
    assert RetryingTarget(target).create("a", b"second") is False
    # A write of its own, whose answer was lost:
    assert RetryingTarget(target).create("a", b"first") is True
    target.delete(["a"])


def test_delete_removes_objects_and_ignores_missing_ones(target):
    for key in ("a/b/c", "a/d", "e"):
        target.put(key, b".")
    target.delete(["a/b/c", "not/there", "e"])
    assert target.sizes() == {"a/d": 1}
    assert target.get("a/b/c") is None
    target.delete(iter(["a/d"]))
    target.delete([])
    assert target.sizes() == {}


def test_sizes_lists_one_folder_only(target):
    assert target.sizes() == {}
    assert target.sizes("a") == {}
    written = {"a/b/c": 3, "a/d": 1, "ab/e": 2, "a.json": 4, "f": 0}
    for key, size in written.items():
        target.put(key, bytes(size))
    assert target.sizes() == written
    assert target.sizes("a") == {"a/b/c": 3, "a/d": 1}
    assert target.sizes("a/b") == {"a/b/c": 3}
    assert target.sizes("a/x") == {}


def test_sizes_sees_what_another_target_wrote(target):
    assert target.sizes("a") == {}
    other = pickle.loads(pickle.dumps(target))
    other.put("a/b", b"..")
    assert target.sizes("a") == {"a/b": 2}
    assert (other.url, dict(other.storage_options)) == (target.url, dict(target.storage_options))


def test_writing_leaves_no_other_files(target):
    target.put("a/b", b"1")
    target.create("a/c", b"2")
    target.create("a/c", b"3")
    assert target.sizes() == {"a/b": 1, "a/c": 1}


# --- a folder -----------------------------------------------------------------------------------


def test_a_reader_never_sees_a_torn_object(local):
    versions = [bytes([number]) * 300_000 for number in range(8)]
    local.put("a/b", versions[0])
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(local.get("a/b"))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in versions * 4:
        local.put("a/b", version)
    done.set()
    for reader in readers:
        reader.join()
    assert {data in versions for data in seen} == {True}
    assert len({data[0] for data in seen}) > 1  # the readers were there meanwhile
    assert local.sizes() == {"a/b": 300_000}


def test_a_stopped_put_leaves_the_old_object(local, monkeypatch):
    local.put("a/b", b"old")

    class Killed(BaseException):
        pass

    def killed(handle):
        raise Killed

    monkeypatch.setattr(module.os, "fsync", killed)
    with pytest.raises(Killed):
        local.put("a/b", b"new")
    monkeypatch.undo()
    assert local.get("a/b") == b"old"
    left = set(local.sizes()) - {"a/b"}
    assert len(left) == 1
    assert all(is_temporary(key) for key in left)


@pytest.fixture
def steps(monkeypatch):
    """What is done to files and folders, in order."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see what is synced")
    steps, sync, replace = [], os.fsync, module.Path.replace

    def fsync(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append("data" if path.is_file() else f"folder {path.name}")
        sync(handle)

    def renaming(self, path):
        steps.append(f"name {path.name}")
        return replace(self, path)

    monkeypatch.setattr(module.os, "fsync", fsync)
    monkeypatch.setattr(module.Path, "replace", renaming)
    return steps


def test_a_put_syncs_data_renames_and_syncs_the_folder(local, steps):
    local.put("a/b", b"1")
    local.put("a/b", b"2")
    new = ["data", "name b", "folder a", "folder store.zarr"]
    assert steps[1:] == [*new, "data", "name b", "folder a"]


def test_put_all_syncs_each_folder_once_per_step(local, steps):
    for key in ("a/old", "b/old"):
        local.put(key, b".")
    steps.clear()
    local.put_all({f"a/{n}": b"." for n in range(3)}, {"a/3": b".", "b/4": b"."})
    first = ["data"] * 5 + ["name 0", "name 1", "name 2", "folder a", "name 3", "name 4"]
    assert steps[:-2] == first
    assert sorted(steps[-2:]) == ["folder a", "folder b"]


def test_a_failing_put_all_leaves_nothing(local, monkeypatch):
    local.put("a/1", b"old")
    write = local._write_file

    def full(path, data):
        write(path, data)
        if data == b"too much":
            raise OSError(module.errno.ENOSPC, "full")

    monkeypatch.setattr(local, "_write_file", full)
    with pytest.raises(OSError, match="full"):
        local.put_all({f"a/{n}": b"new" for n in range(9)}, {"a/9": b"too much"})
    assert local.sizes() == {"a/1": 3}
    assert local.get("a/1") == b"old"


@pytest.mark.parametrize(("seconds", "alone"), [(0, True), (0.001, False)])
def test_only_a_disk_that_syncs_slowly_has_threads(local, monkeypatch, seconds, alone):
    writing, write = set(), local._write_file

    def recording(path, data):
        writing.add(threading.current_thread())
        write(path, data)

    monkeypatch.setattr(module.os, "fsync", lambda handle: time.sleep(seconds) if seconds else None)
    monkeypatch.setattr(local, "_write_file", recording)
    local.put_all({f"a/{n}": b"." for n in range(8)})
    assert threading.current_thread() not in writing  # nothing is known of the disk yet
    local.put_all({f"a/{n}": b"." for n in range(8)})
    assert (threading.current_thread() in writing) is alone


def test_temporary_files_are_recognized_by_name():
    assert is_temporary("dhatu/c/0/.writing-0a1b")
    assert is_temporary(".writing-0a1b")
    assert not is_temporary("dhatu/c/0/0")
    assert not is_temporary(".writing-folder/c")


def test_create_is_exclusive_without_hard_links(local, monkeypatch):
    def no_links(*args):
        raise OSError(module.errno.ENOTSUP, "no links here")

    monkeypatch.setattr(module.os, "link", no_links)
    won = race(8, lambda number: local.create("a/b", b"from %d" % number))
    assert sorted(won) == [False] * 7 + [True]
    assert local.get("a/b") == b"from %d" % won.index(True)
    assert local.sizes() == {"a/b": 6}


def test_a_place_where_no_folder_can_be_made_is_an_error(tmp_path, monkeypatch):
    made = Path.mkdir

    def mkdir(path, *args, **kwargs):
        if path.parent == tmp_path:  # as in /proc
            raise FileNotFoundError(module.errno.ENOENT, "No such file or directory", str(path))
        made(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    target = open_target(tmp_path / "corpus")
    with pytest.raises(FileNotFoundError, match="corpus"):
        target.create("a/b.json", b"{}")


def test_a_failing_disk_is_an_error(local, monkeypatch):
    def fails(*args):
        raise OSError(module.errno.EIO, "broken")

    monkeypatch.setattr(module.os, "link", fails)
    with pytest.raises(OSError, match="broken"):
        local.create("a/b", b"1")
    assert local.sizes() == {}


def test_folders_are_removed_with_their_last_object(local, tmp_path):
    local.put("a/b/c", b"1")
    local.put("a/d", b"1")
    local.delete(["a/b/c"])
    assert not (tmp_path / "store.zarr/a/b").exists()
    assert (tmp_path / "store.zarr/a/d").exists()


# --- opening ------------------------------------------------------------------------------------


def test_paths_are_folders_and_urls_go_to_fsspec(tmp_path):
    here = tmp_path / "store.zarr"
    for given in (here, str(here), f"file://{here}"):
        opened = open_target(given)
        assert (opened.url, opened.storage_options) == (str(here), {})
        opened.put("a", b"1")
        assert (here / "a").read_bytes() == b"1"
        opened.delete(["a"])
    assert open_target("memory://somewhere/else").url == "memory://somewhere/else"
    assert not here.exists()  # opening creates nothing


def test_a_file_is_refused(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ResultsMismatch, match="notes is a file; results go into a folder"):
        open_target(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/notes", b"mine")
    try:
        with pytest.raises(ResultsMismatch, match="memory://notes is a file"):
            open_target("memory://notes")
    finally:
        memory.rm("/notes")
