"""`Mirroring`: finished shards go to a second place while the run goes on.

What a mirror is, and how a shard is copied, is in `storage.mirror`.
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

_AWAY = (StorageUnreachable, StorageRefused)
"""After one of these no further copy is tried before all is computed."""


class Mirroring:
    """Copies a store's finished shards to a mirror, in the background.

    On leaving the context it waits for what is on its way, also when the run has failed: what is
    finished is to survive the machine.
    """

    def __init__(
        self, store: OpenStore, mirror: Target, ticket: LeaseTicket, events: EventStream
    ) -> None:
        self._store, self._mirror, self._ticket, self._events = store, mirror, ticket, events
        self._pool = ThreadPoolExecutor(COPIES, "paninifs-mirror")
        self._copies: dict[int, Future[None]] = {}
        self._there: set[int] = set()
        self._away: StorageUnreachable | StorageRefused | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Mirroring:
        missing = follow(self._store, self._mirror, self._ticket)
        self._there = set(self._store.done) - set(missing)
        for shard in missing:
            self.begin(shard)
        return self

    def begin(self, shard: int) -> None:
        """Copy a shard that is finished, soon."""
        with self._lock:
            if not self._closed:
                self._copies[shard] = self._pool.submit(self._copy, shard)

    def _copy(self, shard: int) -> None:
        if self._away is not None:
            raise self._away  # each would wait for as long as the first did
        self._ticket.check(self._mirror)
        try:
            copy_shard(self._store.target, self._mirror, self._store.layout, shard)
        except _AWAY as error:
            with self._lock:
                first, self._away = self._away is None, error
            if first:
                self._events.publish(Notice(f"not mirrored for now: {error}"))
            raise
        self._events.publish(Mirrored(shard))

    def finish(self) -> None:
        """Copy whatever is not there yet, and mark the mirror complete.

        Raises
        ------
        StorageUnreachable, StorageRefused
            Shards could not be copied; the results themselves are complete.
        RunFailed, LeaseLost
            A shard is not what was written; or another driver took the mirror over.
        """
        failed = self._failed()
        self._away = None  # it has had time to come back
        # Also what no event told of: a shard whose worker was killed just after it was marked.
        known = self._there | set(self._copies) - set(failed)
        for shard in set(range(self._store.layout.shards)) - known:
            self.begin(shard)
        for shard, error in self._failed().items():
            if isinstance(error, PaniniError) and not isinstance(error, _AWAY):
                raise error
            kind = type(error) if isinstance(error, _AWAY) else StorageUnreachable
            raise kind(
                f"{self._store.target.url} is complete, but {len(self._failed())} of its shards "
                f"could not be copied to {self._mirror.url} (shard {shard}: {error}); run again "
                "to copy them"
            ) from error
        complete(self._store, self._mirror, self._ticket)

    def _failed(self) -> dict[int, BaseException]:
        """Wait for every copy; return what those that failed met, by shard."""
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
