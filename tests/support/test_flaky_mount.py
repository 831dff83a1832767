"""The flaky mount has the requested faults, on plain paths and as a filesystem."""

import os
import time
from pathlib import Path
from threading import Thread

import fsspec
import pytest
from flaky_mount import FlakyMount

from paninifs.storage.targets.remote import FsspecTarget


@pytest.fixture
def mounted(tmp_path):
    """Make a mount with faults."""
    (tmp_path / "mount").mkdir()

    def make(*kinds, rate=1.0, **faults):
        return FlakyMount(
            str(tmp_path / "mount"), str(tmp_path / "log"), rate=rate, kinds=kinds, **faults
        )

    return make


def file_of(mount, name="a"):
    return str(Path(mount.root, name))


def filesystem(mount):
    return fsspec.filesystem("flaky", mount=mount)


def operations(mount, path):
    """Return every operation, ready to be called."""
    return {
        "read": lambda: mount.read(path),
        "write": lambda: mount.write(path, b"four"),
        "rename": lambda: mount.rename(path, f"{path}.new"),
        "remove": lambda: mount.remove(path),
        "make": lambda: mount.make(path),
        "list": lambda: mount.list(mount.root),
        "stat": lambda: mount.stat(path),
    }


# --- plain paths --------------------------------------------------------------------------------


def test_a_mount_without_faults(mounted):
    mount = mounted()
    mount.write(file_of(mount), b"one")
    mount.rename(file_of(mount), file_of(mount, "b"))
    assert mount.read(file_of(mount, "b")) == b"one"
    assert mount.stat(file_of(mount, "b")).st_size == 3
    with pytest.raises(FileExistsError):
        mount.write(file_of(mount, "b"), b"two", exclusive=True)
    mount.make(file_of(mount, "c/d"))
    assert mount.list(mount.root) == ["b", "c"]
    mount.remove(file_of(mount, "b"))
    assert mount.list(mount.root) == ["c"]
    with pytest.raises(OSError, match="not supported"):
        mount.link(file_of(mount, "b"), file_of(mount, "e"))
    assert mount.injected() == {}


@pytest.mark.parametrize(("kind", "why"), [("eio", "Errno 5"), ("enotconn", "Errno 107")])
def test_a_failed_operation_does_nothing(mounted, kind, why):
    mount = mounted(kind)
    mounted().write(file_of(mount), b"old")
    for operation in operations(mount, file_of(mount)).values():
        with pytest.raises(OSError, match=why):
            operation()
    assert mounted().list(mount.root) == ["a"]
    assert mounted().read(file_of(mount)) == b"old"
    assert mount.injected() == {kind: 7}


@pytest.mark.parametrize(("kind", "left"), [("torn", b"fo"), ("late", b"four")])
def test_a_failed_write_may_leave_something(mounted, kind, left):
    mount = mounted(kind)
    with pytest.raises(OSError, match="Errno 5"):
        mount.write(file_of(mount), b"four")
    assert mount.read(file_of(mount)) == left
    assert mount.injected() == {kind: 1}


@pytest.mark.parametrize(("kind", "left"), [("short", b"fo"), ("twice", b"fourfour")])
def test_a_write_may_silently_store_less_or_more(mounted, kind, left):
    mount = mounted(kind)
    mount.write(file_of(mount), b"four")
    assert mount.read(file_of(mount)) == left
    assert mount.injected() == {kind: 1}


def test_a_rename_may_be_a_copy_half_visible_to_readers(mounted):
    mount = mounted("copied", seconds=0.5)
    mount.write(file_of(mount), b"four")
    renaming = Thread(target=mount.rename, args=(file_of(mount), file_of(mount, "b")))
    renaming.start()
    seen = set()
    while renaming.is_alive():
        seen.update(mount.read(file_of(mount, n)) for n in mount.list(mount.root) if n == "b")
        time.sleep(0.01)
    assert b"fo" in seen
    assert mount.list(mount.root) == ["b"]
    assert mount.read(file_of(mount, "b")) == b"four"


def test_an_outage_affects_every_operation_until_it_ends(mounted):
    mount = mounted("outage", limit=1, seconds=0.3)
    for operation in operations(mount, file_of(mount)).values():
        with pytest.raises(OSError, match="Errno 107"):
            operation()
    assert mount.injected() == {"outage": 1, "away": 6}
    time.sleep(0.3)
    mount.write(file_of(mount), b"back")
    mount.outage(60)
    with pytest.raises(OSError, match="not connected"):
        mounted().read(file_of(mount))


