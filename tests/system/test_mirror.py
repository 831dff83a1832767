"""A mirror: a second target that survives the machine, and from which a run can resume."""

import json
import shutil
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from faults import Attempt
from one_by_one import OneByOneTarget
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.events import Mirrored, Notice, Restored, ShardDone
from paninifs.engine.run.background_mirror import Mirroring
from paninifs.storage.corpus import counting
from paninifs.storage.errors import (
    LeaseHeld,
    ResultsIncomplete,
    ResultsMismatch,
    RunFailed,
    StorageUnreachable,
    UsageError,
)
from paninifs.storage.rows import Malformed
from paninifs.storage.store.keys import DONE
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.local import LocalTarget

pytestmark = pytest.mark.slow("runs with a mirror, half a second each")

S = 64


@pytest.fixture
def corpus(glosses, write_jsonl):
    rows = [*glosses[:500], {"id": "bad", "text": None}]
    return pf.open_corpus(write_jsonl(rows))


@pytest.fixture
def submit(inline, corpus, tmp_path):
    def begin(results="out.zarr", mirror="mirror.zarr", of=corpus, graph=None, **options):
        options = {"shard_rows": S, "client": inline, "progress": False, **options}
        place = tmp_path / mirror if isinstance(mirror, str) else mirror
        chosen = graph or pf.default_graph()
        return pf.submit(chosen, of, tmp_path / results, mirror=place, **options)

    return begin


RECORDS = {"_run/manifest.json", "_run/timeline-1.json"}  # that a second run leaves


def lasting(folder):
    """Every object of a store except its leases."""
    target = LocalTarget(folder)
    return {key: target.get(key) for key in target.sizes() if not key.startswith("_run/lease/")}


def events_of(run):
    seen = []
    run.result()
    run.events.subscribe(seen.append)
    return seen


def test_a_mirror_equals_the_store(submit, tmp_path):
    seen = events_of(submit())
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")
    done = [event.shard for event in seen if isinstance(event, ShardDone)]
    mirrored = [event.shard for event in seen if isinstance(event, Mirrored)]
    assert sorted(mirrored) == sorted(done) == list(range(8))
    assert pf.verify(tmp_path / "mirror.zarr").passed
    assert len(pf.open_results(tmp_path / "mirror.zarr").text) == 501  # complete: no warning


def test_a_complete_mirror_is_left_as_it_is(submit, tmp_path):
    submit().result()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if "lease" not in str(p)}
    seen = events_of(submit())
    assert not [event for event in seen if isinstance(event, ShardDone | Mirrored | Restored)]
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if "lease" not in str(p)}
    assert {p: t for p, t in files.items() if p.is_file()} == {
        p: t for p, t in before.items() if p.is_file()
    }


def test_a_store_begun_without_a_mirror_is_copied_whole(submit, tmp_path):
    submit(mirror=None).result()
    seen = events_of(submit())
    assert len([event for event in seen if isinstance(event, Mirrored)]) == 8
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


def test_shards_missing_from_the_mirror_are_copied_again(submit, tmp_path):
    submit().result()
    expected = lasting(tmp_path / "mirror.zarr")
    (tmp_path / "mirror.zarr/dhatu/c/3/0").write_bytes(b"torn")
    (tmp_path / f"mirror.zarr/{DONE}/00000005.json").unlink()
    seen = events_of(submit())
    assert sorted(event.shard for event in seen if isinstance(event, Mirrored)) == [3, 5]
    assert lasting(tmp_path / "mirror.zarr") == expected


def test_restoring_from_the_mirror_computes_nothing_again(submit, tmp_path):
    submit().result()
    expected = lasting(tmp_path / "out.zarr")
    shutil.rmtree(tmp_path / "out.zarr")
    seen = events_of(submit())
    assert [event.shards for event in seen if isinstance(event, Restored)] == [8]
    assert not [event for event in seen if isinstance(event, ShardDone)]
    assert lasting(tmp_path / "out.zarr") == lasting(tmp_path / "mirror.zarr") == expected


