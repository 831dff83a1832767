"""`LostWorkers` on a stand-in of a cluster: what is restarted, retired, blamed, and said."""

from __future__ import annotations

import threading

import pytest

from paninifs.engine.monitoring.events import Notice, WorkerLost
from paninifs.engine.run.failures import lost_workers
from paninifs.engine.run.failures.lost_workers import LostWorkers
from paninifs.engine.worker.values.worker_process import WorkerProcess
from paninifs.storage.errors import DeviceLost, RunFailed, UnfitWorker

ERROR = DeviceLost("the GPU failed")


class Cluster:
    """Workers, of which those named ``nanny-...`` have a nanny.

    Those that are restarted are back after `back`; those that are retired leave after `going`. A
    restarted worker keeps its address, as with ``dask worker --worker-port``.
    """

    status = "running"

    def __init__(self, *names):
        self.processes = {f"tcp://{name}": 0 for name in names}
        self.restarted, self.retired, self.events, self.stopped = [], [], [], []
        self.back, self.going = threading.Event(), threading.Event()
        self.back.set()
        self.going.set()
        self.answer = "OK"
        self.held = {}  # keys of data, by address
        self.lost = LostWorkers(self, self.events.append, self.stopped.append)

    def nthreads(self):
        return dict.fromkeys(self.processes, 1)

    def scheduler_info(self, n_workers):
        workers = {
            address: {"status": "running", "nanny": self._nanny(address)}
            for address in self.processes
        }
        return {"workers": workers}

    def _nanny(self, address):
        return f"{address}-nanny" if "nanny" in address else None

    def has_what(self, workers):
        if isinstance(self.held, Exception):
            raise self.held
        return {address: tuple(self.held.get(address, ())) for address in workers}

    def restart_workers(self, workers, timeout, raise_for_error):
        assert (timeout, raise_for_error) == (lost_workers.RESTART_SECONDS, False)
        (worker,) = workers
        assert self._nanny(worker), "Restarting workers requires a nanny"
        self.restarted.append(worker)
        number = self.processes.pop(worker) if self.answer == "OK" else None
        self.back.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        if number is not None:
            self.processes[worker] = number + 1
        return {worker: self.answer}

    def retire_workers(self, workers):
        self.retired += workers
        self.going.wait(10)
        for worker in workers:
            self.processes.pop(worker, None)

    def process(self, name):
        address = f"tcp://{name}"
        number = self.processes.get(address, 0)
        return WorkerProcess(address, f"{address}-{number}", self._nanny(address))

    def lose(self, name, partition=0, error=ERROR):
        """Lose the device of a worker's present process; return that process."""
        return self.report(self.process(name), partition, error)

    def report(self, process, partition=0, error=ERROR):
        self.lost.add(process, error, f"partition {partition}", partition)
        if self.back.is_set():
            self.settle()
        return process

    def settle(self):
        for _, thread in self.lost._leaving:
            thread.join(10)

    def said(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_a_process_is_restarted_once_for_all_its_tasks():
    cluster = Cluster("nanny-a")
    process = cluster.lose("nanny-a", 0)
    cluster.report(process, 1)
    cluster.report(process, 2)
    assert cluster.restarted == ["tcp://nanny-a"]
    assert cluster.lost.restarts == 1
    assert [event.text for event in cluster.said(Notice)] == [
        "the GPU failed; worker tcp://nanny-a is restarted"
    ]
    assert cluster.lost.threads() == {"tcp://nanny-a": 1}  # under the same address
    assert cluster.lost.preferred() is None


OTHERS = {
    "one": (["frame-1f"], "1 result of other work (frame-1f), unless other workers have it too"),
    "of many kinds": ([("read", 2), 7, "a", b"b"], "4 results of other work ("),
    "of runs": ([("digest", "paninifs-0f", 3, 1), "readiness-2e", "paninifs-trial-1"], None),
    "none": ([], None),
}


@pytest.mark.parametrize(("keys", "said"), OTHERS.values(), ids=OTHERS)
def test_data_of_others_that_a_restart_drops(keys, said):
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.held = {"tcp://nanny-a": keys, "tcp://nanny-b": ["of another worker"]}
    cluster.lose("nanny-a")
    assert cluster.restarted == ["tcp://nanny-a"]
    dropped = [event.text for event in cluster.said(Notice) if "drops" in event.text]
    assert len(dropped) == (said is not None)
    if said:
        assert dropped[0].startswith(f"the restart of worker tcp://nanny-a drops {said}")
        assert dropped[0].endswith(" again, but not what was scattered")


def test_a_scheduler_that_does_not_say_what_is_dropped():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.held = OSError("no answer")
    cluster.lose("nanny-a")
    assert cluster.restarted == ["tcp://nanny-a"]
    assert len(cluster.said(Notice)) == 1


def test_a_second_loss_retires_the_worker():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.lose("nanny-a", 0)
    cluster.lose("nanny-a", 1)
    assert cluster.retired == ["tcp://nanny-a"]
    assert cluster.lost.threads() == {"tcp://nanny-b": 1}
    assert cluster.said(WorkerLost) == [
        WorkerLost("tcp://nanny-a", "the GPU failed, also after a restart")
    ]


def test_workers_that_leave_do_not_restrict_tasks():
    # A task with addresses hangs if dask gets it after these workers, and all others, have left.
    cluster = Cluster("nanny-a", "nanny-b", "c")
    cluster.lose("nanny-a")
    cluster.going.clear()
    cluster.back.clear()
    cluster.lose("nanny-a")
    assert "tcp://nanny-a" in cluster.processes
    assert cluster.lost.threads().keys() == {"tcp://nanny-b", "tcp://c"}
    assert cluster.lost.preferred() is None
    cluster.lose("c", error=UnfitWorker("lacks a module"))
    assert cluster.lost.preferred() == ["tcp://nanny-b"]
    cluster.lose("nanny-b", 1)  # and is restarted
    assert cluster.lost.preferred() is None
    cluster.going.set()
    cluster.back.set()
    cluster.settle()
    assert cluster.lost.preferred() == ["tcp://nanny-b"]


def test_a_worker_that_cannot_be_retired_gets_no_more_tasks():
    cluster = Cluster("a", "b")
    cluster.retire_workers = cluster.retired.extend  # as if its data could not be moved
    cluster.lose("a")
    assert cluster.retired == ["tcp://a"]
    assert cluster.lost.preferred() == ["tcp://b"]


def test_a_worker_that_restarts_counts_as_one_that_is_left():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.lose("nanny-b")
    cluster.back.clear()
    cluster.lose("nanny-a", 1)
    cluster.lose("nanny-b", 2)  # its second loss, while the other one is away
    cluster.back.set()
    cluster.settle()
    assert cluster.retired == ["tcp://nanny-b"]


def test_a_fresh_process_that_is_unfit_is_a_second_loss():
    cluster = Cluster("nanny-a", "b")
    cluster.lose("nanny-a")
    cluster.lose("nanny-a", error=UnfitWorker("no device was found"))
    assert cluster.retired == ["tcp://nanny-a"]
    alone = Cluster("nanny-a")
    alone.lose("nanny-a")
    with pytest.raises(DeviceLost, match="a fresh process cannot use it either: no device was"):
        alone.lose("nanny-a", error=UnfitWorker("no device was found"))


def test_an_unfit_worker_is_neither_restarted_nor_retired():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.lose("nanny-a", error=UnfitWorker("lacks a module"))
    assert (cluster.restarted, cluster.retired) == ([], [])
    assert cluster.lost.preferred() == ["tcp://nanny-b"]
    with pytest.raises(UnfitWorker, match=r"^lacks another; no other worker is left\. Finished"):
        cluster.lose("nanny-b", error=UnfitWorker("lacks another"))


def test_a_worker_without_a_nanny_is_retired():
    cluster = Cluster("a", "b")
    cluster.lose("a")
    assert (cluster.restarted, cluster.retired) == ([], ["tcp://a"])
    with pytest.raises(DeviceLost, match=r"no other worker is left.*--cluster cpu, and run again"):
        cluster.lose("b")
    assert cluster.retired == ["tcp://a"]  # a cluster without workers would be of no use


def test_a_partition_is_blamed_for_three_workers():
    cluster = Cluster("nanny-a", "nanny-b", "nanny-c", "nanny-d")
    cluster.lose("nanny-a", 7)
    cluster.lose("nanny-b", 7)
    with pytest.raises(RunFailed, match=r"^3 worker processes lost their device at partition 7, "):
        cluster.lose("nanny-c", 7)
    cluster.settle()
    assert cluster.restarted == [f"tcp://nanny-{name}" for name in "abc"]


def test_a_partition_is_blamed_if_no_worker_is_without_suspicion():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.lose("nanny-a", 7)
    cluster.lose("nanny-b", 7)
    with pytest.raises(RunFailed, match="3 worker processes"):
        cluster.lose("nanny-a", 7)
    cluster.settle()
    assert cluster.retired == []
    assert len(cluster.restarted) == 3  # for the next run


def test_two_bad_devices_do_not_blame_a_partition():
    cluster = Cluster("nanny-a", "nanny-b", "nanny-c")
    for name in ("nanny-a", "nanny-b", "nanny-a", "nanny-b"):
        cluster.lose(name, 7)
    assert cluster.retired == ["tcp://nanny-a", "tcp://nanny-b"]


def test_tries_in_one_process_do_not_blame_a_partition():
    cluster = Cluster("nanny-a", "nanny-b")
    cluster.back.clear()
    process = cluster.process("nanny-a")
    for _ in range(5):
        cluster.report(process, 7)
    cluster.back.set()
    cluster.settle()
    assert cluster.restarted == ["tcp://nanny-a"]


def test_a_worker_that_has_left_is_not_given_up():
    cluster = Cluster("nanny-a")  # another run restarted it
    cluster.answer = KeyError("tcp://nanny-a")
    cluster.lose("nanny-a")
    assert (cluster.stopped, cluster.said(WorkerLost)) == ([], [])


FAILED = {"an error": OSError("no answer"), "too slow": "timed out"}


@pytest.mark.parametrize("answer", FAILED.values(), ids=FAILED)
def test_a_worker_whose_restart_failed_is_given_up(answer):
    cluster = Cluster("nanny-a", "b")
    cluster.answer = answer
    cluster.lose("nanny-a")
    (lost,) = cluster.said(WorkerLost)
    assert ", and its restart failed (" in lost.reason
    assert (cluster.retired, cluster.stopped) == (["tcp://nanny-a"], [])


@pytest.mark.parametrize("answer", FAILED.values(), ids=FAILED)
def test_the_last_worker_whose_restart_failed_stops_the_run(answer):
    cluster = Cluster("nanny-a")
    cluster.answer = answer
    cluster.lose("nanny-a")
    (error,) = cluster.stopped
    assert isinstance(error, DeviceLost)
    assert "its restart failed" in str(error)


def test_a_restart_that_fails_as_the_client_closes_says_nothing():
    cluster = Cluster("nanny-a")
    cluster.answer, cluster.status = OSError("closed"), "closing"
    cluster.lose("nanny-a")
    assert (cluster.stopped, cluster.said(WorkerLost)) == ([], [])


def test_processes_that_are_ended_are_waited_for():
    cluster = Cluster("nanny-a")
    cluster.answer = "timed out"  # and stays in the cluster meanwhile
    cluster.back.clear()
    cluster.lose("nanny-a")
    cluster.lost.await_leaving(0.2)  # in vain
    threading.Timer(0.2, cluster.back.set).start()
    cluster.lost.await_leaving(30)
    assert cluster.back.is_set()
