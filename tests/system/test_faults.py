"""Faults around a run: its cluster dies or hangs, the network fails, the disk is full.

Scheduler and workers are separate processes, started as a user starts them by hand.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
from distributed.comm.core import CommClosedError
from resuming import SHARDS, assert_same_and_no_shard_twice, attempt_at, run_to_the_end

import paninifs as pf
from paninifs.storage.errors import RunFailed
from paninifs.storage.store.keys import LEASES
from paninifs.storage.targets.local import LocalTarget, is_temporary

SLOW = 0.03  # seconds per write: time enough to interfere


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
        # A worker that imports while working is silent for so long that it seems hung.
        ready = ("--preload", "prepared")
        return self._started("worker", inside, *named, *scratch, *ready, *options)

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
    """Start services for one test; they are killed when it ends."""
    started = []

    def begin(**options):
        started.append(Services(tmp_path, **options))
        return started[-1]

    yield begin
    for client in multiprocessing.active_children():
        client.kill()  # otherwise a process that a failed test left stopped would block
    for one in started:
        one.close()


def until(holds, seconds=60):
    """Wait until `holds` returns something true; return that."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.01)
    return result


def done(folder):
    log = folder / "log"
    return log.read_text().count("done") if log.exists() else 0


def half_done(folder):
    """Wait until some shards are done and some pending."""
    until(lambda: done(folder))
    assert done(folder) < SHARDS


def worker_of(nanny):
    """Return the process of a nanny's worker."""

    return until(lambda: [p for p in family(nanny) if "spawn_main" in " ".join(p.cmdline())])[0]


def why(folder):
    return (folder / "log.error").read_text()


# --- processes die ------------------------------------------------------------------------------


@pytest.mark.soak("waits until dask has noticed the killed nanny")
@pytest.mark.documented("nanny-killed")
def test_a_run_survives_a_killed_nanny(services, start, file_a_shard, undisturbed, tmp_path):
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


@pytest.mark.documented("scheduler-killed")
def test_a_killed_scheduler_ends_the_run_which_resumes(
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
    assert why(tmp_path).startswith("RunFailed: the cluster went away")
    assert "submit again to resume" in why(tmp_path)
    assert 0 < done(tmp_path) < SHARDS
    nanny.wait(60)  # nothing is left to clean up
    cluster.scheduler()
    cluster.worker()
    run_to_the_end(start, file_a_shard, tmp_path, scheduler=cluster.address)
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def test_a_scheduler_lost_during_a_request_ends_the_run(
    client, file_a_shard, tmp_path, monkeypatch
):
    def nthreads():
        raise CommClosedError("reset by peer")

    monkeypatch.setattr(client, "nthreads", nthreads)
    corpus = pf.open_corpus(file_a_shard[0])
    run = pf.submit(pf.default_graph(), corpus, tmp_path / "r", client=client, progress=False)
    with pytest.raises(RunFailed, match=r"went away \(reset by peer\); submit again to resume"):
        run.result()


# --- processes hang -----------------------------------------------------------------------------


@pytest.mark.soak("waits until the hung worker is given up")
@pytest.mark.documented("worker-hung")
@pytest.mark.parametrize("wake", ["never", "during the retry", "after the run"])
def test_a_run_does_without_a_hung_worker(
    wake, services, start, file_a_shard, undisturbed, tmp_path
):
    """A worker with a nanny is killed and restarted; one without may wake later and write on."""
    cluster = services(SCHEDULER__WORKER_TTL="1 s")  # dask's minimum is 5 s
    cluster.scheduler()
    nanny = "--nanny" if wake == "never" else "--no-nanny"
    workers = [cluster.worker(nanny), cluster.worker(nanny)]
    options = {"scheduler": cluster.address, "seconds": SLOW}
    options |= {"kill_at": 20, "mode": "before", "signal": int(signal.SIGSTOP)}
    process = start(attempt_at(file_a_shard, tmp_path, **options))
    victim = until(lambda: stopped(worker for nanny in workers for worker in family(nanny)))
    if wake == "during the retry":
        until(lambda: len(computed(tmp_path)) > len(set(computed(tmp_path))))
        victim.send_signal(signal.SIGCONT)
    process.join()
    assert process.exitcode == 0
    if wake == "never":
        until(lambda: not victim.is_running())
    if wake == "after the run":
        finished = done(tmp_path)
        victim.send_signal(signal.SIGCONT)
        # It no longer checks who owns the store. It writes the same bytes under the same names; or
        # it fails, and closes, if the run has removed the files that it was about to rename.
        until(lambda: done(tmp_path) > finished or has_ended(victim))
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def stopped(processes):
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                return process
    return None


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def family(process):
    """Return a process and its descendants."""
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return []


def computed(folder):
    """Return which shards were begun, in order, with repetitions."""
    lines = (folder / "log").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("computed")]


