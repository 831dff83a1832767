"""`Mirroring`: copies finished shards to a second target, while the run continues.

Mirrors themselves, and the copying of a single shard, are in `storage.store.mirror`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from ...storage.errors import PaniniError, StorageRefused, StorageUnreachable
from ...storage.store.leases.lease import Lease, LeaseTicket
from ...storage.store.lifecycle import OpenStore, discard
from ...storage.store.mirror import COPIES, complete, copy_shard, follow
from ...storage.store.shards import StoreLayout
from ...storage.targets.target import Target
from ..monitoring.events import EventStream, Mirrored, Notice
from .target_leases import Leases

_log = logging.getLogger(__name__)

_MIRROR_ERRORS = (StorageUnreachable, StorageRefused)
"""After one of these, also at the very start, copying pauses until everything is computed."""


class Mirroring:
    """Copies a store's finished shards to a mirror, in the background.

    Leaving the context waits for copies in progress, even if the run has failed: finished shards
    should survive the machine.

    Parameters
    ----------
    leases : list
        The run's leases. If the mirror's is missing, it is acquired and added as soon as possible.
    fresh : bool
        Whether what the mirror holds is discarded.
    """

    def __init__(
        self,
        store: OpenStore,
        mirror: Target,
        leases: Leases,
        events: EventStream,
        *,
        fresh: bool = False,
    ) -> None:
        self._store, self._mirror, self._leases, self._events = store, mirror, leases, events
        self._fresh, self._begun = fresh, False
        self._pool = ThreadPoolExecutor(COPIES, "paninifs-mirror")
        self._copies: dict[int, Future[None]] = {}
        self._mirrored: set[int] = set()
        self._failure: StorageUnreachable | StorageRefused | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Mirroring:
        try:
            self._begin_mirror()
        except _MIRROR_ERRORS as error:
            self._pause(error)
        return self

    def _begin_mirror(self) -> None:
        """Make the mirror a store of the same manifest, and queue the shards that it lacks."""
        if len(self._leases) == 1:
            self._leases.append((self._mirror, Lease.acquire(self._mirror)))
        if self._fresh:
            self._ticket.check(self._mirror)
            discard(self._mirror, self._store.manifest)
        missing = follow(self._store, self._mirror, self._ticket)
        self._begun, self._mirrored = True, set(self._store.done) - set(missing)
        for shard in missing:
            self.begin(shard, self._store.layout)

    @property
    def _ticket(self) -> LeaseTicket:
        return self._leases[1][1].ticket

    def _pause(self, error: StorageUnreachable | StorageRefused) -> None:
        """Copy nothing until `finish`, and report why, once."""
        with self._lock:
            first, self._failure = self._failure is None, error
        if first:
            self._events.publish(
                Notice(f"copying to the mirror is paused until all shards are computed: {error}")
            )

    def begin(self, shard: int, layout: StoreLayout) -> None:
        """Queue a finished shard for copying.

        One of a later stage is copied again at the end, if this fails, with the rest of the store.
        """
        with self._lock:
            if self._closed:
                return
            copied = self._pool.submit(self._copy, shard, layout)
            if not layout.stage:
                self._copies[shard] = copied

    def _copy(self, shard: int, layout: StoreLayout) -> None:
        if self._failure is not None:
            raise self._failure  # each copy would be retried for as long as the first one
        self._ticket.check(self._mirror)
        try:
            copy_shard(self._store.target, self._mirror, layout, shard)
        except _MIRROR_ERRORS as error:
            self._pause(error)
            raise
        self._events.publish(Mirrored(shard))

    def finish(self) -> None:
        """Copy the shards that the mirror still lacks, and mark it complete.

        Raises
        ------
        StorageUnreachable, StorageRefused
            Shards could not be copied; the results themselves are complete.
        RunFailed, LeaseLost, LeaseHeld
            A shard differs from what was written, or another process took over the mirror.
        """
        for shard in self._failed():
            del self._copies[shard]
        self._failure = None  # the mirror has had time to recover
        try:
            if not self._begun:
                self._begin_mirror()
            self._copy_rest()
            complete(self._store, self._mirror, self._ticket)
        except _MIRROR_ERRORS as error:
            failed = len(self._failed())
            raise type(error)(
                f"{self._store.target.url} is complete, but "
                f"{f'{failed} of its shards' if failed else 'it'} could not be copied to "
                f"{self._mirror.url} ({error}); run again to copy what is missing"
            ) from error

    def _copy_rest(self) -> None:
        """Copy the shards that the mirror lacks.

        This includes shards without an event: a worker may be killed just after marking one.
        """
        for shard in set(range(self._store.layout.shards)) - self._mirrored - set(self._copies):
            self.begin(shard, self._store.layout)
        for shard, error in self._failed().items():
            if isinstance(error, PaniniError) and not isinstance(error, _MIRROR_ERRORS):
                raise error
            kind = type(error) if isinstance(error, _MIRROR_ERRORS) else StorageUnreachable
            raise kind(f"shard {shard}: {error}") from error

    def _failed(self) -> dict[int, BaseException]:
        """Wait for every copy; return the errors of those that failed, by shard."""
        with self._lock:
            copies = sorted(self._copies.items())
        ended = ((shard, copy.exception()) for shard, copy in copies)
        return {shard: error for shard, error in ended if error is not None}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
        self._pool.shutdown()
        if error is not None:
            for shard, why in self._failed().items():
                known = isinstance(why, PaniniError)
                _log.warning("shard %d was not mirrored: %s", shard, why, exc_info=not known)
