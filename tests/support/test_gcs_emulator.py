"""The emulated Google Cloud Storage behaves as documented, seen through gcsfs."""

import os
import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import fsspec
import pytest

BIG = 3 << 20


@pytest.fixture
def bucket(gcs):
    return gcs.make_bucket(f"bucket-{uuid.uuid4().hex}")


@pytest.fixture
def fs(gcs):
    return fsspec.filesystem("gs", **gcs.storage_options)


def in_another_process(work, *arguments):
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def size_elsewhere(url, options):
    fs, path = fsspec.url_to_fs(url, **pickle.loads(options))
    return fs.info(path)["size"]


# --- without faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\r", b"a\r\n", b"\n--==0", os.urandom(BIG)])
def test_bytes_are_read_as_written(fs, bucket, data):
    fs.pipe_file(f"{bucket}/a", data)
    assert fs.cat_file(f"{bucket}/a") == data
    fs.pipe_file(f"{bucket}/in pieces%2F+", data, chunksize=1 << 20)
    assert fs.cat_file(f"{bucket}/in pieces%2F+") == data
    with fs.open(f"{bucket}/b", "wb", block_size=1 << 20) as file:
        file.write(data)
    assert fs.cat_file(f"{bucket}/b") == data
    fs.invalidate_cache()
    assert set(fs.find(bucket)) == {f"{bucket}/{name}" for name in ("a", "b", "in pieces%2F+")}


def test_other_processes_see_it(gcs, fs, bucket):
    fs.pipe_file(f"{bucket}/a", b"four")
    url, options = gcs.url(f"{bucket}/a"), pickle.dumps(gcs.storage_options)
    assert in_another_process(size_elsewhere, url, options) == 4


def test_every_form_of_a_range(fs, bucket):
    fs.pipe_file(f"{bucket}/a", bytes(range(100)))
    assert fs.cat_file(f"{bucket}/a", 10, 20) == bytes(range(10, 20))
    assert fs.cat_file(f"{bucket}/a", 90, 200) == bytes(range(90, 100))
    assert fs.cat_file(f"{bucket}/a", 95) == bytes(range(95, 100))
    assert fs.cat_file(f"{bucket}/a", -3) == bytes(range(97, 100))
    assert fs.cat_file(f"{bucket}/a", -300) == bytes(range(100))
    with pytest.raises(Exception, match="not satisfiable"):
        fs.cat_file(f"{bucket}/a", 100, 200)


def test_a_listing_has_pages(gcs, fs, bucket):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: fs.pipe_file(f"{bucket}/f/{n:04}", b"."), range(2100)))
    assert len(fs.find(f"{bucket}/f")) == 2100
    assert len(gcs.requests(rf"^GET .*/{bucket}/o\?prefix=f/$")) == 3


def test_every_write_has_a_generation_to_read(fs, bucket):
    seen = []
    for number in range(20):
        fs.pipe_file(f"{bucket}/a", b"%d" % number, chunksize=50 << 20 if number % 2 else 1)
        fs.invalidate_cache()
        seen.append(int(fs.info(f"{bucket}/a")["generation"]))
    assert seen == sorted(set(seen))
    assert fs.ls(bucket, detail=True)[0]["generation"] == str(seen[-1])
    assert fs.cat_file(f"{bucket}/a", generation=str(seen[-1])) == b"19"
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{bucket}/a", generation=str(seen[-2]))


@pytest.mark.parametrize("chunksize", [50 << 20, 1 << 20])
def test_an_existing_object_is_not_created(fs, bucket, chunksize):
    data = bytes(BIG)
    fs.pipe_file(f"{bucket}/a", data, mode="create", chunksize=chunksize)
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{bucket}/a", data + b".", mode="create", chunksize=chunksize)
    assert fs.info(f"{bucket}/a")["size"] == BIG
    fs.rm_file(f"{bucket}/a")
    fs.pipe_file(f"{bucket}/a", data, mode="create", chunksize=chunksize)


@pytest.mark.parametrize("chunksize", [50 << 20, 1])
def test_one_of_eight_concurrent_creates_succeeds(fs, bucket, chunksize):
    def create(number):
        try:
            fs.pipe_file(f"{bucket}/a", b"%d" % number, mode="create", chunksize=chunksize)
        except FileExistsError:
            return False
        return True

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        assert won.count(True) == 1
        assert fs.cat_file(f"{bucket}/a") == b"%d" % won.index(True)
        fs.rm_file(f"{bucket}/a")


