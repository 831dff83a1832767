"""A worker that loses its device is restarted, and retired if that does not help."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

import dask
import pytest
from distributed import WorkerPlugin
from failing_device import FailingDevice
from test_unfit_workers import Cluster

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, WorkerLost
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.storage.errors import DeviceLost, RunCancelled, RunFailed

FILES, ROWS = 60, 32


@pytest.fixture(autouse=True)
def quick_starts(forked, cuda_on_host):
    with dask.config.set(forked):
        yield


@pytest.fixture
def corpus(glosses, write_jsonl, tmp_path):
    for part in range(FILES):
        write_jsonl(glosses[part * ROWS : (part + 1) * ROWS], f"{part:03}.jsonl")
    return pf.open_corpus(tmp_path / "*.jsonl")


@pytest.fixture
def devices(tmp_path, glosses):
    """Make devices of which some fail, but not in the trial."""
    spared = tuple(one["text"] for one in glosses[:ROWS])
    return lambda **options: FailingDevice(str(tmp_path), **{"spared": spared, **options})


class Submitted:
    """A run over the corpus, and its events."""

    def __init__(self, client, corpus, results, device, backend="cuda"):
        graph = pf.Graph(device.block())
        # A batch per task, so that each task calls the block once.
        options = {"shard_rows": ROWS, "micro_batch": MicroBatch(rows=ROWS), "progress": False}
        self.events, self.results = [], results
        self.run = pf.submit(graph, corpus, results, client=client, backend=backend, **options)
        self.run.events.subscribe(self.events.append)

    def result(self):
        return self.run.result(timeout=120)

    def lost(self):
        return [event for event in self.events if isinstance(event, WorkerLost)]

    def notices(self):
        return [event.text for event in self.events if isinstance(event, Notice)]


def assert_whole(submitted, glosses):
    assert submitted.result().done == FILES * ROWS
    found = pf.open_results(submitted.results)
    wanted = [len(one["text"].encode()) for one in glosses[: FILES * ROWS]]
    assert found.length.values.tolist() == wanted
    assert found.valid.values.all()


def wait_for(condition):
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


AGAIN = [pytest.param(n, marks=pytest.mark.soak("the same again")) for n in range(1, 8)]


@pytest.mark.documented("device-lost-again")
@pytest.mark.parametrize("attempt", [0, *AGAIN])
def test_one_bad_device_of_three(corpus, glosses, devices, tmp_path, attempt):
    device = devices(always=("0",), seconds=0.1)
    with pf.connect(workers=3, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        assert_whole(submitted, glosses)
        lost = Counter(device.calls("lost"))
        assert {name for name, _ in lost} == {"0"}
        # Each process: the task that lost the device, and one that dask sent meanwhile.
        assert max(lost.values()) <= 2
        assert len(lost) == 2
        assert len(submitted.lost()) == 1
        assert submitted.lost()[0].reason.endswith("cudaError 719, also after a restart")
        wait_for(lambda: len(client.nthreads()) == 2)
    assert not any("tried again alone" in notice for notice in submitted.notices())


@pytest.mark.documented("device-lost")
def test_a_device_that_works_after_a_restart(corpus, glosses, devices, tmp_path):
    device = devices(once=("0",))
    with pf.connect(workers=1, threads=3, quiet=True) as client:
        (scattered,) = client.scatter([b"mine"], hash=False)
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        assert_whole(submitted, glosses)
        (dropped,) = (notice for notice in submitted.notices() if " drops " in notice)
        assert f" drops 1 result of other work ({scattered.key}), " in dropped
        # All threads of the process fail, and it is restarted once.
        assert len({pid for _, pid in device.calls("lost")}) == 1
        assert len({pid for _, pid in device.calls("computed")}) == 2  # the trial is in the first
        assert sum("is restarted" in notice for notice in submitted.notices()) == 1
        assert submitted.lost() == []


def test_the_only_device_fails_again_in_a_fresh_process(corpus, glosses, devices, tmp_path):
    device = devices(always=("0",))
    with pf.connect(workers=1, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        with pytest.raises(
            DeviceLost,
            match=r"^worker tcp://\S+ lost its device twice, the second time in a fresh process, "
            r"at partition \d+ \(file.*cudaError 719; no other worker is left\. Finished shards "
            r"are kept: check the device, or start a cluster with --cluster cpu, and run again",
        ):
            submitted.result()
        calls = device.calls("lost")
        lost = {pid for _, pid in calls}
        assert len(lost) == 2
        # The next run does not meet a process without a device.
        assert_whole(Submitted(client, corpus, tmp_path / "other", devices()), glosses)
        assert device.calls("lost") == calls
        assert lost.isdisjoint(client.run(os.getpid).values())
        assert_whole(Submitted(client, corpus, tmp_path / "r", device, "cpu"), glosses)


def test_every_device_fails_again(corpus, devices, tmp_path):
    device = devices(always=("0", "1"))
    with pf.connect(workers=2, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        with pytest.raises(DeviceLost, match=r"lost its device twice, .*; no other worker is left"):
            submitted.result()
        assert len({pid for _, pid in device.calls("lost")}) == 4


def test_deaths_by_a_restart_are_not_blamed_on_tasks(corpus, glosses, devices, tmp_path):
    device = devices(once=("0",), seconds=0.3)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pf.connect(workers=1, threads=3, quiet=True) as client,
    ):
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        assert_whole(submitted, glosses)
        assert not any("tried again alone" in notice for notice in submitted.notices())


class Unusable(WorkerPlugin):
    """Makes the devices of new processes unusable once a process has lost one."""

    def __init__(self, folder):
        self.calls = folder / "calls"

    def setup(self, worker):
        if self.calls.exists() and "lost" in self.calls.read_text():
            import cupy

            from paninifs.graphs.kernels.cuda import cuda_backend

            def fail(*_):
                raise cupy.cuda.runtime.CUDARuntimeError(100)

            cuda_backend.prepare.cache_clear()
            cupy.cuda.runtime.deviceSynchronize = fail
            cupy.empty = fail


@pytest.mark.parametrize("workers", [1, 2])
def test_a_device_that_no_fresh_process_can_use(corpus, glosses, devices, tmp_path, workers):
    device = devices(always=("0",), seconds=0.1)
    with pf.connect(workers=workers, quiet=True) as client:
        client.register_plugin(Unusable(tmp_path))
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        if workers > 1:
            assert_whole(submitted, glosses)
            (lost,) = submitted.lost()
            assert "cannot use the backend 'cuda'" in lost.reason
            return
        with pytest.raises(
            DeviceLost, match="lost its device, and a fresh process cannot use it either: worker"
        ):
            submitted.result()


@pytest.mark.documented("device-lost-at-partition")
def test_a_partition_at_which_every_device_fails(corpus, glosses, devices, tmp_path):
    device = devices(at=glosses[-100]["text"])
    with pf.connect(workers=2, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        with pytest.raises(
            RunFailed,
            match=r"^3 worker processes lost their device at partition \d+ \(file.*cudaError 719; "
            r"a kernel may access memory out of bounds\. Finished shards are kept",
        ):
            submitted.result()
        assert len(submitted.lost()) <= 1  # if it is tried twice by the same worker first
        assert_whole(Submitted(client, corpus, tmp_path / "r", device, "cpu"), glosses)


def test_two_runs_lose_the_same_device(corpus, glosses, devices, tmp_path):
    device = devices(once=("0",))
    with pf.connect(workers=2, quiet=True) as client:
        runs = [Submitted(client, corpus, tmp_path / name, device) for name in "ab"]
        for submitted in runs:
            assert_whole(submitted, glosses)
            assert submitted.lost() == []
        assert len({pid for _, pid in device.calls("lost")}) == 1


def test_a_run_is_cancelled_while_its_worker_restarts(corpus, devices, tmp_path, monkeypatch):
    with pf.connect(workers=1, quiet=True) as client:
        begun = []

        def hangs(*_, **__):
            begun.append(True)
            time.sleep(20)
            raise TimeoutError

        monkeypatch.setattr(client, "restart_workers", hangs)
        submitted = Submitted(client, corpus, tmp_path / "r", devices(always=("0",)))
        wait_for(lambda: begun)
        submitted.run.cancel()
        with pytest.raises(RunCancelled):
            submitted.result()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_that_fails(corpus, glosses, devices, tmp_path, monkeypatch, workers):
    def fail(*_, **__):
        raise TimeoutError("no answer")

    with pf.connect(workers=workers, quiet=True) as client:
        monkeypatch.setattr(client, "restart_workers", fail)
        submitted = Submitted(client, corpus, tmp_path / "r", devices(always=("0",), seconds=0.1))
        if workers == 1:
            with pytest.raises(
                DeviceLost, match=r"and its restart failed \(TimeoutError: no answer"
            ):
                submitted.result()
            return
        assert_whole(submitted, glosses)
        (lost,) = submitted.lost()
        assert lost.reason.endswith("719, and its restart failed (TimeoutError: no answer)")
        wait_for(lambda: len(client.nthreads()) == 1)


# --- in the trial ---------------------------------------------------------------------------------


def test_a_device_lost_in_the_trial_is_not_the_blocks_fault(corpus, glosses, devices, tmp_path):
    device = devices(once=("0",), spared=())
    with pf.connect(workers=1, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        assert_whole(submitted, glosses)
        assert len(device.calls("lost")) == 1
        assert sum("is restarted" in notice for notice in submitted.notices()) == 1


def test_a_kernel_that_crashes_devices_ends_in_the_trial(corpus, devices, tmp_path):
    device = devices(always=("0", "1"), spared=())
    with pf.connect(workers=2, quiet=True) as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        with pytest.raises(
            RunFailed,
            match=r"^block 'fragile' makes devices fail: .*rows 2-3, and .* 719\. Nothing",
        ):
            submitted.result()
        assert not (tmp_path / "r").exists()
        assert {name for name, _ in device.calls("lost")} == {"0", "1"}


# --- without nannies ------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    started = Cluster(tmp_path, "pass")
    yield started
    started.close_workers()
    started.close()


def test_a_worker_without_a_nanny_is_retired_at_once(cluster, corpus, glosses, devices, tmp_path):
    paths = [path for path in sys.path if "cuda_on_host" in path or path.endswith("support")]
    code = f"import sys; sys.path[:0] = {paths}"
    cluster.worker(f"{code}; import failing_device; failing_device.ALWAYS.append(True)")
    cluster.worker(code)
    device = devices(seconds=0.1)
    with cluster.client() as client:
        submitted = Submitted(client, corpus, tmp_path / "r", device)
        wait_for(lambda: len(client.nthreads()) == 1)
        assert not submitted.run.done
        assert_whole(submitted, glosses)
        assert len(device.calls("lost")) <= 2
        (lost,) = submitted.lost()
        assert lost.reason.endswith("failed: cudaError 719")