def test_a_mirror_can_be_resumed_as_a_store(submit, tmp_path):
    submit().result()
    expected = lasting(tmp_path / "out.zarr")
    shutil.rmtree(tmp_path / "out.zarr")
    (tmp_path / f"mirror.zarr/{DONE}/00000005.json").unlink()
    submit("mirror.zarr", None).result()
    found = lasting(tmp_path / "mirror.zarr")
    assert {key for key in found if found[key] != expected.get(key)} == RECORDS
    assert len(read_manifest(LocalTarget(tmp_path / "mirror.zarr")).runs) == 2
    # Shards that only the mirror has are restored with the rest.
    submit().result()
    assert len(read_manifest(LocalTarget(tmp_path / "out.zarr")).runs) == 2
    assert lasting(tmp_path / "out.zarr") == lasting(tmp_path / "mirror.zarr") == found


def test_newer_shards_of_a_mirror_are_restored_to_the_store(submit, tmp_path):
    submit().result()
    for name in ("out", "mirror"):
        (tmp_path / f"{name}.zarr/{DONE}/00000005.json").unlink()
    submit("mirror.zarr", None).result()
    submit().result()
    assert len(read_manifest(LocalTarget(tmp_path / "out.zarr")).runs) == 2
    assert lasting(tmp_path / "out.zarr") == lasting(tmp_path / "mirror.zarr")


def test_a_mirror_with_a_torn_manifest_is_restored(submit, tmp_path):
    submit().result()
    shutil.rmtree(tmp_path / "out.zarr")
    manifest = tmp_path / "mirror.zarr/_run/manifest.json"
    whole = manifest.read_bytes()
    (manifest.parent / "manifest-spare.json").write_bytes(whole)
    manifest.write_bytes(whole[:100])
    seen = events_of(submit())
    assert [event.shards for event in seen if isinstance(event, Restored)] == [8]
    for name in ("out", "mirror"):
        assert (tmp_path / f"{name}.zarr/_run/manifest.json").read_bytes() == whole
        assert not (tmp_path / f"{name}.zarr/_run/manifest-spare.json").exists()


@pytest.mark.parametrize("torn", ["manifest", "manifest-spare"])
def test_an_interrupted_manifest_replacement_is_finished(submit, tmp_path, torn):
    submit(mirror=None).result()
    folder = tmp_path / "out.zarr/_run"
    whole = (folder / "manifest.json").read_bytes()
    (folder / "manifest-spare.json").write_bytes(whole)
    (folder / f"{torn}.json").write_bytes(whole[:100])
    seen = events_of(submit(mirror=None))
    assert not [event for event in seen if isinstance(event, ShardDone)]
    assert (folder / "manifest.json").read_bytes() == whole
    assert not (folder / "manifest-spare.json").exists()


def test_a_mirror_without_a_timeline_is_restored(submit, tmp_path):
    submit().result()
    shutil.rmtree(tmp_path / "out.zarr")
    (tmp_path / "mirror.zarr/_run/timeline-0.json").unlink()
    assert submit().result().done == 500
    assert len(read_manifest(LocalTarget(tmp_path / "out.zarr")).runs) == 1


def test_a_damaged_shard_is_not_copied(submit, tmp_path):
    submit(mirror=None).result()
    path = tmp_path / "out.zarr/digest/c/2/0"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunFailed, match=r"digest/c/2/0 is missing or damaged .*run again"):
        submit().result()
    with pytest.warns(ResultsIncomplete):
        pf.open_results(tmp_path / "mirror.zarr")
    assert not (tmp_path / f"mirror.zarr/{DONE}/00000002.json").exists()


# --- refused --------------------------------------------------------------------------------------


