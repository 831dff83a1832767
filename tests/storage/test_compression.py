"""Compressed files: read to the end, with damage detected and told apart from a failing disk."""

import gzip
import io
import json
import os
import random
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from packed import PACK, PACKED

from paninifs import open_corpus
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import CorpusChanged, StorageUnreachable
from paninifs.storage.formats.compression import SUFFIXES, decompressed, split_suffix
from paninifs.storage.rows import Malformed

ENDINGS = pytest.mark.parametrize("ending", PACKED)

# Lines {"text": "0"} to "8" by another writer than Arrow, which writes no checksum.
WITH_CHECKSUM = bytes.fromhex(
    "28b52ffd247e6d0100c87b2274657874223a202230227d0a3132333435363738227d0a0800e010701c381838041c"
    "070e068e10db54021f3545e3"
)


def unpacked(data, ending):
    return decompressed(io.BytesIO(data), SUFFIXES[ending]).read()


def texts_of(corpus):
    """Return the texts of a corpus, and its faults as (first row, rows, reason)."""
    index = corpus.index
    batches = [
        batch
        for stretch in index.stretches(0, index.rows)
        for batch in read_stretch(stretch, corpus.opener, index.selection)
    ]
    faults = [(f.row, f.rows, f.reason) for batch in batches for f in batch.faults]
    return [text for batch in batches for text in batch.text.to_pylist()], faults


def noise(count):
    """Records that hardly compress, so that a file of them has many blocks."""
    rng = random.Random(0)
    return [f"{n} {rng.getrandbits(400):x}" for n in range(count)]


def lines(texts, name):
    """Encode texts in the format of a file name's ending."""
    if "jsonl" in name:
        return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)
    head = ["text"] if "csv" in name else []
    return "".join(f"{text}\n" for text in [*head, *texts]).encode()