# --- two clients --------------------------------------------------------------------------------


@pytest.mark.soak("waits until a process is known to be dead")
def test_a_second_client_takes_over_once_the_first_is_dead(
    services, start, file_a_shard, undisturbed, tmp_path
):
    cluster = services()
    cluster.scheduler()
    cluster.worker()
    cluster.worker()
    attempt = attempt_at(file_a_shard, tmp_path, scheduler=cluster.address, seconds=SLOW)
    first = start(attempt)
    half_done(tmp_path)
    second = start(attempt)
    second.join()
    assert second.exitcode == 1
    assert why(tmp_path).startswith("LeaseHeld: ")
    assert f"is being written by process {first.pid} on {platform.node()}; " in why(tmp_path)
    assert first.exitcode is None
    first.kill()
    first.join()
    assert 0 < done(tmp_path) < SHARDS  # its tasks are still running
    began = time.monotonic()
    third = start(attempt)
    until(lambda: owner(tmp_path).get("pid") == third.pid)
    assert time.monotonic() - began < 10  # without the minute that a silent host is given
    third.join()
    assert third.exitcode == 0
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


@pytest.mark.soak("waits until the lease has passed")
@pytest.mark.documented("client-hung")
def test_a_client_that_hung_beyond_its_lease_stops(
    services, start, file_a_shard, undisturbed, tmp_path
):
    """Name another host, and beat for it; then wait two seconds instead of a minute."""
    cluster = services()
    cluster.scheduler()
    cluster.worker()
    attempt = attempt_at(file_a_shard, tmp_path, scheduler=cluster.address, seconds=SLOW)
    first = start(attempt)
    half_done(tmp_path)
    os.kill(first.pid, signal.SIGSTOP)
    change_lease(tmp_path, host="elsewhere")
    second = start(attempt)
    while second.is_alive():
        change_lease(tmp_path, beat=time.time())
        time.sleep(0.5)
    assert why(tmp_path).startswith("LeaseHeld: ")
    assert f"process {first.pid} on elsewhere; " in why(tmp_path)
    third = start(replace(attempt, dead_after=2.0))
    until(lambda: owner(tmp_path).get("pid") == third.pid)
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    assert first.exitcode == 1
    assert why(tmp_path).startswith("LeaseLost: another driver owns")
    third.join()
    assert third.exitcode == 0
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def owner(folder):
    """Return the content of the store's newest lease; empty while it changes hands."""
    target = LocalTarget(folder / "out.zarr")
    return json.loads(target.get(lease_key(target)) or "{}")


def change_lease(folder, **changes):
    target = LocalTarget(folder / "out.zarr")
    target.put(lease_key(target), json.dumps(owner(folder) | changes).encode())


def lease_key(target):
    return max(key for key in target.sizes(LEASES) if not is_temporary(key))


# --- the disk is full ---------------------------------------------------------------------------


def test_a_run_ended_by_a_full_disk_resumes(start, file_a_shard, undisturbed, tmp_path):
    process = start(attempt_at(file_a_shard, tmp_path, full_after=70))
    process.join()
    assert process.exitcode == 1
    assert "No space left on device" in why(tmp_path)
    assert 0 < done(tmp_path) < SHARDS
    (tmp_path / "log.room").touch()
    run_to_the_end(start, file_a_shard, tmp_path, full_after=70)
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