def test_a_mirror_of_something_else_is_refused(submit, tmp_path, glosses, write_jsonl):
    other = pf.open_corpus(write_jsonl(glosses[600:700], "other.jsonl"))
    submit("other.zarr", "mirror.zarr", other).result()
    before = lasting(tmp_path / "mirror.zarr")
    with pytest.raises(ResultsMismatch, match=r"mirror\.zarr was begun with a different corpus"):
        submit()
    assert not (tmp_path / "out.zarr").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ResultsMismatch, match="not a results store of this engine"):
        submit(mirror="mine")
    with pytest.raises(ResultsMismatch, match="not a results store of this engine"):
        submit(mirror="mine", fresh=True)
    assert lasting(tmp_path / "mirror.zarr") == before
    submit(fresh=True).result()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


def test_a_mirror_with_other_shard_rows_is_refused(submit, tmp_path):
    submit("other.zarr", shard_rows=2 * S).result()
    submit(mirror=None).result()
    with pytest.raises(
        ResultsMismatch, match=r"holds the results of another run \(501 texts, 128 rows per shard"
    ):
        submit(shard_rows=None).result()


def test_a_mirror_has_one_writer(submit, tmp_path):
    with Lease.acquire(LocalTarget(tmp_path / "mirror.zarr")):
        with pytest.raises(LeaseHeld, match=r"mirror\.zarr is being written"):
            submit()
        assert not (tmp_path / "out.zarr").exists()
    submit().result()


def test_a_mirror_must_be_another_target(submit):
    with pytest.raises(UsageError, match="must be different targets"):
        submit(mirror="out.zarr")


def test_a_failed_start_leaves_no_files(submit, tmp_path, write_jsonl):
    empty = pf.open_corpus(write_jsonl([], "empty.jsonl"))
    with pytest.raises(UsageError, match="no rows"):
        submit(of=empty).result()
    assert not list(tmp_path.glob("*.zarr/**/*.json"))


# --- in the background ----------------------------------------------------------------------------


class Held(OneByOneTarget):
    """Blocks writes of shards until they are released."""

    def __init__(self, path):
        super().__init__(path)
        self.let = threading.Event()

    def put(self, key, data):
        if key.startswith("dhatu/c/"):
            self.let.wait(60)
        super().put(key, data)


def test_the_run_does_not_wait_for_its_mirror(submit, tmp_path):
    mirror = Held(tmp_path / "mirror.zarr")
    run = submit(mirror=mirror)
    deadline = time.monotonic() + 60
    while run.status().shards_done < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not run.done
    assert not mirror.sizes(DONE)
    mirror.let.set()
    run.result()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


class Away(OneByOneTarget):
    """Unreachable for some keys."""

    def put(self, key, data):
        if key.startswith("dhatu/c/"):
            raise StorageUnreachable(f"writing {key} failed for 120 s")
        super().put(key, data)


def test_an_unreachable_mirror_is_reported_and_catches_up(submit, tmp_path):
    run = submit(mirror=Away(tmp_path / "mirror.zarr"))
    with pytest.raises(StorageUnreachable, match="is complete, but 8 of its shards could not be"):
        run.result()
    assert len(pf.open_results(tmp_path / "out.zarr").text) == 501  # complete: no warning
    with pytest.warns(ResultsIncomplete):
        pf.open_results(tmp_path / "mirror.zarr")
    submit().result()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


def test_shards_finished_before_a_failure_are_mirrored(submit, tmp_path, write_jsonl):
    numbered = pf.open_corpus(write_jsonl([{"text": f"{n:04} {n // S}"} for n in range(501)]))
    target = tmp_path / "mirror.zarr"

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")])
    def fails_late(text):
        if any(bytes(one).endswith(b" 7") for one in text):
            raise ValueError("no")
        return np.diff(text.offsets).astype("int32")

    with pytest.raises(pf.errors.BlockError):
        submit(of=numbered, graph=pf.default_graph() + fails_late).result()
    done = set(LocalTarget(tmp_path / "out.zarr").sizes(DONE))
    assert done
    assert set(LocalTarget(target).sizes(DONE)) == done