def test_faults_have_rate_seed_match_and_limit(mounted, tmp_path):
    def failing(log, **faults):
        mount = FlakyMount(str(tmp_path), str(tmp_path.parent / log), kinds=("short",), **faults)
        for number in range(100):
            mount.write(tmp_path / str(number), b"four")
        return [n for n in range(100) if mount.read(tmp_path / str(n)) == b"fo"]

    first = failing("1", rate=0.3, seed=1)
    assert len(first) in range(15, 45)
    assert failing("2", rate=0.3, seed=1) == first != failing("3", rate=0.3, seed=2)
    assert failing("4", rate=1, match=r"^write .*/\d$") == list(range(10))
    assert failing("5", rate=1, limit=3) == [0, 1, 2]


def test_paths_outside_the_mount_do_not_fail(mounted, tmp_path):
    mount = mounted("eio")
    mount.write(tmp_path / "elsewhere", b"one")
    assert mount.read(tmp_path / "elsewhere") == b"one"


# --- flaky:// -----------------------------------------------------------------------------------


def test_a_target_on_a_mount_without_faults(mounted):
    mount = mounted()
    target = FsspecTarget(f"flaky://{mount.root}", {"mount": mount})
    target.put("a/b", b"one")
    assert target.create("a/c", b"two") is True
    assert target.create("a/c", b"three") is False
    assert target.get("a/b") == b"one"
    assert target.sizes() == {"a/b": 3, "a/c": 3}
    target.delete(["a/b"])
    assert target.get("a/b") is None


def test_the_filesystem_has_the_mounts_faults(mounted):
    mounted().write(file_of(mounted()), b"whole")
    path = f"flaky://{file_of(mounted())}"
    for operation, ask in {
        "read": lambda fs: fs.cat_file(path),
        "write": lambda fs: fs.pipe_file(path, b"four"),
        "stat": lambda fs: fs.info(path),
        "list": lambda fs: fs.ls(mounted().root),
        "remove": lambda fs: fs.rm_file(path),
        "rename": lambda fs: fs.mv(path, f"{path}.new"),
        "make": lambda fs: fs.makedirs(f"{path}.folder"),
    }.items():
        with pytest.raises(OSError, match="Input/output"):
            ask(filesystem(mounted("eio", match=f"^{operation} ")))
    assert mounted().injected() == {"eio": 7}
    assert mounted().read(file_of(mounted())) == b"whole"


def test_reading_may_fail_in_the_middle_of_a_file(mounted):
    mounted().write(file_of(mounted()), bytes(3 << 20))
    fs = filesystem(mounted("eio", match="^read "))
    with fs.open(file_of(mounted())) as file, pytest.raises(OSError, match="Input/output"):
        file.read(10)


def test_writes_through_the_filesystem_can_be_short(mounted):
    fs = filesystem(mounted("short"))
    fs.pipe_file(file_of(mounted()), b"four")
    assert fs.cat_file(file_of(mounted())) == b"fo"


def written_by_a_worker(url, mount):
    fs, path = fsspec.url_to_fs(url, mount=mount)
    fs.pipe_file(path, b"four")
    return os.getpid()


def test_workers_share_the_mount_without_setup(mounted, client):
    mount = mounted("short", limit=3)
    urls = [f"flaky://{file_of(mount, str(n))}" for n in range(8)]
    writers = client.gather(client.map(written_by_a_worker, urls, mount=mount, pure=False))
    assert os.getpid() not in writers
    assert mount.injected() == {"short": 3}
    sizes = [mount.stat(file_of(mount, name)).st_size for name in mount.list(mount.root)]
    assert sorted(sizes) == [2] * 3 + [4] * 5


# --- peculiarities of fsspec --------------------------------------------------------------------


def test_fsspec_takes_a_failing_lookup_for_a_missing_file(mounted):
    mounted().write(file_of(mounted()), b"four")
    fs = filesystem(mounted("enotconn"))
    assert fs.exists(file_of(mounted())) is False
    assert fs.isfile(file_of(mounted())) is False


def test_fsspec_takes_an_unlistable_folder_for_empty(mounted):
    mounted().write(file_of(mounted()), b"four")
    fs = filesystem(mounted("enotconn", match="^list "))
    assert fs.find(mounted().root) == []
    with pytest.raises(OSError, match="not connected"):
        fs.find(mounted().root, on_error="raise")
