"""Runs killed with SIGKILL at every write and at random moments, then run again at once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from distributed import Status
from faults import KILL_MODES, Attempt

import paninifs as pf
from paninifs.storage.local_target import LocalTarget

SHARD_ROWS = 64
SHARDS = 6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Unique glosses in one file a shard, and which shard each shard's first text is of."""
    folder = tmp_path_factory.mktemp("corpus")
    with gzip.open(Path(__file__).parent / "data" / "wordnet-2000.jsonl.gz", "rt") as lines:
        unique = {row["text"]: row for row in map(json.loads, lines)}
    rows = list(unique.values())[: SHARDS * SHARD_ROWS]
    firsts = {}
    for shard in range(SHARDS):
        part = rows[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS]
        firsts[hashlib.sha256(part[0]["text"].encode()).hexdigest()] = shard
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{shard}.jsonl").write_text(lines)
    return folder, firsts


@pytest.fixture(scope="module")
def workers():
    """A cluster that outlives the drivers, as a remote one does."""
    with pf.connect(workers=2, quiet=True) as client:
        yield client.cluster


def wait_until_up(cluster):
    """A worker killed while its nanny still counts it as starting would not be started again."""
    deadline = time.monotonic() + 60
    while not (
        len(cluster.scheduler.workers) == 2
        and all(nanny.status is Status.running for nanny in cluster.workers.values())
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def attempt_at(corpus, folder, shards=SHARDS, **options):
    files = f"{corpus[0]}/[0-{shards - 1}].jsonl"
    return Attempt(files, str(folder / "out.zarr"), str(folder / "log"), SHARD_ROWS, **options)


@pytest.fixture(scope="module")
def undisturbed(corpus, start, tmp_path_factory):
    """The stores of runs that nobody disturbed, by their number of shards."""
    stores = {}
    for shards in (2, SHARDS):
        folder = tmp_path_factory.mktemp("undisturbed")
        process = start(attempt_at(corpus, folder, shards))
        process.join()
        assert process.exitcode == 0
        stores[shards] = folder / "out.zarr"
    return stores


def keys_and_bytes(store):
    target = LocalTarget(store)
    keys = {key for key in target.sizes() if not key.startswith("_run/lease/")}
    # Named after the fingerprint, and the log's path is a part of that.
    keys = {"_run/index" if key.startswith("_run/index-") else key for key in keys}
    return keys, {key: target.get(key) for key in keys if "/c/" in key}


def assert_same_and_no_shard_twice(corpus, folder, undisturbed):
    keys, values = keys_and_bytes(folder / "out.zarr")
    expected_keys, expected = keys_and_bytes(undisturbed)
    assert keys == expected_keys
    assert values == expected
    one, other = (zarr.open_group(store, mode="r") for store in (folder / "out.zarr", undisturbed))
    assert one.attrs["complete"] is True
    for name, array in other.arrays():
        np.testing.assert_array_equal(one[name][:], array[:])
    done = set()
    for line in (folder / "log").read_text().splitlines():
        event, what = line.split()
        if event == "done":
            done.add(int(what))
        else:
            assert corpus[1][what] not in done, f"shard {corpus[1][what]} was computed again"


def run_to_the_end(start, corpus, folder, shards=SHARDS, **options):
    process = start(attempt_at(corpus, folder, shards, **options))
    process.join()
    assert process.exitcode == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", KILL_MODES)
def test_everything_killed_at_every_write_resumes_to_the_same_store(
    mode, corpus, start, undisturbed, tmp_path
):
    killed = 0
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        process = start(attempt_at(corpus, folder, 2, kill_at=at, mode=mode))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        run_to_the_end(start, corpus, folder, 2)
        assert_same_and_no_shard_twice(corpus, folder, undisturbed[2])
    assert killed > 40  # metadata, two shards of a dozen objects, lease and success mark


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["writer", "client"])
def test_worker_or_client_killed_at_every_write_of_a_worker_ends_in_the_same_store(
    victim, corpus, start, undisturbed, workers, tmp_path
):
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        wait_until_up(workers)
        address = workers.scheduler_address
        mode = KILL_MODES[at % 3]
        options = {"kill_at": at, "mode": mode, "victim": victim, "scheduler": address}
        process = start(attempt_at(corpus, folder, 2, **options))
        process.join()
        if (folder / "log.writes").stat().st_size // 2 < at:
            break
        if victim == "client":
            assert process.exitcode == -signal.SIGKILL
            run_to_the_end(start, corpus, folder, 2, scheduler=address)
        assert process.exitcode == (0 if victim == "writer" else -signal.SIGKILL)
        assert_same_and_no_shard_twice(corpus, folder, undisturbed[2])
    assert at > 20  # two shards of a dozen objects


@pytest.mark.readme("killed")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_resumes_to_the_same_store(
    seed, corpus, start, undisturbed, tmp_path
):
    chance = random.Random(seed)
    victim = ("client", "worker", "all")[seed % 3]
    wait_for = chance.randint(1, SHARDS - 3)
    log = tmp_path / "log"
    process = start(attempt_at(corpus, tmp_path, processes=True, seconds=0.03))
    while not log.exists() or log.read_text().count("done") < wait_for:
        assert process.is_alive()
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.3))
    kill(process, victim, chance)
    done = log.read_text().count("done")
    assert wait_for <= done < SHARDS  # both done and pending
    process.join()
    assert process.exitcode == (0 if victim == "worker" else -signal.SIGKILL)
    run_to_the_end(start, corpus, tmp_path)
    assert_same_and_no_shard_twice(corpus, tmp_path, undisturbed[SHARDS])


def kill(process, victim, chance):
    if victim == "client":
        os.kill(process.pid, signal.SIGKILL)
    elif victim == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        chance.choice(workers).send_signal(signal.SIGKILL)


def test_a_finished_run_computes_nothing_again(corpus, start, undisturbed, tmp_path):
    run_to_the_end(start, corpus, tmp_path, 2)
    before = (tmp_path / "log").read_text()
    run_to_the_end(start, corpus, tmp_path, 2)
    assert (tmp_path / "log").read_text() == before
    assert before.count("computed") == 2
