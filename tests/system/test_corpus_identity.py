"""A corpus is known by its content: it may be copied, fetched again or moved, but not changed."""

import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.events import Restored, ShardDone
from paninifs.storage.corpus.identity import WHOLE_BYTES, sampled_blocks
from paninifs.storage.corpus.opening import FileOpener
from paninifs.storage.errors import CorpusChanged, CorpusNotFound, ResultsMismatch
from paninifs.storage.store.keys import DONE
from paninifs.storage.store.manifest import read_index, read_manifest
from paninifs.storage.targets.local import LocalTarget

S = 16
LARGE = "b/large.jsonl"
NAMES = ["a.txt", "a.txt.gz", LARGE, "c.parquet", "d.jsonl"]
TEXTS = 20


def write_corpus(folder):
    import gzip

    (folder / "b").mkdir(parents=True)
    texts = [f"text {n}" for n in range(TEXTS)]
    (folder / "a.txt").write_text("\n".join(texts))
    (folder / "a.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode()))
    (folder / "d.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    pq.write_table(pa.table({"text": texts}), folder / "c.parquet")
    long = [f"{text} " * 9000 for text in texts]
    (folder / LARGE).write_text("".join(json.dumps({"text": one}) + "\n" for one in long))
    assert (folder / LARGE).stat().st_size > WHOLE_BYTES
    return folder


@pytest.fixture
def submit(inline):
    def run(corpus, results, **options):
        corpus = corpus if isinstance(corpus, pf.Corpus) else pf.open_corpus(corpus)
        options = {"shard_rows": S, "client": inline, "progress": False, **options}
        return pf.submit(pf.default_graph(), corpus, results, **options)

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory, inline):
    """A folder with a corpus and its results."""
    folder = tmp_path_factory.mktemp("made")
    write_corpus(folder / "corpus")
    corpus = pf.open_corpus(folder / "corpus")
    options = {"client": inline, "progress": False, "shard_rows": S}
    pf.submit(pf.default_graph(), corpus, folder / "out.zarr", **options).result()
    return folder


@pytest.fixture
def begun(made, tmp_path):
    """A copy of that folder, with its times, whose store lacks a shard; the store knows it."""
    home = tmp_path / "home"
    shutil.copytree(made, home)
    index = next((home / "out.zarr" / "_run").glob("index-*.json"))
    index.write_text(index.read_text().replace(str(made), str(home)))
    (home / "out.zarr" / DONE / "00000002.json").unlink()
    return home


def results_of(store):
    target = LocalTarget(store)
    kept = [key for key in target.sizes() if "/c/" in key or key.startswith(DONE)]
    return {key: target.get(key) for key in kept}


def copied_over(home):
    """The same bytes at the same place: downloaded again."""
    for name in NAMES:
        data = (home / "corpus" / name).read_bytes()
        (home / "corpus" / name).unlink()
        (home / "corpus" / name).write_bytes(data)
    return home / "corpus", home / "out.zarr"


def touched(home):
    for name in NAMES:
        os.utime(home / "corpus" / name, (1e9, 1e9))
    return home / "corpus", home / "out.zarr"


def copied_elsewhere(home):
    shutil.copytree(home / "corpus", home / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(home / "corpus")
    return home / "copy", home / "out.zarr"


def moved_corpus(home):
    (home / "deep").mkdir()
    return (home / "corpus").rename(home / "deep" / "down"), home / "out.zarr"


def moved_store(home):
    return home / "corpus", (home / "out.zarr").rename(home / "other.zarr")


def moved_both(home):
    other = home.rename(home.with_name("laptop"))
    return other / "corpus", other / "out.zarr"


def unpacked(home):
    with tarfile.open(home / "corpus.tar", "w") as archive:
        archive.add(home / "corpus", "unpacked")
    shutil.rmtree(home / "corpus")
    with tarfile.open(home / "corpus.tar") as archive:
        archive.extractall(home, filter="data")
    return home / "unpacked", home / "out.zarr"


def unzipped(home):
    with zipfile.ZipFile(home / "corpus.zip", "w") as archive:
        for name in NAMES:
            archive.write(home / "corpus" / name, name)
    shutil.rmtree(home / "corpus")
    with zipfile.ZipFile(home / "corpus.zip") as archive:
        archive.extractall(home / "corpus")
    return home / "corpus", home / "out.zarr"


def mounted_elsewhere(home):
    (home / "mount").symlink_to(home / "corpus")
    return home / "mount", home / "out.zarr"


def of_another_user(home):
    for name in NAMES:
        if os.geteuid() == 0:
            os.chown(home / "corpus" / name, 12345, 12345)
        (home / "corpus" / name).chmod(0o444)
    return home / "corpus", home / "out.zarr"


CHANGES = [
    copied_over,
    touched,
    copied_elsewhere,
    moved_corpus,
    moved_store,
    moved_both,
    unpacked,
    unzipped,
    mounted_elsewhere,
    of_another_user,
]


@pytest.mark.documented("moved")
@pytest.mark.slow("runs, verifies and exports")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_run_goes_on_with_the_same_content(submit, made, begun, change):
    corpus, store = change(begun)
    run = submit(corpus, store)
    seen = []
    run.events.subscribe(seen.append)
    assert run.result().done == TEXTS * len(NAMES)
    assert sum(isinstance(event, ShardDone) for event in seen) <= 1
    assert results_of(store) == results_of(made / "out.zarr")
    assert pf.verify(store).passed  # without being told where the corpus is
    table = pf.export(store, columns=["text"], progress=False)
    assert table.text.notna().all()
    index = read_index(LocalTarget(store), read_manifest(LocalTarget(store)))
    assert all(str(corpus) in one.file.url for one in index.files)


@pytest.mark.documented("moved")
@pytest.mark.parametrize("change", [copied_over, unpacked], ids=lambda change: change.__name__)
def test_a_mirror_is_restored_for_a_corpus_fetched_again(submit, begun, change):
    mirror = begun / "drive" / "m.zarr"
    submit(begun / "corpus", begun / "out.zarr", mirror=mirror).result()
    expected = results_of(mirror)
    shutil.rmtree(begun / "out.zarr")
    (mirror / DONE / "00000001.json").unlink()
    corpus, store = change(begun)
    run = submit(corpus, store, mirror=mirror)
    seen = []
    run.events.subscribe(seen.append)
    run.result()
    assert [event.shards for event in seen if isinstance(event, Restored)] == [
        len(expected_shards(expected)) - 1
    ]
    assert results_of(store) == results_of(mirror) == expected
    index = read_index(LocalTarget(mirror), read_manifest(LocalTarget(mirror)))
    assert all(str(corpus) in one.file.url for one in index.files)


def expected_shards(results):
    return [key for key in results if key.startswith(DONE)]


def test_a_copied_corpus_may_grow(submit, begun):
    corpus, store = copied_elsewhere(begun)
    (corpus / "aa.txt").write_text("one more")
    with pytest.raises(ResultsMismatch, match=r"begun without aa\.txt; --extend"):
        submit(corpus, store)
    assert submit(corpus, store, extend=True).result().done == TEXTS * len(NAMES) + 1
    assert pf.verify(store).passed
    corpus, store = unpacked_again(corpus, store)
    assert submit(corpus, store).result().done == TEXTS * len(NAMES) + 1


def unpacked_again(corpus, store):
    shutil.copytree(corpus, corpus.with_name("again"), copy_function=shutil.copyfile)
    shutil.rmtree(corpus)
    return corpus.with_name("again"), store


def test_two_copies_of_a_corpus_have_one_fingerprint(submit, begun, made):
    copied_elsewhere(begun)
    submit(begun / "copy", begun / "new.zarr").result()
    first, second = (read_manifest(LocalTarget(f)) for f in (made / "out.zarr", begun / "new.zarr"))
    assert first.fingerprint == second.fingerprint
    assert "mtime" not in json.dumps(second.facts)


def test_files_that_keep_their_time_are_not_read(submit, begun, monkeypatch):
    def read(self, *arguments, **options):
        raise AssertionError

    monkeypatch.setattr(FileOpener, "digest", read)
    assert submit(begun / "corpus", begun / "out.zarr").result().done == TEXTS * len(NAMES)


# --- real changes ---------------------------------------------------------------------------------


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def in_the_middle_block(path):
    start, stop = list(sampled_blocks(path.stat().st_size))[7]
    flip(path, (start + stop) // 2)


REFUSED = {
    "other bytes in the head": (LARGE, lambda path: flip(path, 20)),
    "other bytes in the tail": (LARGE, lambda path: flip(path, -20)),
    "other bytes in a block": (LARGE, in_the_middle_block),
    "other bytes of a small file": ("d.jsonl", lambda path: flip(path, 50)),
    "other bytes of a Parquet file": ("c.parquet", lambda path: flip(path, 20)),
    "grown": ("d.jsonl", lambda path: path.write_bytes(path.read_bytes() + b'{"text": "x"}\n')),
    "shrunk": (LARGE, lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "gone": ("c.parquet", Path.unlink),
    "renamed": ("c.parquet", lambda path: path.rename(path.with_name("e.parquet"))),
}


@pytest.mark.documented("changed")
@pytest.mark.parametrize("extend", [False, True], ids=["resumed", "extended"])
@pytest.mark.parametrize("place", ["in place", "in a copy"])
@pytest.mark.parametrize("what", REFUSED)
def test_a_changed_file_alone_is_named(submit, begun, what, place, extend):
    corpus, store = touched(begun) if place == "in place" else copied_elsewhere(begun)
    name, change = REFUSED[what]
    change(corpus / name)
    before = results_of(store)
    with pytest.raises(ResultsMismatch) as caught:
        submit(corpus, store, extend=extend)
    message = str(caught.value)
    words = "is gone" if what in ("gone", "renamed") else "has changed"
    assert f"{name} {words}" in message
    assert ("e.parquet is new" in message) is (what == "renamed" and not extend)
    assert not [other for other in NAMES if other != name and f"{other} " in message]
    assert len(message) < 600
    assert results_of(store) == before


def test_another_order_is_refused(submit, tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name)
    files = [tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"]
    submit(files, tmp_path / "out.zarr").result()
    with pytest.raises(ResultsMismatch, match=r"another order: b\.txt where a\.txt was"):
        submit([files[1], files[0], files[2]], tmp_path / "out.zarr")


def test_of_many_changes_a_few_are_named(submit, tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02}.txt").write_text("a")
    files = tmp_path / "*.txt"
    submit(str(files), tmp_path / "out.zarr").result()
    for number in range(1, 50):
        (tmp_path / f"{number:02}.txt").write_text("b")
    with pytest.raises(ResultsMismatch, match=r"and 46 more") as caught:
        submit(str(files), tmp_path / "out.zarr")
    assert "00.txt" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_files_under_a_folder_that_is_gone_are_named(submit, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for name in ("x/a.txt", "x/b.txt", "y/c.txt"):
        (tmp_path / name).write_text(name)
    submit(tmp_path, tmp_path / "out.zarr").result()
    shutil.rmtree(tmp_path / "y")
    with pytest.raises(ResultsMismatch, match=r"version: y/c\.txt is gone\."):
        submit(tmp_path, tmp_path / "out.zarr")


def test_all_bytes_are_compared_on_request(submit, tmp_path, made):
    between = [block[1] for block in sampled_blocks((made / "corpus" / LARGE).stat().st_size)][
        3
    ] + 9
    for exact in (False, True):
        folder = shutil.copytree(made / "corpus", tmp_path / f"corpus-{exact}")
        store = tmp_path / f"{exact}.zarr"
        submit(pf.open_corpus(folder, exact=exact), store).result()
        flip(folder / LARGE, between)
        if exact:
            with pytest.raises(ResultsMismatch, match=r"large\.jsonl has changed"):
                submit(folder, store)
        else:
            submit(folder, store).result()
            assert not pf.verify(store).passed


# --- during a run ---------------------------------------------------------------------------------


@pytest.mark.documented("moved")
def test_a_touch_during_a_run_does_no_harm(inline, made, tmp_path):
    folder = shutil.copytree(made / "corpus", tmp_path / "corpus")
    files = [folder / name for name in NAMES]
    manifest = tmp_path / "out.zarr" / "_run" / "manifest.json"

    @pf.map_block(fields=[pf.Field("n", "int64")], version="1")
    def n(text):
        if manifest.exists():  # else it is tried on the first rows, before anything is counted
            for file in files:
                os.utime(file)
        return np.diff(text.offsets).astype("int64")

    options = {"client": inline, "progress": False, "shard_rows": S}
    run = pf.submit(
        pf.default_graph() + n, pf.open_corpus(folder), tmp_path / "out.zarr", **options
    )
    assert run.result().done == TEXTS * len(NAMES)


# --- reading a store whose corpus has moved -------------------------------------------------------


@pytest.fixture
def moved(begun):
    """A finished store whose corpus is elsewhere, and the corpus."""
    shutil.copy(begun / "out.zarr" / DONE / "00000001.json", begun / "keep")
    corpus, store = copied_elsewhere(begun)
    return corpus, store


@pytest.mark.documented("moved")
def test_a_caller_says_where_the_corpus_is_now(moved):
    corpus, store = moved
    with pytest.raises(CorpusChanged, match=r"no longer exists; .*--corpus, corpus="):
        pf.export(store, columns=["text"], progress=False)
    given = [corpus, str(corpus), [corpus], pf.open_corpus(corpus)]
    tables = [pf.export(store, columns=["text"], progress=False, corpus=one) for one in given]
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0].text.notna().all()
    assert pf.peek("text 3", store, corpus=corpus).nearest[0].text == "text 3"
    assert pf.verify(store, corpus=corpus).problems == pf.verify(store, corpus=[corpus]).problems


@pytest.mark.parametrize("command", ["export", "verify", "show", "peek", "report"])
def test_commands_take_the_place_of_the_corpus(moved, tmp_path, command):
    corpus, store = moved
    words = {
        "export": ["export", store, tmp_path / "t.csv"],
        "verify": ["verify", store, "--sample", "10"],
        "show": ["show", store],
        "peek": ["peek", "text 3", "--in", store],
        "report": ["report", store, tmp_path / "page.html"],
    }[command]
    ended = CliRunner().invoke(app, [*map(str, words), "--corpus", str(corpus)])
    assert "no longer exists" not in ended.output
    assert "not available" not in ended.output
    if command in ("show", "peek"):
        assert ("text 8" if command == "show" else "text 3") in ended.output
    if command == "report":
        assert "not available" not in (tmp_path / "page.html").read_text()


def test_a_missing_file_costs_its_own_texts_only(moved):
    corpus, store = moved
    (corpus / "a.txt").unlink()
    (corpus / "c.parquet").unlink()
    found = pf.peek("text 3", store, top=100, corpus=corpus).nearest
    lost = {one.file for one in found if "not available" in one.text}
    assert lost <= {"a.txt", "c.parquet"}
    assert {one.file for one in found} - lost == {"a.txt.gz", LARGE, "d.jsonl"}


def test_a_changed_file_is_not_read_for_another(moved):
    corpus, store = moved
    flip(corpus / "d.jsonl", 50)
    with pytest.raises(CorpusChanged, match=r"d\.jsonl changed after it was indexed"):
        pf.export(store, columns=["text"], progress=False, corpus=corpus)


def test_another_corpus_is_refused(moved, tmp_path):
    _, store = moved
    for name in ("z.txt", "zz.txt"):
        (tmp_path / name).write_text("z")
    with pytest.raises(CorpusNotFound, match=r"none of the store's 5 file\(s\), such as a\.txt"):
        pf.export(store, progress=False, corpus=tmp_path / "z*.txt")


def test_the_only_file_may_have_another_name(submit, tmp_path):
    (tmp_path / "a.txt").write_text("un\ndeux")
    submit(tmp_path / "a.txt", tmp_path / "out.zarr").result()
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    table = pf.export(tmp_path / "out.zarr", progress=False, corpus=tmp_path / "b.txt")
    assert table.text.tolist() == ["un", "deux"]
