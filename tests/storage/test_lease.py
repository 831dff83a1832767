"""The lease: one writer per store, and dead owners block no one."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict

import psutil
import pytest

from paninifs.storage.errors import LeaseHeld, LeaseLost
from paninifs.storage.store.keys import LEASES
from paninifs.storage.store.leases import lease as module
from paninifs.storage.store.leases.lease import Lease, LeaseTicket, Owner, current_owner
from paninifs.storage.targets.local import LocalTarget, is_temporary

HOLD = """
import sys, time
from paninifs.storage.store.leases import lease
from paninifs.storage.targets.local import LocalTarget
lease.BEAT_SECONDS = float(sys.argv[2])
lease.Lease.acquire(LocalTarget(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
import os
os._exit(0)
"""

TRY = """
import sys
from paninifs.storage.errors import LeaseHeld
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.local import LocalTarget
try:
    Lease.acquire(LocalTarget(sys.argv[1])).release()
except LeaseHeld as error:
    print("refused:", error)
else:
    print("taken")
"""


@pytest.fixture
def target(tmp_path):
    return LocalTarget(tmp_path / "store.zarr")


@pytest.fixture
def holder(target):
    """Another process that holds the lease until it exits without releasing it."""
    command = [sys.executable, "-P", "-c", HOLD, target.url, "10"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write(target, number=1, **changes):
    """Write a lease as this process would, with some fields changed."""
    owner = asdict(Owner.this_process(target)) | {"token": "another's"}
    target.put(f"{LEASES}/{number:08d}.json", json.dumps(owner | changes).encode())


def host_of(target, *, ticks=None):
    """What this process is known by; with other ticks, a process that had its number before."""
    host = Owner.this_process(target).host
    return host if ticks is None else re.sub(r"ticks:\d+", f"ticks:{ticks}", host)


@pytest.fixture
def soon(monkeypatch):
    """Take an owner that cannot be seen for dead after a moment, not a minute."""
    monkeypatch.setattr(module, "DEAD_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)


@pytest.fixture
def often(monkeypatch):
    """Look often at the lease of an owner that cannot be seen."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)


@contextmanager
def beating(target, **owner):
    """An owner that renews its lease, with a clock of its own; `ahead` is how far it goes ahead."""
    ahead, stop = owner.pop("ahead", 0.0), threading.Event()

    def beat():
        while not stop.wait(0.05):
            write(target, **owner, beat=time.time() + ahead)

    write(target, **owner, beat=time.time() + ahead)
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def numbers(target):
    return sorted(int(key[-13:-5]) for key in target.sizes(LEASES) if not is_temporary(key))


# --- held ---------------------------------------------------------------------------------------


def test_a_second_driver_in_the_process_is_refused(target):
    with Lease.acquire(target) as lease:
        with pytest.raises(LeaseHeld, match=rf"process {os.getpid()} on .* this one: "):
            Lease.acquire(target)
        lease.ticket.check(target)
        assert current_owner(target).pid == os.getpid()
    assert current_owner(target) is None
    Lease.acquire(target).release()


@pytest.mark.documented("two-writers")
def test_a_second_process_is_refused(target):
    command = [sys.executable, "-P", "-c", TRY, target.url]

    def attempt():
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with Lease.acquire(target) as lease:
        assert attempt().startswith("refused: ")
        lease.ticket.check(target)
    assert attempt() == "taken\n"


def test_another_processes_lease_is_respected_while_it_lives(target, holder):
    for _ in range(2):
        with pytest.raises(LeaseHeld, match=f"process {holder.pid} "):
            Lease.acquire(target)
    assert current_owner(target).pid == holder.pid


# --- dead ---------------------------------------------------------------------------------------


def test_a_killed_processes_lease_is_taken_over_at_once(target, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert current_owner(target) is None
    with Lease.acquire(target) as lease:
        assert lease.ticket.number == 2
        lease.ticket.check(target)
        assert numbers(target) == [2]


def test_a_zombies_lease_is_taken_over_at_once(target, holder):
    holder.stdin.write("\n")
    holder.stdin.flush()
    process = psutil.Process(holder.pid)
    while process.status() != psutil.STATUS_ZOMBIE:  # it exits, and nobody waits for it
        time.sleep(0.01)
    Lease.acquire(target).release()
    assert process.status() == psutil.STATUS_ZOMBIE


def test_a_process_with_a_dead_owners_pid_is_not_the_owner(target):
    write(target, host=host_of(target, ticks=1))
    assert current_owner(target) is None
    Lease.acquire(target).release()


def test_the_same_process_is_the_owner(target):
    write(target)
    with pytest.raises(LeaseHeld):
        Lease.acquire(target)


# --- owners that cannot be seen from here -------------------------------------------------------

SKEWS = [0, 1, -1, 61, -61, 3600, -3600, 86_400, -86_400]  # seconds between two clocks


@pytest.mark.documented("clocks")
@pytest.mark.parametrize("ahead", SKEWS)
def test_an_owner_elsewhere_lives_while_it_beats(target, often, ahead):
    with beating(target, host="elsewhere boot", pid=1, ahead=ahead):
        for _ in range(2):
            with pytest.raises(LeaseHeld, match="process 1 on elsewhere;"):
                Lease.acquire(target)


@pytest.mark.documented("clocks")
@pytest.mark.parametrize("ahead", SKEWS)
def test_an_owner_elsewhere_is_dead_once_it_is_silent(target, soon, ahead):
    write(target, host="elsewhere boot", beat=time.time() + ahead)
    began = time.monotonic()
    with Lease.acquire(target) as lease:
        lease.ticket.check(target)
    assert time.monotonic() - began >= module.DEAD_AFTER_SECONDS


def test_a_silent_owner_is_announced_once(target, soon, caplog):
    write(target, host="elsewhere boot", pid=7)
    with caplog.at_level(logging.WARNING):
        Lease.acquire(target).release()
    (said,) = caplog.messages
    assert "was last written by process 7 on elsewhere" in said
    assert "for up to 0 s" in said


def test_a_clock_that_is_set_back_while_it_beats_is_a_sign_of_life(target, often):
    clock = iter([0, 3600, -3600] + [5] * 1000)
    write(target, host="elsewhere boot", pid=1)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.05):
            write(target, host="elsewhere boot", pid=1, beat=time.time() + next(clock))

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(LeaseHeld):
        Lease.acquire(target)
    stop.set()
    thread.join()


def test_a_lease_that_is_released_while_it_is_watched_is_taken(target, often):
    write(target, host="elsewhere boot")
    timer = threading.Timer(0.1, write, [target], {"host": "elsewhere boot", "released": True})
    timer.start()
    Lease.acquire(target).release()
    timer.join()


def test_an_owner_of_another_boot_or_namespace_is_watched(target, often):
    name, boot, space, *rest = host_of(target).split(" ")
    for host in ([name, "another-boot", space, *rest], [name, boot, "pid:[1]", *rest]):
        with (
            beating(target, host=" ".join(host)),
            pytest.raises(LeaseHeld),
        ):
            Lease.acquire(target)


CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def test_the_processes_of_another_container_are_watched(target, often, monkeypatch):
    """Two on one host share a folder, and each is process 1 to itself."""
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs leave to make namespaces: {tried.stderr.strip()}")
    command = [*CONTAINER, sys.executable, "-P", "-c", HOLD, target.url, "0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeld, match="process 1 on "):
            Lease.acquire(target)
        process.kill()
    monkeypatch.setattr(module, "DEAD_AFTER_SECONDS", 0.3)
    Lease.acquire(target).release()


# --- clocks that are set ------------------------------------------------------------------------

STEPS = [1, -1, 5, 3600, -3600, 86_400, -86_400]


@pytest.fixture
def clock(monkeypatch):
    """Set the clock of this process, with what the kernel then says of its boot."""
    boot, now = psutil.boot_time(), time.time

    def step(seconds):
        monkeypatch.setattr(time, "time", lambda: now() + seconds)
        for name in ("_pslinux", "_psplatform"):
            if hasattr(psutil, name):
                monkeypatch.setattr(getattr(psutil, name), "boot_time", lambda: boot + seconds)

    return step


@pytest.mark.documented("clocks")
@pytest.mark.parametrize("seconds", STEPS)
def test_a_live_owner_survives_a_step_of_the_clock(target, holder, clock, seconds):
    clock(seconds)
    with pytest.raises(LeaseHeld, match=f"process {holder.pid} "):
        Lease.acquire(target)
    assert current_owner(target).pid == holder.pid


@pytest.mark.documented("clocks")
@pytest.mark.parametrize("seconds", STEPS)
def test_a_dead_owner_is_seen_to_be_after_a_step_of_the_clock(target, holder, clock, seconds):
    holder.kill()
    holder.wait()
    clock(seconds)
    Lease.acquire(target).release()


@pytest.mark.parametrize("seconds", STEPS)
def test_a_lease_outlives_steps_of_its_owners_clock(target, clock, monkeypatch, seconds):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Lease.acquire(target) as lease:
        clock(seconds)
        first = current_owner(target).beat
        assert eventually(lambda: current_owner(target).beat != first)
        lease.ticket.check(target)
        with pytest.raises(LeaseHeld):
            Lease.acquire(target)
    assert current_owner(target) is None


STEPPED = """
{{ sed -E "s/^btime .*/btime {btime}/" /proc/stat > {folder}/stat; }} || exit 77
mount --bind {folder}/stat /proc/stat || exit 77
exec {command}
"""


def test_a_live_owner_survives_a_step_that_the_kernel_reports(target, holder, tmp_path):
    """The kernel moves the time of boot with the clock; a mount stands in for that."""
    command = f"{sys.executable} -P -c '{TRY}' {target.url}"
    btime = int(psutil.boot_time()) + 3600
    script = STEPPED.format(btime=btime, folder=tmp_path, command=command)
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if tried.returncode == 77 or "unshare" in tried.stderr:
        pytest.skip(f"needs leave to mount: {tried.stderr.strip()}")
    assert tried.stdout.startswith(f"refused: {target.url} is being written by"), tried.stderr


# --- leases of version 0.1.0 --------------------------------------------------------------------


def former(target, **changes):
    """Write a lease as version 0.1.0 did: without ticks, a namespace of time or a store."""
    words = host_of(target).split(" ")
    host = " ".join(word for word in words if not word.startswith(("ticks:", "time:", "store:")))
    write(target, **{"host": host} | changes)


def test_a_former_lease_of_a_live_process_is_respected(target):
    former(target)
    with pytest.raises(LeaseHeld):
        Lease.acquire(target)


def test_a_former_lease_of_a_dead_process_is_taken_at_once(target, holder):
    holder.kill()
    holder.wait()
    former(target, pid=holder.pid)
    Lease.acquire(target).release()


@pytest.mark.parametrize("seconds", STEPS)
def test_a_former_lease_is_watched_after_a_step_of_the_clock(target, often, clock, seconds):
    started = psutil.Process().create_time()
    clock(seconds)
    host = " ".join(host_of(target).split(" ")[:3])
    with beating(target, host=host, started=started), pytest.raises(LeaseHeld):
        Lease.acquire(target)


def test_version_0_1_0_judges_a_new_lease_by_its_beat(target):
    """It knows these six fields, and compares `host` as a whole."""
    with Lease.acquire(target):
        data = json.loads(target.get(f"{LEASES}/00000001.json"))
    assert set(data) == {"token", "host", "pid", "started", "beat", "released"}
    assert data["host"] != " ".join(data["host"].split(" ")[:3])


def test_fields_of_later_versions_are_ignored(target):
    write(target, colour="green")
    assert current_owner(target).pid == os.getpid()


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.documented("copy-of-live")
def test_a_copy_of_a_live_store_is_free(target, tmp_path, soon):
    with Lease.acquire(target) as lease:
        shutil.copytree(target.url, tmp_path / "copy.zarr")
        with Lease.acquire(LocalTarget(tmp_path / "copy.zarr")):
            lease.ticket.check(target)


def test_the_same_store_by_another_path_is_not_free(target, tmp_path, often, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    with Lease.acquire(target):
        (tmp_path / "link.zarr").symlink_to(target.url)
        monkeypatch.chdir(tmp_path)
        for path in ("link.zarr", "store.zarr", f"{tmp_path}/./store.zarr"):
            with pytest.raises(LeaseHeld):
                Lease.acquire(LocalTarget(path))


def test_the_same_store_behind_another_mount_is_not_free(target, often, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    with Lease.acquire(target), monkeypatch.context() as patch:
        patch.setattr(module.os.path, "realpath", lambda path: f"/elsewhere{path}")
        with pytest.raises(LeaseHeld):
            Lease.acquire(LocalTarget(target.url))


# --- torn ---------------------------------------------------------------------------------------


TORN = [b"", b'{"token": "a', b"\xff\xfe", b"[]", b"7", b"{}", b"null", b'{"pid": "x"}']


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_lease_does_not_block(target, torn):
    target.put(f"{LEASES}/00000007.json", torn)
    assert current_owner(target) is None
    with Lease.acquire(target) as lease:
        assert lease.ticket.number == 8


def test_other_files_among_the_leases_do_not_block(target):
    target.put(f"{LEASES}/notes.json", b"mine")
    target.put(f"{LEASES}/.writing-0a1b", b"half")
    with Lease.acquire(target) as lease:
        assert lease.ticket.number == 1
        lease.ticket.check(target)


# --- races --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["dead", "nobody"])
def test_one_of_eight_takes_over_from_a_dead_owner(tmp_path, before):
    for attempt in range(25):
        target = LocalTarget(tmp_path / f"{attempt}.zarr")
        if before == "dead":
            write(target, host=host_of(target, ticks=1))
        barrier = threading.Barrier(8)

        def acquire(target=target, barrier=barrier):
            barrier.wait()
            return Lease.acquire(target)

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(acquire) for _ in range(8)]
        errors = [future.exception() for future in futures]
        won = [future.result() for future in futures if not future.exception()]
        for lease in won:
            lease.release()
        assert [error for error in errors if error and not isinstance(error, LeaseHeld)] == []
        assert len(won) == 1


class Behind(LocalTarget):
    """Returns a stale listing of leases once, as to a driver that was slow to continue."""

    def __init__(self, path, stale):
        super().__init__(path)
        self.stale = stale

    def sizes(self, prefix=""):
        if prefix == LEASES and self.stale is not None:
            stale, self.stale = self.stale, None
            return stale
        return super().sizes(prefix)


@pytest.mark.parametrize("stale", [{}, {f"{LEASES}/00000001.json": 200}], ids=["none", "older"])
def test_a_driver_with_a_stale_listing_is_refused(target, stale):
    # Meanwhile the lease changed owners, and the numbers that it saw are gone.
    write(target, number=3, host=host_of(target, ticks=1))
    with Lease.acquire(target) as lease:
        assert numbers(target) == [4]
        with pytest.raises(LeaseHeld):
            Lease.acquire(Behind(target.url, stale))
        lease.ticket.check(target)


def test_taking_over_keeps_temporary_files_of_other_drivers(target):
    # Its temporary file: without that the losing driver would fail for the wrong reason.
    target.put(f"{LEASES}/.writing-0a1b", b"half")
    write(target, host=host_of(target, ticks=1))
    with Lease.acquire(target):
        assert f"{LEASES}/.writing-0a1b" in target.sizes(LEASES)


# --- the ticket ---------------------------------------------------------------------------------


def test_a_ticket_is_valid_until_the_release(target):
    lease = Lease.acquire(target)
    ticket = lease.ticket
    ticket.check(target)
    lease.release()
    with pytest.raises(LeaseLost):
        ticket.check(target)
    lease.release()  # twice is no error


def test_a_ticket_is_invalid_after_a_takeover(target):
    with Lease.acquire(target) as lease:
        ticket = lease.ticket
        ticket.check(target)
        write(target, number=2)
        with pytest.raises(LeaseLost, match="another driver owns"):
            ticket.check(target)
        write(target, number=2, released=True)
        with pytest.raises(LeaseLost):
            ticket.check(target)


def test_a_ticket_is_invalid_without_a_lease(target):
    with pytest.raises(LeaseLost):
        LeaseTicket(1, "mine").check(target)


def test_releasing_after_a_takeover_leaves_the_new_owner_alone(target):
    lease = Lease.acquire(target)
    write(target, number=2)
    lease.release()
    assert current_owner(target).token == "another's"
    LeaseTicket(2, "another's").check(target)


# --- the beat -----------------------------------------------------------------------------------


def eventually(holds):
    for _ in range(2000):
        if holds():
            return True
        time.sleep(0.005)
    return False


def test_the_owner_beats_until_it_releases(target, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Lease.acquire(target) as lease:
        first = current_owner(target).beat
        assert eventually(lambda: current_owner(target).beat > first)
    released = target.get(f"{LEASES}/00000001.json")
    assert json.loads(released)["released"] is True
    assert not lease._thread.is_alive()


def test_an_unreachable_store_does_not_end_the_beat(target, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    failures = []

    class Flaky(LocalTarget):
        def put(self, key, data):
            if len(failures) < 3:
                failures.append(key)
                raise OSError(5, "Input/output error")
            super().put(key, data)

    flaky = Flaky(target.url)
    with Lease.acquire(flaky):
        first = current_owner(flaky).beat
        assert eventually(lambda: current_owner(flaky).beat > first)
    assert len(failures) == 3


def test_an_owner_that_was_overtaken_stops_beating(target, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    lease = Lease.acquire(target)
    write(target, number=2)
    assert eventually(lambda: not lease._thread.is_alive())
    target.delete([f"{LEASES}/00000001.json"])
    time.sleep(0.05)
    assert numbers(target) == [2]
    lease.release()


def test_several_beats_fit_into_the_time_until_death():
    assert 4 * module.BEAT_SECONDS < module.DEAD_AFTER_SECONDS == 60


def test_a_lease_is_released_even_if_its_target_is_gone(tmp_path):
    """So the process that held it can resume without a restart."""

    class Away(LocalTarget):
        away = False

        def put(self, key, data):
            if self.away:
                raise OSError(107, "Transport endpoint is not connected")
            super().put(key, data)

    target = Away(tmp_path)
    lease = Lease.acquire(target)
    target.away = True
    with pytest.raises(OSError, match="107"):
        lease.release()
    target.away = False
    assert current_owner(target) is None
    Lease.acquire(target).release()


def test_a_release_that_failed_is_recorded_later(tmp_path, monkeypatch):
    """So that no other process takes one that lives on for the owner."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    away = [True]

    class Away(LocalTarget):
        def put(self, key, data):
            if away[0]:
                raise OSError(107, "Transport endpoint is not connected")
            super().put(key, data)

    target = Away(tmp_path)
    lease = Lease.acquire(target)
    with pytest.raises(OSError, match="107"):
        lease.release()
    away[0] = False
    recorded = tmp_path / f"{LEASES}/00000001.json"
    assert eventually(lambda: json.loads(recorded.read_text())["released"])


@pytest.mark.parametrize("moment", ["create", "sizes"])
def test_an_interrupt_while_the_lease_is_taken_leaves_none(tmp_path, moment):
    """A notebook's kernel goes on after it, and would refuse itself."""

    class Interrupted(LocalTarget):
        armed = False

        def create(self, key, data):
            made = super().create(key, data)
            type(self).armed = moment == "sizes"
            if moment == "create":
                raise KeyboardInterrupt
            return made

        def sizes(self, prefix=""):
            if self.armed:
                type(self).armed = False
                raise KeyboardInterrupt
            return super().sizes(prefix)

    with pytest.raises(KeyboardInterrupt):
        Lease.acquire(Interrupted(tmp_path))
    target = LocalTarget(tmp_path)
    assert current_owner(target) is None
    assert numbers(target) == []
    Lease.acquire(target).release()
