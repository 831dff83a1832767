"""One writer per store: a lease that its owner renews and that expires when its owner dies.

Leases are numbered objects, each created only if its number is not taken. So if two drivers find an
owner dead, exactly one of them gets the next number. The highest number owns the store; an owner
that sees a higher one stops.

No clock decides whether an owner lives. A process of this host is recognised by `process`. Any
other owner is watched: it lives if it renews its lease meanwhile, whatever date it writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType

import psutil

from ...errors import LeaseHeld, LeaseLost
from ...targets.local import is_temporary
from ...targets.target import Target
from ..keys import LEASES, lease_key
from .process import Life, identity, life_of

_log = logging.getLogger(__name__)

_released: set[str] = set()
"""Tokens of the leases that this process has released."""

BEAT_SECONDS = 10.0
"""Seconds between renewals of a lease."""

DEAD_AFTER_SECONDS = 60.0
"""Seconds without a renewal after which an owner that cannot be seen from here counts as dead."""

WATCH_SECONDS = 2.0
"""Seconds between looks at the lease of such an owner."""

_STORE = "store:"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lease.

    Version 0.1.0 reads leases too, and would take one with further fields for torn. So what was
    added since are words of `host`, which make that version judge the owner by its beat.
    """

    token: str
    host: str  # the process's `identity`, and the store that it writes to
    pid: int
    started: float  # the process's start, seconds since the epoch
    beat: float  # the last renewal, seconds since the epoch
    released: bool = False

    @classmethod
    def this_process(cls, target: Target) -> Owner:
        """Return an owner with a new token."""
        return cls(
            token=uuid.uuid4().hex,
            host=f"{identity()} {_STORE}{_digest(target)}",
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            beat=time.time(),
        )

    @property
    def name(self) -> str:
        """The process, for messages."""
        return f"process {self.pid} on {self.host.split(' ')[0]}"

    @property
    def is_this_process(self) -> bool:
        """Whether this process took the lease."""
        return self.pid == os.getpid() and self._life == "alive"

    @property
    def _life(self) -> Life:
        known = [word for word in self.host.split(" ") if not word.startswith(_STORE)]
        return life_of(" ".join(known), self.pid, self.started)

    def life(self, target: Target) -> Life:
        """Return whether the owner still writes to a target, as far as this process can tell."""
        if self.released:
            return "dead"
        if self.is_this_process and self.token in _released:
            return "dead"  # released, though the target could not be reached to record it
        stores = [word for word in self.host.split(" ") if word.startswith(_STORE)]
        if self._life == "alive" and stores and stores != [f"{_STORE}{_digest(target)}"]:
            return "unknown"  # this is a copy of its store, or the same store by another path
        return self._life


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

        If nothing here shows whether the last owner lives, it is watched for up to a minute.

        Raises
        ------
        LeaseHeld
            Another live driver holds it, or is taking it at this moment.
        """
        newest = _abandoned(target)
        number = newest[0] + 1 if newest else 1
        owner = Owner.this_process(target)
        try:
            return cls._created(target, number, owner)
        except BaseException as error:
            _released.add(owner.token)
            if not isinstance(error, Exception):  # Ctrl-C: this process goes on without the lease
                with suppress(Exception):
                    LeaseTicket(number, owner.token).check(target)
                    target.delete([lease_key(number)])
            raise

    @classmethod
    def _created(cls, target: Target, number: int, owner: Owner) -> Lease:
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
            self._record_release()
        except Exception:
            # This process may live for long, and another one must not take it for the owner.
            threading.Thread(target=self._release_later, daemon=True).start()
            raise

    def _record_release(self) -> None:
        with suppress(LeaseLost):
            self.ticket.check(self._target)
            self._target.put(lease_key(self._number), _dump(replace(self._owner, released=True)))

    def _release_later(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with suppress(Exception):
                self._record_release()
                return

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
    """Return the owner of a store if it seems to live, without watching it; else None."""
    newest = _newest(target)
    life = newest[1].life(target) if newest else "dead"
    if newest is None or life == "dead":
        return None
    fresh = abs(time.time() - newest[1].beat) < DEAD_AFTER_SECONDS
    return newest[1] if life == "alive" or fresh else None


def _abandoned(target: Target) -> tuple[int, Owner] | None:
    """Return the newest lease, whose owner is dead; None if there is none.

    Raises
    ------
    LeaseHeld
        The owner lives.
    """
    seen: tuple[int, Owner] | None = None
    since = 0.0
    while (newest := _newest(target)) is not None:
        number, owner = newest
        life = owner.life(target)
        if life == "dead":
            return newest
        if life == "alive":
            _refuse(target, owner)
        if seen is None or (seen[0], seen[1].token) != (number, owner.token):
            seen, since = newest, time.monotonic()
            _log.warning(
                "%s was last written by %s, which cannot be seen from here: waiting for a sign of "
                "life, for up to %.0f s",
                target.url,
                owner.name,
                DEAD_AFTER_SECONDS,
            )
        elif owner.beat != seen[1].beat:
            _refuse(target, owner)
        elif time.monotonic() - since >= DEAD_AFTER_SECONDS:
            return newest
        time.sleep(WATCH_SECONDS)
    return None


def _refuse(target: Target, owner: Owner) -> None:
    if owner.is_this_process:
        raise LeaseHeld(
            f"{target.url} is being written by {owner.name}, which is this one: what it began "
            "earlier is still going. Wait for it with run.result(), or end it with run.cancel(); "
            "paninifs.running() lists the runs of this process"
        )
    raise LeaseHeld(
        f"{target.url} is being written by {owner.name}; wait for it, stop it, or write elsewhere"
    )


def _newest(target: Target) -> tuple[int, Owner] | None:
    for key in sorted(target.sizes(LEASES), reverse=True):
        name = Path(key).stem
        if name.isdigit():
            return int(name), _owner(target.get(key) or b"")
    return None


def _owner(data: bytes) -> Owner:
    """Decode what `_dump` wrote, and ignore what only later versions write."""
    known = {field.name for field in fields(Owner)}
    try:
        found = {name: value for name, value in json.loads(data).items() if name in known}
        owner = Owner(**found)
        return replace(
            owner,
            host=str(owner.host),
            pid=int(owner.pid),
            started=float(owner.started),
            beat=float(owner.beat),
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        # Torn by a crash on a mount that cannot create objects atomically. An owner that is still
        # alive will see the next number and stop.
        return Owner(token="", host="unknown", pid=0, started=0.0, beat=0.0, released=True)


def _dump(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _digest(target: Target) -> str:
    """Return a digest of where a target is: a copy of a store has another one."""
    place = target.url if "://" in target.url else os.path.realpath(target.url)
    return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
