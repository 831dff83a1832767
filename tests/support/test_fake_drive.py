"""The fake Google Drive behaves as documented, seen through gdrive_fsspec.

Peculiarities of `gdrive_fsspec` itself that a target has to handle are recorded here too.
"""

import os
import uuid
from http.client import IncompleteRead
from threading import Barrier, Thread

import fsspec
import pytest
from fake_drive import FOLDER
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload

import paninifs as pf

PIECE = 256 << 10


def connected(drive, **options):
    """Return a filesystem with empty caches."""
    return fsspec.filesystem("gdrive", **drive.storage_options, skip_instance_cache=True, **options)


@pytest.fixture
def fs(drive):
    return connected(drive)


@pytest.fixture
def folder(fs):
    """The name of a folder for one test."""
    name = f"folder-{uuid.uuid4().hex}"
    fs.mkdir(name)
    fs.ls(name)
    return name


def listed(fs, folder, **more):
    """List a folder's files through the API itself."""
    query = f"'{fs.info(folder)['id']}' in parents and trashed = false"
    return fs.files.list(q=query, **more).execute()


# --- without faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", os.urandom(PIECE), os.urandom(3 * PIECE + 5)])
def test_bytes_are_read_as_written(drive, fs, folder, data):
    with fs.open(f"{folder}/a", "wb", block_size=1 << 20) as file:
        file.write(data)
    other = connected(drive)
    assert other.cat_file(f"{folder}/a") == data
    assert other.info(f"{folder}/a")["size"] == len(data)
    assert other.cat_file(f"{folder}/a", 2, 4) == data[2:4]
    (found,) = listed(other, folder, fields="files(size, md5Checksum, version)")["files"]
    assert set(found) == {"size", "md5Checksum", "version"}


def test_full_pieces_make_a_file(drive, fs, folder):
    data = os.urandom(4 * PIECE + 5)
    with fs.open(f"{folder}/a", "wb", block_size=PIECE) as file:
        for start in range(0, len(data), PIECE):
            file.write(data[start : start + PIECE])
    assert connected(drive).cat_file(f"{folder}/a") == data
    assert len(drive.requests(f"^PUT .*/{folder}/a$")) == 5


def written_by_a_worker(url, options):
    fs, path = fsspec.url_to_fs(url, **options)
    fs.ls(path)
    fs.pipe_file(f"{path}/of a worker", b"%d" % os.getpid())
    return os.getpid()


def test_workers_share_it_without_configuration(drive, fs, folder, client):
    url, options = drive.url(folder), drive.storage_options
    writer = client.submit(written_by_a_worker, url, options, pure=False).result()
    assert writer != os.getpid()
    assert connected(drive).cat_file(f"{folder}/of a worker") == b"%d" % writer


def test_a_corpus_is_read_from_it(drive, fs, folder):
    fs.pipe_file(f"{folder}/a.jsonl", b'{"text": "one"}\n{"text": "two"}\n')
    corpus = pf.open_corpus(drive.url(f"{folder}/a.jsonl"), storage_options=drive.storage_options)
    assert corpus.index.rows == 2


def test_a_listing_has_pages_an_order_and_terms(fs, folder):
    parent = fs.info(folder)["id"]
    for name in ("b", "it's", "a"):
        fs.files.create(body={"name": name, "parents": [parent]}).execute()
    first = listed(fs, folder, orderBy="name", pageSize=2, fields="nextPageToken, files(name)")
    assert first["files"] == [{"name": "a"}, {"name": "b"}]
    second = listed(fs, folder, orderBy="name", pageSize=2, pageToken=first["nextPageToken"])
    assert [file["name"] for file in second["files"]] == ["it's"]
    assert "nextPageToken" not in second
    found = fs.files.list(q=rf"name = 'it\'s' and '{parent}' in parents").execute()["files"]
    assert len(found) == 1
    fs.files.update(fileId=found[0]["id"], body={"trashed": True}).execute()
    assert len(listed(fs, folder)["files"]) == 2
    assert fs.files.list(q=f"mimeType = '{FOLDER}' and name = '{folder}'").execute()["files"]
    with pytest.raises(HttpError, match="Invalid Value"):
        fs.files.list(q="size > 3").execute()


def test_an_id_is_created_once_and_overwritten(fs, folder):
    (key,) = fs.files.generateIds(count=1).execute()["ids"]
    meta = {"id": key, "name": "a", "parents": [fs.info(folder)["id"]]}

    def create(data):
        fs.files.create(body=meta, media_body=MediaInMemoryUpload(data)).execute()

    create(b"first\r")
    with pytest.raises(HttpError, match="already exists"):
        create(b"second")
    assert fs.files.get_media(fileId=key).execute() == b"first\r"
    before = fs.files.get(fileId=key, fields="version").execute()
    fs.files.update(fileId=key, media_body=MediaInMemoryUpload(b"third")).execute()
    assert fs.files.get_media(fileId=key).execute() == b"third"
    assert fs.files.get(fileId=key, fields="version").execute() != before
    fs.files.update(fileId=key, body={"name": "b"}).execute()
    assert [file["name"] for file in listed(fs, folder)["files"]] == ["b"]