def test_an_unreported_shard_is_mirrored_too(submit, tmp_path, monkeypatch):
    """As if its worker were killed between writing the marker and sending the event."""
    begin = Mirroring.begin
    forgotten = {3, 5}

    def forgetful(self, shard, layout):
        if shard in forgotten:
            forgotten.remove(shard)
        else:
            begin(self, shard, layout)

    monkeypatch.setattr(Mirroring, "begin", forgetful)
    submit().result()
    assert forgotten == set()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


def test_a_mirror_is_not_complete_without_all_its_shards(submit, tmp_path, monkeypatch):
    monkeypatch.setattr("paninifs.engine.run.background_mirror.copy_shard", lambda *_: None)
    with pytest.raises(RunFailed, match=r"mirror\.zarr lacks shards \[0, 1, 2, 3, 4\]"):
        submit().result()
    with pytest.warns(ResultsIncomplete):
        pf.open_results(tmp_path / "mirror.zarr")


def test_a_damaged_shard_of_the_mirror_is_computed_again(submit, tmp_path):
    submit().result()
    expected = lasting(tmp_path / "out.zarr")
    shutil.rmtree(tmp_path / "out.zarr")
    path = tmp_path / "mirror.zarr/digest/c/2/0"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    seen = events_of(submit())
    assert [event.shards for event in seen if isinstance(event, Restored)] == [7]
    assert [event.shard for event in seen if isinstance(event, ShardDone)] == [2]
    found = lasting(tmp_path / "out.zarr")
    assert found == lasting(tmp_path / "mirror.zarr")
    assert {key for key in found if found[key] != expected.get(key)} == RECORDS


def test_an_unreachable_mirror_is_retried_once(submit, tmp_path):
    asked = []

    class Counted(Away):
        def put(self, key, data):
            if key.startswith("dhatu/c/"):
                asked.append(key)
            super().put(key, data)

    run = submit(mirror=Counted(tmp_path / "mirror.zarr"))
    with pytest.raises(StorageUnreachable):
        run.result()
    assert len(asked) <= 2 * 4  # those at once, and once more at the end
    notices = []
    run.events.subscribe(lambda event: notices.append(event) if isinstance(event, Notice) else None)
    assert 1 <= len(notices) <= 2
    assert "copying to the mirror is paused" in notices[0].text


@pytest.mark.slow("four runs, three of them mirrored")
def test_finished_shards_of_a_mirror_are_kept(submit, tmp_path, corpus, glosses, write_jsonl):
    """Even if the store is older than the mirror and has to be extended first."""
    submit().result()
    files = [corpus.files[0].url, write_jsonl(glosses[600:900], "more.jsonl")]
    shutil.copytree(tmp_path / "out.zarr", tmp_path / "older.zarr")
    submit(of=pf.open_corpus(files), extend=True).result()
    removed = []

    class Watched(LocalTarget):
        def delete(self, keys):
            keys = list(keys)
            removed.extend(keys)
            super().delete(keys)

    mirror = Watched(tmp_path / "mirror.zarr")
    submit("older.zarr", mirror, pf.open_corpus(files), extend=True).result()
    assert not [key for key in removed if "/c/" in key or key.startswith(DONE)]
    assert lasting(tmp_path / "older.zarr") == lasting(tmp_path / "mirror.zarr")


def test_shards_of_other_rows_are_not_restored(submit, tmp_path, monkeypatch):
    """The same files, of which one was unreadable the first time: only the facts are equal."""
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text("".join(f"{number} {n}\n" for n in range(100)))
    corpus = pf.open_corpus([tmp_path / "0.txt", tmp_path / "1.txt"])
    outline = counting.outline

    def failing(file, opener, names):
        if file.name == "0.txt":
            raise Malformed("cut off, then")
        return outline(file, opener, names)

    with monkeypatch.context() as patch:
        patch.setattr(counting, "outline", failing)
        assert submit(of=corpus).result().rows == 100
    shutil.rmtree(tmp_path / "out.zarr")
    again = pf.open_corpus([tmp_path / "0.txt", tmp_path / "1.txt"])
    submit(mirror=None, of=again).result()
    with pytest.raises(ResultsMismatch, match=r"of another run \(100 texts"):
        submit(of=again).result()
    assert pf.verify(tmp_path / "out.zarr").passed


