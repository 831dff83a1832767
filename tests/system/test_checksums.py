"""Buckets and Drives digest what they store, and no file need be read to recognize it."""

import json
import uuid

import pytest

import paninifs as pf
from paninifs.storage.corpus.identity import WHOLE, WHOLE_BYTES, kind_of
from paninifs.storage.corpus.opening import FileOpener
from paninifs.storage.targets.open import open_target

TEXTS = [f"text {n} " * 9000 for n in range(20)]
FILES = {
    "small.txt": b"un\ndeux\n",
    "large.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode(),
}


class Place:
    def __init__(self, scheme, server):
        name = uuid.uuid4().hex
        self.options = server.storage_options
        self.root = f"{scheme}://{server.make_bucket(name) if scheme == 'gs' else name}"

    def corpus(self, folder):
        return pf.open_corpus(f"{self.root}/{folder}", storage_options=self.options)

    def write(self, folder, files):
        target = open_target(f"{self.root}/{folder}", self.options)
        for name, data in files.items():
            target.put(name, data)


@pytest.fixture(params=["gs", "gdrive"])
def place(request):
    return Place(request.param, request.getfixturevalue(request.param))


@pytest.fixture
def run(inline, tmp_path):
    def submit(corpus):
        options = {"client": inline, "progress": False, "shard_rows": 16}
        return pf.submit(pf.default_graph(), corpus, tmp_path / "out.zarr", **options).result()

    return submit


@pytest.mark.documented("moved")
def test_a_copy_in_the_place_is_recognized(place, run, tmp_path, monkeypatch):
    place.write("one", FILES)
    summary = run(place.corpus("one"))
    index = place.corpus("one").index
    assert len(FILES["large.jsonl"]) > WHOLE_BYTES
    assert {kind_of(one.file.digest) for one in index.files} == {WHOLE}
    place.write("two", FILES)

    def read(self, file, options=None):
        raise AssertionError(file.name)

    with monkeypatch.context() as patch:  # large files are not read
        patch.setattr(FileOpener, "_raw", read if place.root.startswith("gs") else FileOpener._raw)
        assert run(place.corpus("two")) == summary
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    assert run(pf.open_corpus([tmp_path / "large.jsonl", tmp_path / "small.txt"])) == summary
    assert pf.verify(tmp_path / "out.zarr").passed


@pytest.mark.documented("changed")
def test_a_changed_object_is_refused_by_name(place, run):
    place.write("one", FILES)
    run(place.corpus("one"))
    data = bytearray(FILES["large.jsonl"])
    data[len(data) // 2 - 5] ^= 1  # wherever it is: the digest is of all bytes
    place.write("one", {"large.jsonl": bytes(data)})
    with pytest.raises(
        pf.errors.ResultsMismatch, match=r"version: large\.jsonl has changed.*\. Write"
    ):
        run(place.corpus("one"))
