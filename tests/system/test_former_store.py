"""A store that version 0.1.0 made before its files moved: it resumes, verifies and extends.

`former-store.zip` holds the corpus (two files, extended once) and the store, with blocks of a
user's own (`former_blocks`) that mention names of this package which had other homes then.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import former_blocks
import pytest

import paninifs as pf

ARCHIVE = Path(__file__).parents[1] / "data" / "former-store.zip"
WRITTEN = 1767225600  # when the files of the corpus were; a store knows them by their times
FORMER = "paninifs.storage.text.PackedText"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The folder with corpus and store, which believe that they are in it."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    for path in (tmp_path / "store.zarr" / "_run").glob("*.json"):
        path.write_text(path.read_text().replace("/corpora", str(tmp_path)))
    for path in (tmp_path / "glosses").iterdir():
        os.utime(path, (WRITTEN, WRITTEN))
    return tmp_path


@pytest.fixture(scope="module")
def threads():
    with pf.connect("threads", workers=1, quiet=True) as client:
        yield client


def submitted(folder: Path, client, graph=None, **options) -> pf.Run:
    corpus = pf.open_corpus(folder / "glosses")
    graph = graph or former_blocks.graph()
    store = folder / "store.zarr"
    return pf.submit(graph, corpus, store, client=client, progress=False, **options)


def objects(folder: Path) -> dict[str, bytes]:
    store = folder / "store.zarr"
    kept = (path for path in store.rglob("*") if path.is_file() and "lease" not in path.parts)
    return {str(path.relative_to(store)): path.read_bytes() for path in kept}


def test_it_mentions_a_former_home(former):
    manifest = (former / "store.zarr" / "_run" / "manifest.json").read_text()
    assert FORMER in manifest


def test_it_resumes_without_a_change(former, threads):
    before = objects(former)
    assert submitted(former, threads).result().done == 60
    after = objects(former)
    (key,) = (key for key in after if key.startswith("_run/index-"))
    found, known = (json.loads(some.pop(key)) for some in (after, before))
    assert after == before
    for file in found["files"]:  # all that is new
        assert file["file"].pop("digest").startswith("md5:")
    assert found == known


def test_its_corpus_may_be_copied_from_then_on(former, threads):
    submitted(former, threads).result()
    for path in (former / "glosses").iterdir():
        path.write_bytes(path.read_bytes())
    before = objects(former)
    assert submitted(former, threads).result().done == 60
    index = {key for key in before if key.startswith("_run/index-")}
    after = objects(former)
    assert {key for key in before if after[key] != before[key]} == index
    assert pf.verify(former / "store.zarr").passed


def test_its_copied_corpus_is_read_where_the_caller_says(former):
    (former / "copy").mkdir()
    for path in (former / "glosses").iterdir():
        (former / "copy" / path.name).write_bytes(path.read_bytes())
    os.utime(former / "glosses" / "a.jsonl")
    with pytest.raises(pf.errors.CorpusChanged, match=r"as before, mtime=.* then and mtime="):
        pf.verify(former / "store.zarr")
    assert pf.verify(former / "store.zarr", corpus=former / "copy").passed
    (former / "copy" / "a.jsonl").write_text("shorter")
    with pytest.raises(pf.errors.CorpusChanged, match=r"a\.jsonl changed after it was indexed"):
        pf.verify(former / "store.zarr", corpus=former / "copy")


def test_another_time_is_refused_with_a_remedy(former, threads):
    os.utime(former / "glosses" / "a.jsonl")
    with pytest.raises(
        pf.errors.ResultsMismatch, match=r"a\.jsonl may have changed: mtime=.* give"
    ):
        submitted(former, threads)


def test_what_is_missing_is_computed_again(former, threads):
    before = objects(former)
    (former / "store.zarr" / "_run" / "done" / "00000002.json").unlink()
    assert submitted(former, threads).result().done == 60
    after = objects(former)
    arrays = {key for key in before if not key.startswith(("_run/", "zarr.json"))}
    assert arrays
    assert {key: after[key] for key in arrays} == {key: before[key] for key in arrays}
    found, known = (json.loads(one["_run/done/00000002.json"]) for one in (after, before))
    for marker in (found, known):  # the digests are of another kind now
        marker["objects"] = {key: size for key, (size, _) in marker["objects"].items()}
    assert found == known


def test_it_verifies(former):
    found = pf.verify(former / "store.zarr")
    assert found.rows == 60
    assert not found.problems


def test_its_markers_find_damage(former, threads):
    marker = json.loads((former / "store.zarr/_run/done/00000001.json").read_text())
    assert {len(digest) for _, digest in marker["objects"].values()} == {64}  # SHA-256
    key = "digest/c/1/0"
    damaged = former / "store.zarr" / key
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-40] + b"\0" + whole[-39:])
    (problem, *_) = pf.verify(former / "store.zarr").problems
    assert problem == f"{key} is not what was written: its digest differs"
    assert pf.repair(former / "store.zarr") == [1]
    assert submitted(former, threads).result().done == 60
    assert damaged.read_bytes() == whole
    assert pf.verify(former / "store.zarr").passed


def test_it_is_mirrored(former, threads):
    submitted(former, threads, mirror=former / "mirror.zarr").result()
    assert pf.verify(former / "mirror.zarr").passed
    for shard in range(4):
        marker = f"_run/done/{shard:08d}.json"
        assert (former / "mirror.zarr" / marker).read_bytes() == objects(former)[marker]


def test_it_extends(former, threads):
    before = objects(former)
    (former / "glosses" / "c.jsonl").write_text('{"text": "one more"}\n')
    assert submitted(former, threads, extend=True).result().done == 61
    after = objects(former)
    for shard in range(3):  # the fourth has grown
        marker = f"_run/done/{shard:08d}.json"
        assert after[marker] == before[marker]
    assert not pf.verify(former / "store.zarr").problems
    assert submitted(former, threads).result().done == 61


def test_another_block_is_refused_by_name(former, threads):
    graph = former_blocks.graph()
    edited = replace(graph.blocks[-1], params={"edited": True})
    with pytest.raises(pf.errors.ResultsMismatch, match="largest"):
        submitted(former, threads, pf.Graph((*graph.blocks[:-1], edited)))


def test_a_name_of_another_library_is_no_former_home(former, threads):
    path = former / "store.zarr" / "_run" / "manifest.json"
    document = json.loads(path.read_text())
    assert FORMER in path.read_text()
    path.write_text(json.dumps(document).replace(FORMER, "elsewhere.storage.text.PackedText"))
    with pytest.raises(pf.errors.ResultsMismatch, match="n_words"):
        submitted(former, threads)
