"""What else can happen to a run: its cluster's processes die or hang, the network goes, the disk fills.

Scheduler and workers are processes of their own here, started as a user starts them by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from resuming import SHARDS, assert_same_and_no_shard_twice, attempt_at, run_to_the_end

from paninifs.storage.lease import LEASES
from paninifs.storage.local_target import LocalTarget

pytestmark = pytest.mark.slow

SLOW = 0.03  # seconds a write: there is time to strike
SECOND_CLIENT = "refused"


class Services:
    """A scheduler and workers, each a process with a nanny or without one."""

    def __init__(self, folder, inside=(), host="127.0.0.1", **settings):
        self.folder, self.inside, self.host = folder, inside, host
        self.environment = os.environ | {f"DASK_DISTRIBUTED__{k}": v for k, v in settings.items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://{host}:{self.port}"
        self.processes = []

    def scheduler(self):
        return self._started(
            "scheduler", self.inside, "--host", self.host, "--port", str(self.port)
        )

    def worker(self, *options, inside=None, host=None):
        inside, host = (self.inside, self.host) if inside is None else (inside, host)
        scratch = ("--local-directory", str(self.folder / "scratch"))
        named = (self.address, "--host", host, "--nthreads", "1", "--memory-limit", "0")
        return self._started("worker", inside, *named, *scratch, *options)

    def _started(self, what, inside, *options):
        dashboard = ("--no-dashboard", "--dashboard-address", f"{self.host}:0")
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{what}"]
        with (self.folder / f"{what}-{len(self.processes)}.txt").open("w") as said:
            process = subprocess.Popen(
                [
                    *inside,
                    *command,
                    *options,
                    *(dashboard if what == "scheduler" else dashboard[:1]),
                ],
                stdout=said,
                stderr=said,
                env=self.environment,
            )
        self.processes.append(process)
        return process

    def close(self):
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                    with suppress(psutil.NoSuchProcess):
                        one.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def services(tmp_path):
    """Start services of the test's own; they are killed when it ends."""
    started = []

    def begin(**options):
        started.append(Services(tmp_path, **options))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def until(holds, seconds=60):
    """Wait; return what `holds` returned when that was true."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.01)
    return result


def done(folder):
    log = folder / "log"
    return log.read_text().count("done") if log.exists() else 0


def half_done(folder):
    """Wait until shards are both done and pending."""
    until(lambda: done(folder))
    assert done(folder) < SHARDS


def worker_of(nanny):
    """Return the process of a nanny's worker."""

    def found():
        children = psutil.Process(nanny.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    return until(found)[0]


def why(folder):
    return (folder / "log.error").read_text()


# --- processes die ------------------------------------------------------------------------------


def test_a_nanny_killed_takes_its_worker_along_and_the_run_goes_on(
    services, start, file_a_shard, undisturbed, tmp_path
):
    cluster = services()
    cluster.scheduler()
    nannies = [cluster.worker(), cluster.worker()]
    process = start(attempt_at(file_a_shard, tmp_path, scheduler=cluster.address, seconds=SLOW))
    half_done(tmp_path)
    worker = worker_of(nannies[0])
    nannies[0].kill()
    nannies[0].wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    process.join()
    assert process.exitcode == 0
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def test_a_scheduler_killed_ends_the_run_with_a_clear_error_and_a_new_one_goes_on(
    services, start, file_a_shard, undisturbed, tmp_path
):
    cluster = services()
    scheduler = cluster.scheduler()
    nanny = cluster.worker()
    attempt = attempt_at(file_a_shard, tmp_path, scheduler=cluster.address, seconds=SLOW)
    process = start(attempt)
    half_done(tmp_path)
    scheduler.kill()
    scheduler.wait()
    process.join(60)
    assert process.exitcode == 1
    assert why(tmp_path).startswith("RunFailed: the cluster went away during partition")
    assert "submit again to go on" in why(tmp_path)
    assert 0 < done(tmp_path) < SHARDS
    nanny.wait(60)  # nothing is left that would have to be looked for
    cluster.scheduler()
    cluster.worker()
    run_to_the_end(start, file_a_shard, tmp_path, scheduler=cluster.address)
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


# --- processes hang -----------------------------------------------------------------------------


@pytest.mark.parametrize("nanny", ["--nanny", "--no-nanny"])
def test_a_worker_that_hangs_in_the_middle_of_a_shard_is_done_without(
    nanny, services, start, file_a_shard, undisturbed, tmp_path
):
    """One with a nanny is killed and started again; one without wakes later, and goes on."""
    cluster = services(SCHEDULER__WORKER_TTL="1 s")  # dask makes it 5 s at the least
    cluster.scheduler()
    cluster.worker("--no-nanny")
    hanging = cluster.worker(nanny)
    options = {"scheduler": cluster.address, "seconds": SLOW}
    options |= {"kill_at": 20, "mode": "before", "signal": int(signal.SIGSTOP)}
    process = start(attempt_at(file_a_shard, tmp_path, **options))

    def stopped():
        family = [psutil.Process(p.pid) for p in cluster.processes[1:]]
        family += worker_or_none(hanging)
        return [p for p in family if p.status() == psutil.STATUS_STOPPED]

    (victim,) = until(stopped)
    process.join()
    assert process.exitcode == 0
    finished = done(tmp_path)
    assert finished == SHARDS
    if victim.is_running() and victim.status() == psutil.STATUS_STOPPED:
        victim.send_signal(signal.SIGCONT)
        # Its run is over, but it was past asking: the same bytes, under the same names.
        until(lambda: done(tmp_path) > finished or not victim.is_running())
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def worker_or_none(nanny):
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(nanny.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return []
