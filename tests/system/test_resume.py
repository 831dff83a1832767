"""Runs killed with SIGKILL at every write and at random moments, then resumed at once."""

from __future__ import annotations

import os
import random
import signal
import time

import dask
import pytest
from distributed import Status
from faults import KILL_MODES
from resuming import SHARDS, assert_same_and_no_shard_twice, attempt_at, run_to_the_end

import paninifs as pf


@pytest.fixture(scope="module")
def workers(forked):
    """A cluster that outlives the drivers, as a remote one does; its workers are often killed."""
    with dask.config.set(forked), pf.connect(workers=2, quiet=True) as client:
        yield client.cluster


def wait_until_up(cluster):
    """A worker killed while its nanny still counts it as starting would not be restarted."""
    deadline = time.monotonic() + 60
    while not (
        len(cluster.scheduler.workers) == 2
        and all(nanny.status is Status.running for nanny in cluster.workers.values())
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.soak("a run and its repetition for each of some 45 writes")
@pytest.mark.parametrize("mode", KILL_MODES)
def test_killing_everything_at_any_write_is_harmless(
    mode, file_a_shard, start, undisturbed, tmp_path
):
    """Client, scheduler and worker are one process, so its tasks need no cluster to be killed."""
    killed = 0
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        process = start(attempt_at(file_a_shard, folder, 2, kill_at=at, mode=mode, inline=True))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        run_to_the_end(start, file_a_shard, folder, 2, inline=True)
        assert_same_and_no_shard_twice(file_a_shard, folder, undisturbed[2])
    assert killed > 40  # metadata, two shards of a dozen objects, lease and success mark


@pytest.mark.soak("a run for each of some 25 writes")
@pytest.mark.documented("worker-killed")
@pytest.mark.parametrize("victim", ["writer", "client"])
def test_killing_worker_or_client_at_any_write_is_harmless(
    victim, file_a_shard, start, undisturbed, workers, tmp_path
):
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        wait_until_up(workers)
        address = workers.scheduler_address
        mode = KILL_MODES[at % 3]
        options = {"kill_at": at, "mode": mode, "victim": victim, "scheduler": address}
        process = start(attempt_at(file_a_shard, folder, 2, **options))
        process.join()
        if (folder / "log.writes").stat().st_size // 2 < at:
            break
        if victim == "client":
            assert process.exitcode == -signal.SIGKILL
            run_to_the_end(start, file_a_shard, folder, 2, scheduler=address)
        assert process.exitcode == (0 if victim == "writer" else -signal.SIGKILL)
        assert_same_and_no_shard_twice(file_a_shard, folder, undisturbed[2])
    assert at > 20  # two shards of a dozen objects


def test_a_killed_workers_partial_files_are_removed(
    file_a_shard, start, undisturbed, workers, tmp_path
):
    wait_until_up(workers)
    options = {"kill_at": 7, "mode": "before", "scheduler": workers.scheduler_address}
    process = start(attempt_at(file_a_shard, tmp_path, 2, **options))
    process.join()
    assert process.exitcode == 0
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[2])


SEEDS = [0, 1, 2]  # one for each victim
MORE_SEEDS = [pytest.param(seed, marks=pytest.mark.soak("more moments")) for seed in range(3, 20)]


@pytest.mark.documented("killed")
@pytest.mark.parametrize("seed", [*SEEDS, *MORE_SEEDS])
def test_killing_at_a_random_moment_is_harmless(
    seed, file_a_shard, start, undisturbed, workers, tmp_path
):
    """Kill the client, a worker, or a client with the workers of its own cluster."""
    chance = random.Random(seed)
    victim = ("client", "worker", "all")[seed % 3]
    wait_for = chance.randint(1, SHARDS - 3)
    log = tmp_path / "log"
    wait_until_up(workers)
    where = {} if victim == "all" else {"scheduler": workers.scheduler_address}
    options = {"seconds": 0.03, "processes": victim == "all", **where}
    process = start(attempt_at(file_a_shard, tmp_path, **options))
    while not log.exists() or log.read_text().count("done") < wait_for:
        assert process.is_alive()
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.3))
    kill(process, victim, chance.choice(list(workers.workers.values())))
    done = log.read_text().count("done")
    assert wait_for <= done < SHARDS  # some done and some pending
    process.join()
    assert process.exitcode == (0 if victim == "worker" else -signal.SIGKILL)
    run_to_the_end(start, file_a_shard, tmp_path, **where)
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def kill(process, victim, nanny):
    if victim == "client":
        os.kill(process.pid, signal.SIGKILL)
    elif victim == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(nanny.pid, signal.SIGKILL)


def test_a_finished_run_computes_nothing_again(file_a_shard, start, undisturbed, tmp_path):
    run_to_the_end(start, file_a_shard, tmp_path, 2)
    before = work_of(tmp_path)
    run_to_the_end(start, file_a_shard, tmp_path, 2)
    assert work_of(tmp_path) == before
    assert len({line.split()[1] for line in before}) >= 2


def work_of(folder):
    lines = (folder / "log").read_text().splitlines()
    return [line for line in lines if line.startswith(("computed", "done"))]