# --- extensions -----------------------------------------------------------------------------------


@pytest.mark.slow("four runs, three of them mirrored")
def test_an_extension_is_mirrored_too(submit, corpus, tmp_path, glosses, write_jsonl):
    submit().result()
    files = [corpus.files[0].url, write_jsonl(glosses[600:700], "more.jsonl")]
    submit(of=pf.open_corpus(files), extend=True).result()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")
    assert len(read_manifest(LocalTarget(tmp_path / "mirror.zarr")).stages) == 1
    shutil.rmtree(tmp_path / "out.zarr")
    more = [*files, write_jsonl(glosses[700:900], "and-more.jsonl")]
    seen = events_of(submit(of=pf.open_corpus(more), extend=True))
    assert [event.shards for event in seen if isinstance(event, Restored)] == [10]
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")
    submit("at-once.zarr", None, pf.open_corpus(more)).result()
    with warnings.catch_warnings():
        one, other = (pf.open_results(tmp_path / f"{name}.zarr") for name in ("out", "at-once"))
    for name in other.variables:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]))


def test_a_mirror_that_missed_an_extension_catches_up(
    submit, corpus, tmp_path, glosses, write_jsonl
):
    submit().result()
    files = [corpus.files[0].url, write_jsonl(glosses[600:700], "more.jsonl")]
    submit(mirror=None, of=pf.open_corpus(files), extend=True).result()
    submit(of=pf.open_corpus(files)).result()
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


# --- the machine vanishes -------------------------------------------------------------------------


def test_a_run_resumes_from_the_mirror_after_a_lost_disk(start, corpus, tmp_path):
    log = str(tmp_path / "log")
    file = corpus.files[0].url.removeprefix("file://")

    def attempt(scratch, **options):
        folder = tmp_path / scratch
        mirror = None if scratch == "undisturbed" else str(tmp_path / "mirror.zarr")
        return Attempt(file, str(folder / "out.zarr"), log, S, mirror=mirror, **options)

    undisturbed = start(attempt("undisturbed"))
    undisturbed.join()
    assert undisturbed.exitcode == 0
    mirrored = 0
    for number in range(2):  # shards are finished by fours
        process = start(attempt(f"machine-{number}", seconds=0.08))
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob(f"mirror.zarr/{DONE}/*.json"))) <= mirrored < 8:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.join()
        shutil.rmtree(tmp_path / f"machine-{number}")
        assert number or process.exitcode == -signal.SIGKILL
        mirrored = len(list(tmp_path.glob(f"mirror.zarr/{DONE}/*.json")))
        assert number or mirrored < 8
    last = start(attempt("last"))
    last.join()
    assert last.exitcode == 0
    expected = {k: v for k, v in lasting(tmp_path / "undisturbed/out.zarr").items() if "/c/" in k}
    for store in ("last/out.zarr", "mirror.zarr"):
        assert {k: v for k, v in lasting(tmp_path / store).items() if "/c/" in k} == expected
    assert lasting(tmp_path / "last/out.zarr") == lasting(tmp_path / "mirror.zarr")


def test_the_command(corpus, tmp_path):
    runner = CliRunner()
    file = corpus.files[0].url.removeprefix("file://")
    store, mirror = str(tmp_path / "out.zarr"), str(tmp_path / "mirror.zarr")
    command = ["run", file, store, "--mirror", mirror, "--shard-rows", str(S)]
    ended = runner.invoke(app, command)
    assert ended.exit_code == 3, ended.stderr
    assert f"mirrored to {mirror}" in ended.stdout.replace("\n", "")
    shutil.rmtree(store)
    ended = runner.invoke(app, command)
    assert ended.exit_code == 3, ended.stderr
    assert "note: 8 finished shards copied back from" in ended.stderr
    status = runner.invoke(app, ["status", mirror, "--json"])
    assert json.loads(status.stdout)["complete"] is True
