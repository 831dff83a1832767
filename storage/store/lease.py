"""One writer per store: a lease that its owner renews and that expires when its owner dies.

Leases are numbered objects, each created only if its number is not taken. So if two drivers find an
owner dead, exactly one of them gets the next number. The highest number owns the store; an owner
that sees a higher one stops.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import psutil

from ..errors import LeaseHeld, LeaseLost
from ..targets.local import is_temporary
from ..targets.target import Target
from .keys import LEASES, lease_key

_log = logging.getLogger(__name__)

_released: set[str] = set()
"""Tokens of the leases that this process has released."""

BEAT_SECONDS = 10.0
"""Seconds between renewals of a lease."""

DEAD_AFTER_SECONDS = 60.0
"""Seconds without a renewal after which an owner on another host is assumed to be dead."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lease."""

    token: str
    host: str
    pid: int
    started: float  # the process's start, seconds since the epoch
    beat: float  # the last renewal, seconds since the epoch
    released: bool = False

    def is_alive(self) -> bool:
        """Return whether the owner is alive, by its process or, if on another host, by its beat."""
        if self.released:
            return False
        if self.host != _host():
            return time.time() - self.beat < DEAD_AFTER_SECONDS
        if self.pid == os.getpid() and self.token in _released:
            return False  # released, though the target could not be reached to record it
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class LeaseTicket:
    """What a task carries to check whether its driver still owns the store."""

    number: int
    token: str

    def check(self, target: Target) -> None:
        """Raise `LeaseLost` unless this lease is the store's newest and not released."""
        newest = _newest(target)
        # Tokens are compared too: not every storage can keep two writers from creating one object.
        ours = newest and (newest[0], newest[1].token) == (self.number, self.token)
        if newest is None or not ours or newest[1].released:
            raise LeaseLost(f"another driver owns {target.url} now, or this run was cancelled")


class Lease:
    """A held lease, renewed in the background until it is released.

    Examples
    --------
    >>> from paninifs.storage.targets.local import LocalTarget
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = LocalTarget(folder)
    ...     with Lease.acquire(target) as lease:
    ...         lease.ticket.check(target)
    """

    def __init__(self, target: Target, number: int, owner: Owner) -> None:
        self._target, self._number, self._owner = target, number, owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="paninifs-lease", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(cls, target: Target) -> Lease:
        """Take the lease of a store.

        Raises
        ------
        LeaseHeld
            Another live driver holds it, or is taking it at this moment.
        """
        newest = _newest(target)
        if newest is not None and newest[1].is_alive():
            _refuse(target, newest[1])
        number = newest[0] + 1 if newest else 1
        started = psutil.Process().create_time()
        owner = Owner(
            token=uuid.uuid4().hex,
            host=_host(),
            pid=os.getpid(),
            started=started,
            beat=time.time(),
        )
        if not target.create(lease_key(number), _dump(owner)):
            winner = _newest(target)
            _refuse(target, winner[1] if winner else owner)
        owning = _newest(target)
        if owning is None or (owning[0], owning[1].token) != (number, owner.token):
            # Since this driver looked, the lease was taken over, and released or taken again.
            if owning is None or owning[0] != number:
                target.delete([lease_key(number)])
            _refuse(target, owning[1] if owning else owner)
        older = [key for key in target.sizes(LEASES) if key < lease_key(number)]
        target.delete(key for key in older if not is_temporary(key))
        return cls(target, number, owner)

    @property
    def ticket(self) -> LeaseTicket:
        """The ticket that tasks carry."""
        return LeaseTicket(self._number, self._owner.token)

    def _renew(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self.ticket.check(self._target)
                beat = replace(self._owner, beat=time.time())
                self._target.put(lease_key(self._number), _dump(beat))
            except LeaseLost:
                return
            except Exception:  # noqa: BLE001 (errors of gcsfs and aiohttp are not OSError)
                # The store cannot be reached at the moment; tasks notice that themselves.
                _log.warning("could not renew the lease of %s", self._target.url, exc_info=True)

    def release(self) -> None:
        """Release the lease; tasks that still run stop at their next shard."""
        if self._stop.is_set():
            return
        self._stop.set()
        _released.add(self._owner.token)
        self._thread.join()
        try:
            self.ticket.check(self._target)
        except LeaseLost:
            return
        self._target.put(lease_key(self._number), _dump(replace(self._owner, released=True)))

    def withdraw(self) -> None:
        """Release the lease and remove it, as if it had never been taken."""
        self.release()
        self._target.delete([lease_key(self._number)])

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def current_owner(target: Target) -> Owner | None:
    """Return the owner of a store if it is alive, else None."""
    newest = _newest(target)
    return newest[1] if newest and newest[1].is_alive() else None


def _refuse(target: Target, owner: Owner) -> None:
    raise LeaseHeld(
        f"{target.url} is being written by process {owner.pid} on {owner.host.split(' ')[0]}; "
        "wait for it, stop it, or write elsewhere"
    )


def _newest(target: Target) -> tuple[int, Owner] | None:
    for key in sorted(target.sizes(LEASES), reverse=True):
        name = Path(key).stem
        if not name.isdigit():
            continue
        data = target.get(key)
        try:
            return int(name), Owner(**json.loads(data or b""))
        except (ValueError, TypeError):
            # Torn by a crash on a mount that cannot create objects atomically. An owner that is
            # still alive will see the next number and stop.
            return int(name), Owner(
                token="", host="unknown", pid=0, started=0.0, beat=0.0, released=True
            )
    return None


def _dump(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _host() -> str:
    """Return a name for this host that changes with each boot, which no process survives."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")  # a container's process numbers mean nothing outside it
    return " ".join(
        [
            platform.node(),
            boot.read_text().strip() if boot.exists() else "",
            str(space.readlink()) if space.is_symlink() else "",
        ]
    ).strip()
