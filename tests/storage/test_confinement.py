"""Whatever a store, a mirror or a corpus says, nothing outside its folder is touched."""

from __future__ import annotations

import hashlib
import json
import shutil

import fsspec
import pytest

import paninifs as pf
from paninifs.engine.results.overview import status_of
from paninifs.storage.errors import GraphError, PaniniError, UnsafeKey
from paninifs.storage.field import Field
from paninifs.storage.targets.open import open_target

OUTSIDE = [
    "../notes.txt",
    "dhatu/../../notes.txt",
    "..",
    "./zarr.json",
    "/notes.txt",
    "//host/notes.txt",
    "C:/notes.txt",
    "C:notes.txt",
    "..\\notes.txt",
    "dhatu/c/0\0.txt",
]


@pytest.fixture(params=["local", "memory", "drive"])
def place(request, tmp_path):
    """A target, and a look at everything that lies in and beside its folder."""
    if request.param == "local":
        (tmp_path / "notes.txt").write_text("mine")
        target = open_target(tmp_path / "out.zarr")
        files = tmp_path.rglob
        return target, lambda: {str(p): p.read_bytes() for p in files("*") if p.is_file()}
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        fs.store.clear()
        fs.pipe_file("/notes.txt", b"mine")
        target = open_target("memory://out.zarr")
        return target, lambda: {name: file.getvalue() for name, file in fs.store.items()}
    drive = request.getfixturevalue("drive")
    target = open_target(drive.url("out.zarr"), drive.storage_options)
    beside = open_target(drive.url("beside"), drive.storage_options)
    beside.put("notes.txt", b"mine")
    return target, lambda: {key: beside.get(key) for key in beside.sizes()}


@pytest.mark.parametrize("key", OUTSIDE)
def test_a_target_keeps_within_its_folder(place, key):
    target, look = place
    target.put("zarr.json", b"{}")
    before = look()
    for attempt in (
        lambda: target.get(key),
        lambda: target.put(key, b"theirs"),
        lambda: target.create(key, b"theirs"),
        lambda: target.delete(["zarr.json", key]),
        lambda: target.sizes(key),
    ):
        with pytest.raises(UnsafeKey, match=r"cannot name an object in .*out\.zarr"):
            attempt()
    assert look() == before
    assert target.get("zarr.json") == b"{}"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "a.txt").write_text("un\ndeux\n")
    return pf.open_corpus(tmp_path / "a.txt")


def finished(corpus, inline, results, **options):
    run = pf.submit(
        pf.default_graph(), corpus, results, client=inline, progress=False, shard_rows=1, **options
    )
    return run.result()


@pytest.mark.documented("confinement")
def test_a_mirrors_marker_brings_nothing_from_or_to_elsewhere(corpus, inline, tmp_path):
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    finished(corpus, inline, tmp_path / "first.zarr", mirror="memory://deep/mirror.zarr")
    # An object store takes any name: this one stands in the listing of the mirror's folder.
    theirs, outside = b"theirs", "../../planted.txt"
    fs.pipe_file(f"/deep/mirror.zarr/{outside}", theirs)
    key = "/deep/mirror.zarr/_run/done/00000000.json"
    marker = json.loads(fs.cat_file(key))
    marker["objects"][outside] = [len(theirs), hashlib.sha256(theirs).hexdigest()]
    fs.pipe_file(key, json.dumps(marker).encode())
    mirror = open_target("memory://deep/mirror.zarr")
    status = status_of("memory://deep/mirror.zarr")
    assert (status.shards, status.shards_done) == (2, 1)

    results = tmp_path / "some/where/out.zarr"
    assert finished(corpus, inline, results, mirror="memory://deep/mirror.zarr").done == 2
    assert not list(tmp_path.rglob("planted.txt"))
    kept = [path for path in results.rglob("*") if "planted" in str(path)]
    assert not kept
    with pytest.raises(UnsafeKey):
        open_target(results).put(outside, mirror.get("zarr.json"))


@pytest.mark.parametrize("objects", ["none", "fewer", "another shard's", "a step up"])
def test_a_marker_of_other_objects_than_its_shards_is_none(corpus, inline, tmp_path, objects):
    out = tmp_path / "out.zarr"
    finished(corpus, inline, out)
    file = out / "_run/done/00000000.json"
    marker = json.loads(file.read_text())
    given = marker["objects"]
    if objects == "none":
        marker["objects"] = {}
    elif objects == "fewer":
        given.popitem()
    elif objects == "another shard's":
        given["dhatu/c/1/0"] = given.pop("dhatu/c/0/0")
    else:
        given["../a.txt"] = [0, ""]
    file.write_text(json.dumps(marker))
    assert status_of(out).shards_done == 1
    assert finished(corpus, inline, out).done == 2  # computed anew
    assert status_of(out).shards_done == 2


def test_names_that_lead_elsewhere_are_no_fields_dims_or_columns(inline, tmp_path):
    with pytest.raises(GraphError, match="is not a valid field name"):
        Field("../x", "int32")
    with pytest.raises(GraphError, match=r"each dim of .* must consist of letters"):
        Field("x", "int32", (1,), dims=("../y",), labels={"../y": ("one",)})
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "un", "../up": "1", "/etc/x": "2"}) + "\n")
    for name in ("../up", "/etc/x"):
        out = tmp_path / f"in/{name.count('.')}.zarr"
        finished(pf.open_corpus(file, keep=[name]), inline, out)
        assert set(pf.open_results(out).data_vars) & {"column____up", "column__etc_x"}
    assert not [path for path in tmp_path.rglob("*") if path.name in ("up", "x")]


@pytest.mark.parametrize("what", ["field", "dimension"])
def test_a_manifest_that_names_what_is_elsewhere_is_refused(corpus, inline, tmp_path, what):
    out = tmp_path / "out.zarr"
    finished(corpus, inline, out)
    shutil.copytree(out, tmp_path / "victim")
    before = {p: p.read_bytes() for p in (tmp_path / "victim").rglob("*") if p.is_file()}
    file = out / "_run/manifest.json"
    found = json.loads(file.read_text())
    if what == "field":
        found["fields"][0]["name"] = "../victim/dhatu"
    else:
        found["fields"][1]["dims"] = ["../victim/dhatu_name"]
    file.write_text(json.dumps(found))
    for attempt in (lambda: status_of(out), lambda: pf.verify(out)):
        with pytest.raises(PaniniError):
            attempt()
    assert {p: p.read_bytes() for p in (tmp_path / "victim").rglob("*") if p.is_file()} == before