ON_A_SMALL_DISK = """
mount -t tmpfs -o size={size}k small {disk} || exit 77
{python} -P -c "from faults import Attempt; {attempt}()" && exit 78
ls {disk}/out.zarr/_run/done | wc -l > {folder}/before
mount -o remount,size=64m {disk}
{python} -P -c "from faults import Attempt; {attempt}()" || exit 79
cp -r {disk}/out.zarr {folder}
"""


def test_a_run_on_a_really_full_file_system_resumes(file_a_shard, undisturbed, tmp_path):
    """In a mount namespace, so that the disk goes with the process."""
    disk = tmp_path / "disk"
    disk.mkdir()
    attempt = replace(attempt_at(file_a_shard, tmp_path), results=str(disk / "out.zarr"))
    script = ON_A_SMALL_DISK.format(
        size=350, disk=disk, python=sys.executable, attempt=attempt, folder=tmp_path
    )
    try:
        ended = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        pytest.skip(f"needs unshare: {error}")
    if "unshare failed" in ended.stderr or ended.returncode == 77:
        pytest.skip(f"needs leave to mount: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert "bytes were to be written, " in why(tmp_path)
    assert 0 < int((tmp_path / "before").read_text()) < SHARDS
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


# --- the network fails --------------------------------------------------------------------------


@pytest.fixture
def cable():
    """Two network namespaces, and a cable between them that can be cut."""
    names = [f"paninifs-{os.getpid()}-{side}" for side in "ab"]
    try:
        yield Cable(*names)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


class Cable:
    """The link between the two namespaces."""

    hosts = ("10.98.76.1", "10.98.76.2")

    def __init__(self, *names):
        self.insides = [("ip", "netns", "exec", name) for name in names]
        near, far = (f"pf{os.getpid() % 10**7}{side}" for side in "ab")
        self.plug = far
        try:
            for name in names:
                ip("netns", "add", name)
            pair = ("type", "veth", "peer", "name", far, "netns", names[1])
            ip("link", "add", near, "netns", names[0], *pair)
            for name, link, host in zip(names, (near, far), self.hosts, strict=True):
                ip("-n", name, "address", "add", f"{host}/24", "dev", link)
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", link, "up")
        except FileNotFoundError as error:
            pytest.skip(f"needs ip: {error}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"needs leave to make network namespaces: {error.stderr.strip()}")

    def set(self, state):
        name = self.insides[1][-1]
        ip("-n", name, "link", "set", self.plug, state)


def ip(*command):
    subprocess.run(["ip", *command], capture_output=True, text=True, check=True)


@pytest.mark.soak("waits until every party has noticed")
@pytest.mark.documented("network-cut")
def test_a_run_does_without_a_disconnected_worker(
    cable, services, file_a_shard, undisturbed, tmp_path
):
    here, there = cable.insides
    cluster = services(
        inside=here,
        host=cable.hosts[0],
        SCHEDULER__WORKER_TTL="1 s",
        COMM__TIMEOUTS__TCP="11 s",  # dask's minimum
        COMM__TIMEOUTS__CONNECT="3 s",
    )
    cluster.scheduler()
    cluster.worker()
    far = cluster.worker(inside=there, host=cable.hosts[1])
    attempt = attempt_at(file_a_shard, tmp_path, scheduler=cluster.address, seconds=SLOW * 3)
    code = f"from faults import Attempt; {attempt}()"
    client = subprocess.Popen([*here, sys.executable, "-P", "-c", code], env=cluster.environment)
    cluster.processes.append(client)
    half_done(tmp_path)
    until(lambda: any(writer_of(line, far) for line in (tmp_path / "log").read_text().splitlines()))
    cable.set("down")
    assert done(tmp_path) < SHARDS
    time.sleep(15)  # longer than any of their timeouts
    cable.set("up")
    assert client.wait(60) == 0
    assert_same_and_no_shard_twice(file_a_shard, tmp_path, undisturbed[SHARDS])


def writer_of(line, nanny):
    """Whether a log line comes from a nanny's worker."""
    return int(line.split()[-1]) in [process.pid for process in family(nanny)]
