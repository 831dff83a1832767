"""Notices about workers that are gone, stopped or paused, on real clusters."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import dask
import pytest

import paninifs as pf
from paninifs.engine.cluster import spilling
from paninifs.engine.monitoring.events import Notice, ShardDone
from paninifs.engine.run.failures import watchdog
from paninifs.storage.filesystems.retry import RETRY_SECONDS_VARIABLE


@pf.map_block(fields=[pf.Field("n", "int32")], name="unhurried", version="1")
def unhurried(text):
    import time

    import numpy as np

    time.sleep(0.3)
    return np.diff(text.offsets).astype("int32")


@pytest.fixture(autouse=True)
def at_once(forked):
    with dask.config.set(forked):
        yield


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(watchdog, "QUIET_SECONDS", 1.0)
    monkeypatch.setenv(RETRY_SECONDS_VARIABLE, "3")


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl(glosses[:256]))


def begun(client, corpus, tmp_path):
    """Begin a run of 16 shards; return it and its events."""
    run = pf.submit(
        pf.default_graph() + unhurried,
        corpus,
        tmp_path / "out.zarr",
        client=client,
        shard_rows=16,
        progress=False,
    )
    told = []
    run.events.subscribe(told.append)
    return run, told


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def notices(told):
    return [event.text for event in told if isinstance(event, Notice)]


@pytest.mark.documented("no-worker")
def test_without_workers_a_run_waits_then_ends_and_resumes(corpus, tmp_path):
    with pf.connect(workers=1, quiet=True) as client:
        run, told = begun(client, corpus, tmp_path)
        until(lambda: any(isinstance(event, ShardDone) for event in told))
        client.cluster.scale(0)
        with pytest.raises(pf.errors.RunFailed, match=r"no worker left \(for [3-9] s\); finished"):
            run.result(timeout=60)
        assert "the cluster has no worker left" in notices(told)
        client.cluster.scale(1)
        run, _ = begun(client, corpus, tmp_path)
        assert run.result().done == 256
        assert run.status().rows_before > 0


@pytest.mark.soak("waits for a worker")
def test_a_worker_that_comes_in_time_continues_the_run(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv(RETRY_SECONDS_VARIABLE, "60")
    with pf.connect(workers=1, quiet=True) as client:
        run, told = begun(client, corpus, tmp_path)
        client.cluster.scale(0)
        until(lambda: notices(told))
        client.cluster.scale(1)
        assert run.result(timeout=60).done == 256


def test_a_stopped_worker_is_named(corpus, tmp_path):
    with pf.connect(workers=2, quiet=True) as client:
        run, told = begun(client, corpus, tmp_path)
        until(lambda: any(isinstance(event, ShardDone) for event in told))
        address, pid = next(iter(client.run(os.getpid).items()))
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: notices(told))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert notices(told)[0].startswith(f"worker {address} has not been heard from for ")
        assert run.result(timeout=60).done == 256


@pytest.mark.documented("paused")
def test_a_run_ends_when_all_workers_are_paused(corpus, tmp_path):
    always = {"distributed.worker.memory.pause": 0.01, "distributed.worker.memory.spill": False}
    with dask.config.set(always), pf.connect(workers=1, memory="2GiB", quiet=True) as client:
        until(lambda: all(w["status"] == "paused" for w in workers_of(client).values()))
        run, told = begun(client, corpus, tmp_path)
        with pytest.raises(pf.errors.RunFailed, match=r"every worker is paused and idle.* of 2.00"):
            run.result(timeout=60)
        assert "is paused: it holds" in " ".join(notices(told))


def hoard():
    """Free 300 MB below a live block, so that the C library keeps the memory."""
    blocks = [b"x" * 100_000 for _ in range(3000)]
    hoard.kept = blocks[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc to return memory")
def test_an_idle_paused_worker_releases_unused_memory(corpus, tmp_path):
    early = {"distributed.worker.memory.pause": 0.35, "distributed.worker.memory.spill": False}
    with dask.config.set(early), pf.connect(workers=1, memory="1GiB", quiet=True) as client:
        client.run(hoard)
        until(lambda: all(w["status"] == "paused" for w in workers_of(client).values()))
        run, _ = begun(client, corpus, tmp_path)
        assert run.result(timeout=60).done == 256


def workers_of(client):
    return client.scheduler_info(n_workers=-1)["workers"]


@pytest.mark.parametrize(
    ("cluster", "workers", "said", "limit"),
    [("cpu", 2, False, 2 << 30), ("threads", 1, False, 4 << 30), ("threads", 1, "1GiB", 1 << 30)],
)
def test_workers_spill_to_half_the_free_disk_by_default(monkeypatch, cluster, workers, said, limit):
    class Usage:
        free = 8 << 30

    monkeypatch.setattr(spilling.psutil, "disk_usage", lambda path: Usage)
    with (
        dask.config.set({"distributed.worker.memory.max-spill": said}),
        pf.connect(cluster, workers=workers, quiet=True) as client,
    ):
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.max_spill)
    assert list(limits.values()) == [limit] * workers


def test_a_nearly_full_disk_is_named(monkeypatch, tmp_path):
    class Usage:
        free = 1 << 20

    monkeypatch.setattr(spilling.psutil, "disk_usage", lambda path: Usage)
    with (
        dask.config.set({"temporary-directory": str(tmp_path / "not yet")}),
        pytest.warns(pf.errors.ScarceDisk, match="1.00 MiB free; set"),
    ):
        spilling.spill_settings(1)


@pytest.mark.soak("waits for what does not happen")
def test_paused_workers_that_still_compute_are_not_stuck(glosses, tmp_path, write_jsonl):
    """One shard of eight seconds, on a worker that is paused as soon as it has begun."""

    @pf.map_block(fields=[pf.Field("n", "int32")], name="long", version="1")
    def long(text):
        import time

        import numpy as np
        from distributed.worker import get_worker

        if len(text) > 16:  # not when the graph is tried
            get_worker().memory_manager.memory_pause_fraction = 0.01
            time.sleep(8)
        return np.diff(text.offsets).astype("int32")

    corpus = pf.open_corpus(write_jsonl(glosses[:64]))
    with pf.connect(workers=1, memory="2GiB", quiet=True) as client:
        run = pf.submit(
            pf.default_graph() + long, corpus, tmp_path / "s", client=client, progress=False
        )
        until(lambda: all(w["status"] == "paused" for w in workers_of(client).values()))
        assert run.result(timeout=60).done == 64


def test_a_wrong_scheduler_clock_is_ignored():
    told = []
    watching = watchdog.Watchdog(None, told.append, None)
    worker = {"status": "running", "metrics": {"task_counts": {}}}
    for now in range(5):
        seen = {"tcp://ahead": 1e9 + now, "tcp://behind": now - 1e9, "tcp://silent": 0.0}
        workers = {address: {**worker, "last_seen": last} for address, last in seen.items()}
        watching._report(
            dict(watchdog._problems_of(workers, watching._silences(workers, now))), now
        )
    assert [notice.text.partition(" from for ")[0] for notice in told] == [
        "worker tcp://silent has not been heard"
    ]


def test_a_listener_that_cancels_ends_the_run(client, corpus, tmp_path):
    """A thread cancels that holds the stream of events, for which the client's loop waits."""
    run, _ = begun(client, corpus, tmp_path)

    def cancel(event):
        if isinstance(event, ShardDone):
            time.sleep(0.5)  # in the meantime others are announced
            thread = threading.Thread(target=run.cancel)
            thread.start()
            thread.join()

    run.events.subscribe(cancel)
    with pytest.raises(pf.errors.RunCancelled):
        run.result(timeout=30)


def test_a_wait_ended_by_ctrl_c_can_be_resumed(client, corpus, tmp_path):
    """In a notebook: the kernel is interrupted, the run continues, and the user waits again."""
    run, _ = begun(client, corpus, tmp_path)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run.result()
    assert not run.done
    assert run.result(timeout=60).done == 256
