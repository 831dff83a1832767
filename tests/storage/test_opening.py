"""Opening files of a corpus: all bytes arrive, whatever the storage does meanwhile."""

import errno
import io
import json
import os
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from paninifs import open_corpus
from paninifs.storage.corpus import opening
from paninifs.storage.corpus.opening import RetryingFile
from paninifs.storage.corpus.reading import AHEAD, FETCHES, read_stretches
from paninifs.storage.errors import CorpusChanged, StorageUnreachable
from paninifs.storage.filesystems import retry

ROWS = 30_000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Shorten waits to a few milliseconds."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.002)
    monkeypatch.setattr(retry, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setenv("PANINIFS_PATIENCE", "5")


class Flaky(io.FileIO):
    """Fails every third read, ends every seventh early; once failed, a handle stays broken."""

    reads = 0
    broken = False

    def read(self, size=-1):
        Flaky.reads += 1
        if self.broken or Flaky.reads % 3 == 0:
            self.broken = True
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if Flaky.reads % 7 == 0:
            return b""
        return super().read(max(1, size // 2) if size > 0 else size)


@pytest.fixture
def flaky(monkeypatch):
    """Make every local file that fsspec opens a flaky one."""
    Flaky.reads = 2
    monkeypatch.setattr(LocalFileSystem, "_open", lambda self, path, *args, **kw: Flaky(path))


def texts_of(corpus):
    index = corpus.index
    read = read_stretches(index.stretches(0, index.rows), corpus.opener, index.selection)
    rows = [batch for *_, batch in read]
    assert not any(batch.faults for batch in rows)
    return [text for batch in rows for text in batch.text.to_pylist()]


@pytest.mark.parametrize("small", [0, 1 << 30], ids=["as needed", "fetched whole"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.txt", "a.csv"])
def test_reading_survives_transient_failures(tmp_path, flaky, monkeypatch, small, name):
    import gzip

    monkeypatch.setattr(opening, "SMALL_BYTES", small)
    monkeypatch.setattr("paninifs.storage.corpus.reading.SMALL_BYTES", small)
    texts = [f"text {n * 7919}" for n in range(ROWS)]
    if name == "a.parquet":
        pq.write_table(pa.table({"text": texts}), tmp_path / name, row_group_size=7000)
    else:
        rows = {
            "a.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts),
            "a.txt": "".join(f"{text}\n" for text in texts),
            "a.csv": "text\n" + "".join(f"{text}\n" for text in texts),
        }[name.removesuffix(".gz")].encode()
        (tmp_path / name).write_bytes(gzip.compress(rows) if "gz" in name else rows)
    assert texts_of(open_corpus(tmp_path / name)) == texts
    assert Flaky.reads > 3


def test_reading_stops_if_the_file_was_replaced_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("first\n" * 300_000)
    corpus = open_corpus(path)
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    assert corpus.index.rows == 300_000

    class Replaced(io.FileIO):
        failed = False

        def read(self, size=-1):
            if self.tell() > 500_000 and not Replaced.failed:
                Replaced.failed = True
                path.write_text("other\n" * 300_000)
                os.utime(path, (1, 1))
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(LocalFileSystem, "_open", lambda self, path, *args, **kw: Replaced(path))
    with pytest.raises(CorpusChanged, match=r"a\.txt changed after it was indexed"):
        texts_of(corpus)


def test_an_unreachable_storage_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("a\nb\n")
    corpus = open_corpus(path)
    assert corpus.index.rows == 2
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")

    def away(self, path, **kw):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", path)

    monkeypatch.setattr(LocalFileSystem, "info", away)
    with pytest.raises(StorageUnreachable, match=r"reading file://.*a\.txt failed for 0 s"):
        texts_of(corpus)
    with pytest.raises(StorageUnreachable, match=r"listing .*a\.txt failed for 0 s"):
        open_corpus(path)  # rather than: no such file


def test_a_glob_on_unreachable_storage_is_not_a_missing_file(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a\n")
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")

    def away(path="."):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("os.scandir", away)
    with pytest.raises(StorageUnreachable):
        open_corpus(f"{tmp_path}/*.txt")
    with pytest.raises(StorageUnreachable):
        open_corpus(tmp_path)


def test_small_files_are_fetched_concurrently_and_few_are_held(tmp_path, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text(f"text {number}\n")
    corpus = open_corpus(tmp_path)
    assert corpus.index.rows == 200
    now, most, fetched, lock = 0, 0, 0, threading.Lock()
    cat_file = LocalFileSystem.cat_file

    def slow(self, path, **kw):
        nonlocal now, most, fetched
        with lock:
            now, fetched = now + 1, fetched + 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return cat_file(self, path, **kw)

    monkeypatch.setattr(LocalFileSystem, "cat_file", slow)
    index = corpus.index
    read = read_stretches(index.stretches(0, 200), corpus.opener, index.selection)
    assert next(read)[2].text.to_pylist() == ["text 0"]
    time.sleep(0.2)
    assert fetched <= AHEAD
    assert [rows.text.to_pylist()[0] for *_, rows in read] == [f"text {n}" for n in range(1, 200)]
    assert (most, fetched) == (FETCHES, 200)  # each fetched once


def test_closing_the_reader_stops_fetching(tmp_path):
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text(f"text {number}\n")
    corpus = open_corpus(tmp_path)
    index = corpus.index
    before = set(threading.enumerate())  # of runs in this process
    read = read_stretches(index.stretches(0, 200), corpus.opener, index.selection)
    next(read)
    read.close()
    names = [thread.name for thread in set(threading.enumerate()) - before]
    assert not any(name.startswith("paninifs-fetch") for name in names)


def test_a_retrying_file_is_a_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)))
    with RetryingFile("a", 256, lambda: path.open("rb")) as steady:
        assert steady.read(3) == b"\x00\x01\x02"
        assert steady.seek(-2, io.SEEK_END) == 254
        assert steady.read(10) == b"\xfe\xff"
        assert steady.read(10) == b""
        assert steady.seek(10) == 10
        assert steady.seek(5, io.SEEK_CUR) == steady.tell() == 15
        buffer = bytearray(4)
        assert steady.readinto(buffer) == 4
        assert bytes(buffer) == b"\x0f\x10\x11\x12"
        assert len(steady.read()) == 256 - 19
    assert steady.closed