def damage(path, change):
    """Change a file so that the index does not notice: same size, same time."""
    before = path.stat()
    path.write_bytes(change(path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


# --- the stream -----------------------------------------------------------------------------------


def test_the_ending_of_a_name_decides_the_compression():
    assert split_suffix("a.b.JSONL.ZST") == ("a.b.JSONL", "zstd")
    assert split_suffix("a.csv.bz2") == ("a.csv", "bz2")
    assert split_suffix("gz") == ("gz", None)
    assert set(SUFFIXES) == set(PACKED)


@ENDINGS
def test_every_member_frame_or_stream_is_read(ending):
    pack = PACK[ending]
    parts = [b"one\n" * 70_000, b"", b"two", b"\n" * 200_000]
    assert unpacked(b"".join(map(pack, parts)), ending) == b"".join(parts)
    assert unpacked(b"", ending) == b""


def test_skippable_zstd_frames_are_skipped():
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    packed = skipped + PACK[".zst"](b"a") + skipped + PACK[".zst"](b"b")
    assert unpacked(packed, ".zst") == b"ab"


@ENDINGS
def test_a_file_truncated_anywhere_is_damaged(ending):
    packed = PACK[ending](b"".join(b"%d\n" % n for n in range(99)))
    for length in range(1, len(packed)):
        with pytest.raises(Malformed, match=f"^damaged {SUFFIXES[ending]}: "):
            unpacked(packed[:length], ending)


@ENDINGS
def test_a_file_that_is_not_compressed_is_damaged(ending):
    for data in (b"plain words, and not few of them", PACK[ending](b"good") + b"and more"):
        with pytest.raises(Malformed, match=f"^damaged {SUFFIXES[ending]}: "):
            unpacked(data, ending)


def test_an_optional_zstd_checksum_is_verified():
    raw = b"".join(b'{"text": "%d"}\n' % n for n in range(9))
    assert unpacked(WITH_CHECKSUM, ".zst") == raw
    with pytest.raises(Malformed, match="Truncated"):
        unpacked(WITH_CHECKSUM[:-4], ".zst")
    with pytest.raises(Malformed, match="checksum"):
        unpacked(WITH_CHECKSUM[:-1] + b"\0", ".zst")


@ENDINGS
def test_memory_does_not_grow_with_the_file(ending):
    stream = decompressed(io.BytesIO(PACK[ending](bytes(64 << 20))), SUFFIXES[ending])
    before, read = pa.total_allocated_bytes(), 0
    while piece := stream.read1(1 << 20):
        assert len(piece) <= 1 << 20
        read += len(piece)
        assert pa.total_allocated_bytes() - before < 8 << 20
    assert read == 64 << 20


# --- damaged files --------------------------------------------------------------------------------


@ENDINGS
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
def test_a_truncated_file_is_not_counted_and_the_others_are_read(tmp_path, name, ending):
    (tmp_path / "b.txt").write_bytes(b"good\n")
    (tmp_path / (name + ending)).write_bytes(PACK[ending](lines(noise(500), name))[:-20])
    corpus = open_corpus(tmp_path)
    assert texts_of(corpus) == (["good"], [])
    (unlisted,) = corpus.index.uncounted
    assert unlisted.file.name == name + ending
    assert f"damaged {SUFFIXES[ending]}: " in unlisted.problem


@ENDINGS
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
def test_damage_after_counting_loses_few_rows_before_it(tmp_path, name, ending):
    texts = noise(9000)
    packed = lines(texts, name)
    cut = packed.index(texts[6000].encode())
    head, tail = PACK[ending](packed[:cut]), PACK[ending](packed[cut:])
    path = tmp_path / (name + ending)
    path.write_bytes(head + tail)
    corpus = open_corpus(path)
    assert corpus.index.rows == 9000
    damage(path, lambda data: head + b"XX" + tail[2:])
    found, faults = texts_of(corpus)
    lost = found.index(None)
    assert found == texts[:lost] + [None] * (9000 - lost)
    assert 0 <= 6000 - lost <= 1 + (64 << 10) // 100
    assert sum(rows for _, rows, _ in faults) == 9000 - lost
    assert {why.partition(": ")[0] for _, _, why in faults} == {f"damaged {SUFFIXES[ending]}"}
    again, _ = texts_of(corpus)
    assert again == found  # reading it again loses the same rows


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
@pytest.mark.parametrize("ending", [".gz", ".bz2"])
def test_a_wrong_checksum_is_detected(tmp_path, name, ending):
    path = tmp_path / (name + ending)
    path.write_bytes(PACK[ending](lines(map(str, range(9)), name)))
    corpus = open_corpus(path)
    assert corpus.index.rows == 9
    at = -8 if ending == ".gz" else -5  # of the file's own checksum
    damage(
        path, lambda data: data[:at] + bytes(c ^ 255 for c in data[at : at + 3]) + data[at + 3 :]
    )
    try:
        found, _ = texts_of(corpus)
    except CorpusChanged as error:
        assert "damaged" in str(error)  # noqa: PT017
    else:
        assert set(found) == {None}  # bz2 returns a block only after checking it


# --- storage that fails ---------------------------------------------------------------------------


class Lost(OSError):
    """A storage error of its own class, without an errno."""


FAILURES = [OSError(5, "Input/output error"), Lost("the mount went away"), EOFError("cut off")]


@pytest.fixture
def failing(monkeypatch):
    """Make every file fail when its bytes 40,000 to 40,001 are read."""

    def fail_with(failure):
        class Failing(io.FileIO):
            def checked(self, size):
                if self.tell() <= 40_000 < self.tell() + size:
                    raise failure

            def readinto(self, buffer):
                self.checked(len(buffer))
                return super().readinto(buffer)

            def read(self, size=-1):
                self.checked(size if size >= 0 else 1 << 40)
                return super().read(size)

        monkeypatch.setattr(LocalFileSystem, "_open", lambda self, path, *_, **__: Failing(path))

    return fail_with


def stored(tmp_path, name):
    """Write a file of some hundred kB."""
    path, texts = tmp_path / name, noise(6000)
    if name == "a.parquet":
        pq.write_table(pa.table({"text": texts}), path, row_group_size=1000)
    else:
        ending = split_suffix(name)[1] and path.suffix
        path.write_bytes(PACK[ending or ""](lines(texts, name)))
    assert path.stat().st_size > 150_000
    return open_corpus(path)


NAMES = ["a.parquet", *(f"a.{f}{e}" for f in ("jsonl", "txt", "csv") for e in PACK)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_storage_error_is_not_a_bad_row(tmp_path, failing, name, failure, monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.05")
    corpus = stored(tmp_path, name)
    (stretch, *_) = corpus.index.stretches(0, corpus.index.rows)
    failing(failure)
    with pytest.raises((OSError, EOFError), match=re.escape(str(failure))) as caught:
        list(read_stretch(stretch, corpus.opener, corpus.index.selection))
    assert failure in (caught.value, caught.value.__cause__)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a.parquet"])
def test_a_storage_error_is_not_a_bad_file(tmp_path, failing, name):
    corpus = stored(tmp_path, name)
    failing(Lost("the mount went away"))
    with pytest.raises(StorageUnreachable, match="the mount went away") as caught:
        corpus.index  # noqa: B018
    assert isinstance(caught.value.__cause__, Lost)


def test_an_unreachable_footer_is_not_a_bad_file(tmp_path, monkeypatch):
    corpus = stored(tmp_path, "a.parquet")

    class Failing(io.FileIO):
        def read(self, size=-1):
            raise Lost("the mount went away")

    monkeypatch.setattr(LocalFileSystem, "_open", lambda self, path, *_, **__: Failing(path))
    with pytest.raises(StorageUnreachable, match="the mount went away"):
        corpus.index  # noqa: B018


@ENDINGS
def test_damage_in_a_stream_without_positions_is_damage(ending):
    class Pipe(io.BytesIO):
        def tell(self):
            raise io.UnsupportedOperation("tell")

    with pytest.raises(Malformed, match=f"^damaged {SUFFIXES[ending]}: "):
        decompressed(Pipe(PACK[ending](b"words")[:-3]), SUFFIXES[ending]).read()


def test_a_broken_footer_is_a_bad_file_and_others_are_read(tmp_path):
    stored(tmp_path, "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    broken = data[:-200] + bytes(192) + data[-8:]
    (tmp_path / "b.parquet").write_bytes(broken)
    index = open_corpus(tmp_path).index
    assert index.rows == 6000
    (unlisted,) = index.uncounted
    assert unlisted.file.name == "b.parquet"
    assert unlisted.problem.startswith("not readable as parquet: no footer: ")


def test_gzip_padded_with_zeros_is_complete():
    assert unpacked(gzip.compress(b"a") + bytes(512), ".gz") == b"a"