def test_a_generation_can_be_a_condition(fs, bucket):
    fs.pipe_file(f"{bucket}/a", b"1")
    first = fs.info(f"{bucket}/a")["generation"]
    fs.pipe_file(f"{bucket}/a", b"2")

    def delete(generation):
        fs.call("DELETE", "b/{}/o/{}", bucket, "a", ifGenerationMatch=generation)

    with pytest.raises(FileExistsError):  # gcsfs's error for a 412
        delete(first)
    fs.invalidate_cache()
    delete(fs.info(f"{bucket}/a")["generation"])
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{bucket}/a")


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["429", "503", "reset", "lost", "closed", "truncated"])
def test_gcsfs_retries_a_read(gcs, fs, bucket, kind):
    fs.pipe_file(f"{bucket}/a", b"whole")
    gcs.inject(rate=1, kinds=[kind], match="^GET /download", limit=1)
    assert fs.cat_file(f"{bucket}/a") == b"whole"
    assert gcs.injected() == {kind: 1}


@pytest.mark.parametrize("kind", ["429", "503", "reset", "lost"])
def test_gcsfs_retries_a_write_and_meets_its_own(gcs, fs, bucket, kind):
    gcs.inject(rate=1, kinds=[kind], match=f"^POST .*/{bucket}/o/a", limit=1)
    if kind == "lost":
        with pytest.raises(FileExistsError):
            fs.pipe_file(f"{bucket}/a", b"mine", mode="create")
    else:
        fs.pipe_file(f"{bucket}/a", b"mine", mode="create")
    assert fs.cat_file(f"{bucket}/a") == b"mine"
    assert gcs.injected() == {kind: 1}
    assert len(gcs.requests(f"^POST .*/{bucket}/o/a")) == 2


@pytest.mark.parametrize("piece", [1, 2, 3])
def test_a_piece_of_an_upload_can_be_resent(gcs, fs, bucket, piece):
    gcs.inject(rate=1, kinds=["lost"], match=f"^POST .*/{bucket}/o/a", after=piece, limit=1)
    data = os.urandom(BIG)
    fs.pipe_file(f"{bucket}/a", data, mode="create", chunksize=1 << 20)
    assert gcs.injected() == {"lost": 1}
    assert fs.cat_file(f"{bucket}/a") == data


def test_an_upload_can_be_cancelled(gcs, fs, bucket):
    file = fs.open(f"{bucket}/a", "wb", block_size=1 << 20, autocommit=False)
    file.write(bytes(BIG))
    file.flush()
    file.discard()
    fs.invalidate_cache()
    assert fs.find(bucket) == []


def test_retrying_a_deletion_finds_nothing(gcs, fs, bucket):
    fs.pipe_file(f"{bucket}/a", b".")
    gcs.inject(rate=1, kinds=["lost"], match="^DELETE", limit=1)
    with pytest.raises(FileNotFoundError):
        fs.rm_file(f"{bucket}/a")
    assert gcs.injected() == {"lost": 1}


def test_a_slow_response_succeeds(gcs, fs, bucket):
    fs.pipe_file(f"{bucket}/a", b"whole")
    gcs.inject(rate=1, kinds=["slow"], match="^GET /download", limit=1, seconds=0.3)
    assert fs.cat_file(f"{bucket}/a") == b"whole"
    assert gcs.injected() == {"slow": 1}


def test_the_same_requests_fail_in_every_order(gcs, fs, bucket):
    def failing(order):
        gcs.reset()
        gcs.inject(rate=0.3, kinds=["slow"], seed=5, match=bucket, seconds=0)
        for number in order:
            fs.pipe_file(f"{bucket}/{number}", b".")
        return gcs.injected()["slow"]

    assert 0 < failing(range(40)) == failing(reversed(range(40))) < 40


def test_a_reset_clears_everything(gcs, fs, bucket):
    gcs.inject(rate=1, kinds=["slow"], seconds=0)
    fs.pipe_file(f"{bucket}/a", b".")
    assert gcs.injected() == {"slow": 1}
    gcs.reset()
    assert (gcs.injected(), gcs.requests()) == ({}, [])
    fs.pipe_file(f"{bucket}/a", b".")
    assert gcs.injected() == {}
    assert gcs.requests() == [f"POST /upload/storage/v1/b/{bucket}/o/a"]
