"""A shard with a marker is whole and durable, wherever a process is killed or the power is lost."""

from __future__ import annotations

import random
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from power_loss import Disk

from paninifs.storage.field import Field
from paninifs.storage.store import shards
from paninifs.storage.store.encoding import encode_shard
from paninifs.storage.store.keys import shard_key
from paninifs.storage.store.layout import VALID
from paninifs.storage.store.quarantine import QuarantinedRows
from paninifs.storage.store.shards import ShardContents, StoreLayout, commit_shards, is_intact
from paninifs.storage.targets import local
from paninifs.storage.targets.local import LocalTarget

ROWS, SIZE = 40, 8
FIELDS = (Field("n", "int64"), Field("weight", "float32", (2,), compress=False), VALID)
LAYOUT = StoreLayout(FIELDS, ROWS, SIZE, "fingerprint")

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="needs /proc to see what is synced"
)


def contents(shard, salt=0):
    start, stop = LAYOUT.bounds(shard)
    rows = np.arange(start, stop) + salt
    weight = np.stack([rows, rows + 0.5], axis=1).astype("float32")
    entry = QuarantinedRows(row=start, rows=1, file="a", file_row=0, reason="null text")
    return ShardContents(
        shard=shard,
        arrays={"n": rows, "weight": weight, "valid": np.arange(len(rows)) > 0},
        quarantined=[entry] * (shard % 2),
        text_bytes=1,
    )


def marked(target):
    """The shards with a marker, after checking that each is whole.

    Values of rows that are said to be valid must be there too, also where there is no marker yet.
    """
    for shard in range(LAYOUT.shards):
        if target.get(shard_key(VALID, shard)) is not None:
            for field in FIELDS:
                data = target.get(shard_key(field, shard))
                assert data == encode_shard(field, contents(shard).arrays[field.name], SIZE)
    markers = shards.marked_shards(target, LAYOUT)
    for shard, marker in markers.items():
        assert is_intact(target, marker.objects), f"shard {shard} is marked, and not whole"
    return set(markers)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk", monkeypatch)


@pytest.fixture
def left(disk, tmp_path):
    """Make a target of what a power loss leaves."""
    numbers = count()

    def left(moment, keep):
        folder = tmp_path / f"left-{next(numbers)}"
        disk.left(moment, folder, keep)
        return LocalTarget(folder / "out/store.zarr")

    return left


def chances(moment):
    """Nothing that was not synced is there; all is; and any of it is."""
    yield lambda: False
    yield lambda: True
    for seed in range(3):
        random.seed(f"{moment} {seed}")
        yield lambda: random.random() < 0.5


def check_every_moment(disk, left, done):
    """Check what a power loss leaves; `done` maps numbers of events to shards then committed."""
    seen = set()
    for moment in range(len(disk.events) + 1):
        durable = {shard for at, group in done.items() if at <= moment for shard in group}
        for keep in chances(moment):
            found = marked(left(moment, keep))
            assert found >= durable
            seen.add(frozenset(found))
    return seen


@pytest.mark.slow("looks at what is left at every moment")
def test_a_power_loss_at_any_moment_leaves_marked_shards_whole(disk, left):
    target = LocalTarget(disk.root / "out/store.zarr")
    done = {}
    for group in ([0, 1, 2], [3], [4]):
        commit_shards(target, LAYOUT, [contents(shard) for shard in group])
        done[len(disk.events)] = group
    assert len(check_every_moment(disk, left, done)) > 5


@pytest.mark.slow("looks at what is left at every moment")
def test_shards_written_again_are_never_torn(disk, left):
    """As the growing shard of an extension is, whose earlier rows must stay readable."""
    target = LocalTarget(disk.root / "out/store.zarr")
    commit_shards(target, LAYOUT, [contents(0), contents(1)])
    before = len(disk.events)
    both = {key: [target.get(key)] for key in target.sizes()}
    commit_shards(target, LAYOUT, [contents(0, salt=1), contents(1, salt=1)])
    for key, versions in both.items():
        versions.append(target.get(key))
    for moment in range(before, len(disk.events) + 1):
        for keep in chances(moment):
            found = left(moment, keep)
            assert all(found.get(key) in versions for key, versions in both.items())


@pytest.mark.slow("looks at what is left at every moment")
def test_two_writers_rely_on_no_folder_of_each_other(disk, left):
    done, lock = {}, threading.Lock()

    def write(*numbers):
        target = LocalTarget(disk.root / "out/store.zarr")
        for shard in numbers:
            commit_shards(target, LAYOUT, [contents(shard)])
            with lock:
                done.setdefault(len(disk.events), []).append(shard)

    threads = [threading.Thread(target=write, args=those) for those in ((0, 1), (2, 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_every_moment(disk, left, done)


def test_a_folder_that_another_made_a_moment_ago_is_synced(disk, left):
    store = disk.root / "out/store.zarr"
    LocalTarget(store).put("begun", b"1")
    for name in ("n/c", "weight/c/0", "valid/c", "_run/done"):
        for folder in reversed([store / name, *(store / name).parents]):
            folder.mkdir(exist_ok=True)
    commit_shards(LocalTarget(store), LAYOUT, [contents(0)])
    assert marked(left(len(disk.events), lambda: False)) == {0}


def test_a_created_object_is_durable(disk, left):
    target = LocalTarget(disk.root / "out/store.zarr")
    target.create("_run/lease/1.json", b"mine")
    assert left(len(disk.events), lambda: False).get("_run/lease/1.json") == b"mine"


# --- a process that is killed -------------------------------------------------------------------


class Killed(BaseException):
    """Ends a write where SIGKILL would: nothing is cleaned up after it."""


class Dying(LocalTarget):
    """Ends at the n-th step of a write: a file's data, half of them, or a renaming."""

    def __init__(self, path, at, torn=False):
        super().__init__(path)
        self.at, self.torn, self.steps = at, torn, count(1)

    def _write_file(self, path, data):
        if next(self.steps) == self.at:
            if self.torn:
                super()._write_file(path, data[: len(data) // 2])
            raise Killed
        super()._write_file(path, data)

    def _rename(self, temporary, path):
        if next(self.steps) == self.at:
            if self.torn:
                super()._rename(temporary, path)
            raise Killed
        super()._rename(temporary, path)


@pytest.mark.slow("writes four shards for each of some forty steps")
@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_any_step_leaves_marked_shards_whole(tmp_path, torn):
    seen = set()
    for at in count(1):
        target = Dying(tmp_path / str(at), at, torn)
        try:
            commit_shards(target, LAYOUT, [contents(shard) for shard in range(4)])
        except Killed:
            found = marked(target)
            seen.add(frozenset(found))
        else:
            break
        stale = shards.leftovers(target, LAYOUT, found)
        target.delete(stale)
        commit_shards(
            LocalTarget(target.url), LAYOUT, [contents(n) for n in range(4) if n not in found]
        )
        assert marked(target) == {0, 1, 2, 3}
        assert not [key for key in target.sizes() if local.is_temporary(key)]
    assert seen == {frozenset(range(n)) for n in range(4 + torn)}
    assert at == 2 * (4 * len(FIELDS) + 2 + 4) + 1  # each object is written and renamed once
