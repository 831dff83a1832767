"""`Mirroring`: finished shards go to a second place while the run goes on.

What a mirror is, and how a shard is copied, is in `storage.mirror`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from ..storage.errors import PaniniError, StorageUnreachable
from ..storage.lease import LeaseTicket
from ..storage.mirror import COPIES, complete, copy_shard, follow
from ..storage.store import OpenStore
from ..storage.target import Target
from .events import EventStream, Mirrored

_log = logging.getLogger(__name__)


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
        self._lock = threading.Lock()

    def __enter__(self) -> Mirroring:
        for shard in follow(self._store, self._mirror):
            self.begin(shard)
        return self

    def begin(self, shard: int) -> None:
        """Copy a shard that is finished, soon."""
        with self._lock:
            self._copies[shard] = self._pool.submit(self._copy, shard)

    def _copy(self, shard: int) -> None:
        self._ticket.check(self._mirror)
        copy_shard(self._store.target, self._mirror, self._store.layout, shard)
        self._events.publish(Mirrored(shard))

    def finish(self) -> None:
        """Wait for every copy, and mark the mirror complete.

        Raises
        ------
        StorageUnreachable
            Shards could not be copied; the results themselves are complete.
        """
        failed = self._failed()
        if failed:
            shard, error = failed[0]
            raise StorageUnreachable(
                f"{self._store.target.url} is complete, but {len(failed)} of its shards could not "
                f"be copied to {self._mirror.url} (shard {shard}: {error}); run again to copy them"
            ) from error
        complete(self._store, self._mirror)

    def _failed(self) -> list[tuple[int, BaseException]]:
        ended = [(shard, copy.exception()) for shard, copy in sorted(self._copies.items())]
        return [(shard, error) for shard, error in ended if error is not None]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        if error is not None:
            for shard, why in self._failed():
                known = isinstance(why, PaniniError)
                _log.warning("shard %d was not mirrored: %s", shard, why, exc_info=not known)
