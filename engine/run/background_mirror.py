"""`Mirroring`: copies finished shards to a second target, while the run continues.

Mirrors themselves, and the copying of a single shard, are in `storage.store.mirror`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from ...storage.errors import PaniniError, StorageRefused, StorageUnreachable
from ...storage.store.lease import LeaseTicket
from ...storage.store.lifecycle import OpenStore
from ...storage.store.mirror import COPIES, complete, copy_shard, follow
from ...storage.targets.target import Target
from ..monitoring.events import EventStream, Mirrored, Notice

_log = logging.getLogger(__name__)

_MIRROR_ERRORS = (StorageUnreachable, StorageRefused)
"""After one of these, copying pauses until everything is computed."""


class Mirroring:
    """Copies a store's finished shards to a mirror, in the background.

    Leaving the context waits for copies in progress, even if the run has failed: finished shards
    should survive the machine.
    """

    def __init__(
        self, store: OpenStore, mirror: Target, ticket: LeaseTicket, events: EventStream
    ) -> None:
        self._store, self._mirror, self._ticket, self._events = store, mirror, ticket, events
        self._pool = ThreadPoolExecutor(COPIES, "paninifs-mirror")
        self._copies: dict[int, Future[None]] = {}
        self._mirrored: set[int] = set()
        self._failure: StorageUnreachable | StorageRefused | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Mirroring:
        missing = follow(self._store, self._mirror, self._ticket)
        self._mirrored = set(self._store.done) - set(missing)
        for shard in missing:
            self.begin(shard)
        return self

    def begin(self, shard: int) -> None:
        """Queue a finished shard for copying."""
        with self._lock:
            if not self._closed:
                self._copies[shard] = self._pool.submit(self._copy, shard)

    def _copy(self, shard: int) -> None:
        if self._failure is not None:
            raise self._failure  # each copy would be retried for as long as the first one
        self._ticket.check(self._mirror)
        try:
            copy_shard(self._store.target, self._mirror, self._store.layout, shard)
        except _MIRROR_ERRORS as error:
            with self._lock:
                first, self._failure = self._failure is None, error
            if first:
                self._events.publish(
                    Notice(
                        f"copying to the mirror is paused until all shards are computed: {error}"
                    )
                )
            raise
        self._events.publish(Mirrored(shard))

    def finish(self) -> None:
        """Copy the shards that the mirror still lacks, and mark it complete.

        Raises
        ------
        StorageUnreachable, StorageRefused
            Shards could not be copied; the results themselves are complete.
        RunFailed, LeaseLost
            A shard differs from what was written, or another process took over the mirror.
        """
        failed = self._failed()
        self._failure = None  # the mirror has had time to recover
        # This includes shards without an event: a worker may be killed just after marking one.
        known = self._mirrored | set(self._copies) - set(failed)
        for shard in set(range(self._store.layout.shards)) - known:
            self.begin(shard)
        for shard, error in self._failed().items():
            if isinstance(error, PaniniError) and not isinstance(error, _MIRROR_ERRORS):
                raise error
            kind = type(error) if isinstance(error, _MIRROR_ERRORS) else StorageUnreachable
            raise kind(
                f"{self._store.target.url} is complete, but {len(self._failed())} of its shards "
                f"could not be copied to {self._mirror.url} (shard {shard}: {error}); run again "
                "to copy them"
            ) from error
        complete(self._store, self._mirror, self._ticket)

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