def test_files_move_and_folders_take_their_contents(fs, folder):
    fs.makedirs(f"{folder}/in")
    fs.ls(f"{folder}/in")
    fs.pipe_file(f"{folder}/in/a", b".")
    inside, here = fs.info(f"{folder}/in")["id"], fs.info(folder)["id"]
    (file,) = listed(fs, f"{folder}/in")["files"]
    fs.files.update(fileId=file["id"], addParents=here, removeParents=inside).execute()
    assert {f["name"] for f in listed(fs, folder)["files"]} == {"a", "in"}
    fs.rm(folder)
    with pytest.raises(HttpError, match="File not found"):
        fs.files.get_media(fileId=file["id"]).execute()


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", HttpError),
        ("403", HttpError),
        ("503", HttpError),
        ("reset", ConnectionResetError),
        ("lost", ConnectionResetError),
        ("truncated", IncompleteRead),
    ],
)
def test_nothing_is_retried(drive, fs, folder, kind, error):
    fs.pipe_file(f"{folder}/a", b"whole")
    drive.inject(rate=1, kinds=[kind], match=f"^GET /drive/v3/files/{folder}/a$", limit=1)
    with pytest.raises(error):
        fs.cat_file(f"{folder}/a")
    assert drive.injected() == {kind: 1}
    assert fs.cat_file(f"{folder}/a") == b"whole"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_refused_upload_fails_an_assertion(drive, fs, folder, method):
    drive.inject(rate=1, kinds=["429"], match=f"^{method} /upload.*/{folder}/a$", limit=1)
    with pytest.raises(AssertionError, match="Init upload failed"):
        fs.pipe_file(f"{folder}/a", b"first")
    assert drive.injected() == {"429": 1}
    assert listed(fs, folder)["files"] == []


def test_retrying_an_upload_duplicates_the_file(drive, fs, folder):
    drive.inject(rate=1, kinds=["lost"], match=f"^PUT .*/{folder}/a$", limit=1)
    with pytest.raises(ConnectionResetError):
        fs.pipe_file(f"{folder}/a", b"first")
    fs.pipe_file(f"{folder}/a", b"second")
    assert drive.injected() == {"lost": 1}
    assert [file["name"] for file in listed(fs, folder)["files"]] == ["a", "a"]


def test_retrying_a_folder_duplicates_it_silently(drive, fs, folder):
    drive.inject(rate=1, kinds=["closed"], match="^POST", limit=1)
    fs.mkdir(f"{folder}/a")
    assert drive.injected() == {"closed": 1}
    assert [file["name"] for file in listed(fs, folder)["files"]] == ["a", "a"]


# --- peculiarities of gdrive_fsspec -------------------------------------------------------------


def test_rewriting_a_name_adds_a_file_and_reads_the_first(drive, fs, folder):
    fs.pipe_file(f"{folder}/a", b"first")
    fs.pipe_file(f"{folder}/a", b"second")
    other = connected(drive)
    assert other.ls(folder) == [f"{folder}/a"] * 2
    assert other.cat_file(f"{folder}/a") == b"first"
    fs.rm_file(f"{folder}/a")  # one of the two
    other.dircache.clear()
    assert other.cat_file(f"{folder}/a") == b"second"


def test_two_clients_that_make_a_folder_make_two(drive, folder):
    meet = Barrier(2)

    def make():
        fs = connected(drive)
        fs.ls(folder)
        meet.wait()
        fs.mkdir(f"{folder}/a")

    threads = [Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f["name"] for f in listed(connected(drive), folder)["files"]] == ["a", "a"]
    with pytest.raises(FileNotFoundError):  # MultipleFilesError
        connected(drive).ls(f"{folder}/a")


def test_a_listing_is_cached_forever(drive, fs, folder):
    other = connected(drive)
    other.ls(folder)
    other.pipe_file(f"{folder}/a", b".")
    fs.invalidate_cache()
    assert not fs.exists(f"{folder}/a")
    fs.dircache.clear()
    assert fs.exists(f"{folder}/a")


def test_writing_to_an_unlisted_folder_writes_and_fails(drive, folder):
    other = connected(drive)
    with pytest.raises(KeyError):
        other.pipe_file(f"{folder}/a", b".")
    assert [file["name"] for file in listed(connected(drive), folder)["files"]] == ["a"]


def test_a_long_file_in_one_unfinished_piece_vanishes(drive, fs, folder):
    fs.pipe_file(f"{folder}/a", bytes((5 << 20) + 1))
    assert connected(drive).exists(f"{folder}/a") is False


def test_what_cannot_be_read_seems_missing_and_is_remade(drive, fs, folder):
    fs.mkdir(f"{folder}/a")
    other = connected(drive)
    drive.inject(rate=1, kinds=["429"], match=f"in={folder}$", limit=1)
    other.makedirs(f"{folder}/a", exist_ok=True)
    assert drive.injected() == {"429": 1}
    assert [file["name"] for file in listed(fs, folder)["files"]] == ["a", "a"]


def test_an_unlistable_folder_seems_empty_unless_it_raises(drive, fs, folder):
    fs.pipe_file(f"{folder}/a", b".")
    drive.inject(rate=1, kinds=["reset"], match=f"in={folder}$")
    assert connected(drive).find(folder) == []
    with pytest.raises(ConnectionResetError):
        connected(drive).find(folder, on_error="raise")
