"""Clusters that grow and shrink with the work, all of them real."""

from __future__ import annotations

import time

import dask
import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, ShardDone
from paninifs.engine.run.failures import watchdog
from paninifs.storage.errors import RunFailed, UsageError
from paninifs.storage.filesystems.retry import RETRY_SECONDS_VARIABLE

ROWS, FILES = 16, 24


@pf.map_block(fields=[pf.Field("n", "int32")], name="weary", version="1")
def weary(text):
    import time

    time.sleep(0.6)
    return np.diff(text.offsets).astype("int32")


@pytest.fixture(autouse=True)
def at_once(forked):
    with dask.config.set(forked):
        yield


@pytest.fixture
def corpus(glosses, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        part = glosses[number * ROWS : (number + 1) * ROWS]
        text = "".join(f"{row['text']}\n" for row in part)
        (tmp_path / "in" / f"{number:02}.txt").write_text(text)
    return pf.open_corpus(tmp_path / "in")


def begun(client, corpus, store):
    """Begin a run; return it and its events."""
    run = pf.submit(
        pf.default_graph() + weary, corpus, store, client=client, shard_rows=ROWS, progress=False
    )
    told = []
    run.events.subscribe(told.append)
    return run, told


def workers_of(told):
    return {event.worker for event in told if isinstance(event, ShardDone)}


def notices(told):
    return [event.text for event in told if isinstance(event, Notice)]


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.soak("waits for workers")
def test_a_cluster_grows_for_waiting_tasks(corpus, tmp_path):
    with pf.connect(workers=(1, 3), quiet=True) as client:
        assert len(client.nthreads()) == 1
        run, told = begun(client, corpus, tmp_path / "s")
        assert run.result(timeout=120).done == FILES * ROWS
        assert len(workers_of(told)) == 3
    assert pf.verify(tmp_path / "s").passed


@pytest.mark.soak("waits for a first worker")
def test_a_cluster_may_start_without_workers(corpus, tmp_path):
    with pf.connect(workers=(0, 2), quiet=True) as client:
        assert not client.nthreads()
        run, told = begun(client, corpus, tmp_path / "s")
        assert run.result(timeout=120).done == FILES * ROWS
        assert 1 <= len(workers_of(told)) <= 2
    assert pf.verify(tmp_path / "s").passed


@pytest.mark.soak("waits until workers have gone")
def test_removing_workers_loses_nothing(corpus, tmp_path):
    with pf.connect(workers=3, quiet=True) as client:
        run, told = begun(client, corpus, tmp_path / "s")
        until(lambda: len(workers_of(told)) == 3)
        client.cluster.scale(1)
        assert run.result(timeout=120).done == FILES * ROWS
        assert len(client.nthreads()) == 1
    assert not notices(told)
    assert pf.verify(tmp_path / "s").passed


@pytest.mark.soak("waits for a slow worker")
@pytest.mark.parametrize("comes", [True, False])
def test_a_run_waits_for_a_slow_first_worker(corpus, tmp_path, monkeypatch, comes):
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(watchdog, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(watchdog, "GROWING_SECONDS", 60.0 if comes else 3.0)
    monkeypatch.setenv(RETRY_SECONDS_VARIABLE, "1")
    with pf.connect(workers=(0, 2), quiet=True) as client:
        client.cluster.adapt(minimum=0, maximum=0)
        run, told = begun(client, corpus, tmp_path / "s")
        if comes:
            until(lambda: notices(told))
            time.sleep(2)  # longer than a failing target is retried
            client.cluster.adapt(minimum=0, maximum=2)
            assert run.result(timeout=120).done == FILES * ROWS
        else:
            with pytest.raises(RunFailed, match=r"no worker yet.* \(for [3-9] s\); finished"):
                run.result(timeout=60)
    assert set(notices(told)) == {
        "the cluster has no worker yet; it can grow, so the run waits for one"
    }


def test_later_workers_are_started_like_the_first(tmp_path):
    with pf.connect(workers=(1, 2), memory="700MiB", quiet=True) as client:
        client.cluster.scale(2)
        client.wait_for_workers(2, timeout=60)
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.max_spill)
        held = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit)
    assert len(limits) == 2
    assert len(set(limits.values())) == 1
    assert set(held.values()) == {700 << 20}


@pytest.mark.parametrize("workers", [(2, 1), (-1, 2), (0, 0)])
def test_an_invalid_range_is_refused(workers):
    with pytest.raises(UsageError, match=r"a minimum \(from 0\) and a maximum"):
        pf.connect(workers=workers, quiet=True)


@pytest.mark.parametrize(("kind", "why"), [("cuda", "one per GPU"), ("threads", "has one worker")])
def test_a_cluster_that_cannot_grow_says_why(kind, why):
    with pytest.raises(UsageError, match=why):
        pf.connect(kind, workers=(1, 2), quiet=True)
