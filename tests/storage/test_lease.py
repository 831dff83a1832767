"""The lease: one writer per store, and dead owners block no one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from paninifs.storage.errors import LeaseHeld, LeaseLost
from paninifs.storage.store import lease as module
from paninifs.storage.store.keys import LEASES
from paninifs.storage.store.lease import Lease, LeaseTicket, current_owner
from paninifs.storage.targets.local import LocalTarget, is_temporary

HOLD = """
import sys, time
from paninifs.storage.store.lease import Lease
from paninifs.storage.targets.local import LocalTarget
Lease.acquire(LocalTarget(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
import os
os._exit(0)
"""

TRY = """
import sys
from paninifs.storage.errors import LeaseHeld
from paninifs.storage.store.lease import Lease
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
    command = [sys.executable, "-P", "-c", HOLD, target.url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write(target, number=1, **changes):
    """Write a lease as this process would, with some fields changed."""
    owner = {
        "token": "another's",
        "host": module._host(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "beat": time.time(),
        "released": False,
    }
    target.put(f"{LEASES}/{number:08d}.json", json.dumps(owner | changes).encode())


def numbers(target):
    return sorted(int(key[-13:-5]) for key in target.sizes(LEASES) if not is_temporary(key))


# --- held ---------------------------------------------------------------------------------------


def test_a_second_driver_in_the_process_is_refused(target):
    with Lease.acquire(target) as lease:
        with pytest.raises(LeaseHeld, match=f"written by process {os.getpid()} on"):
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
    write(target, started=psutil.Process().create_time() - 3600)
    assert current_owner(target) is None
    Lease.acquire(target).release()


def test_the_same_process_is_the_owner(target):
    write(target)
    with pytest.raises(LeaseHeld):
        Lease.acquire(target)


def test_an_owner_of_another_boot_is_judged_by_its_beat(target):
    write(target, host=f"{module._host().split(' ')[0]} another-boot", beat=time.time() - 61)
    Lease.acquire(target).release()


def test_an_owner_on_another_host_lives_while_its_beat_is_fresh(target):
    write(target, host="elsewhere boot", pid=1, beat=time.time() - 50)
    with pytest.raises(LeaseHeld, match="process 1 on elsewhere;"):
        Lease.acquire(target)


def test_an_owner_on_another_host_is_dead_after_a_minute(target):
    write(target, host="elsewhere boot", beat=time.time() - 61)
    with Lease.acquire(target) as lease:
        lease.ticket.check(target)


@pytest.mark.parametrize("torn", [b"", b'{"token": "a', b"\xff\xfe", b"[]", b"7", b"{}", b"null"])
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
            write(target, host="elsewhere", beat=0.0)
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
    write(target, number=3, host="elsewhere", beat=0.0)
    with Lease.acquire(target) as lease:
        assert numbers(target) == [4]
        with pytest.raises(LeaseHeld):
            Lease.acquire(Behind(target.url, stale))
        lease.ticket.check(target)


def test_taking_over_keeps_temporary_files_of_other_drivers(target):
    # Its temporary file: without that the losing driver would fail for the wrong reason.
    target.put(f"{LEASES}/.writing-0a1b", b"half")
    write(target, host="elsewhere", beat=0.0)
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
