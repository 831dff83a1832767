"""`ShardWriter`: commits the shards of a task while later ones are computed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from queue import SimpleQueue
from threading import Semaphore

from distributed.worker import Worker, get_worker

from ...storage.store.leases.lease import LeaseTicket
from ...storage.store.quarantine import is_undecodable
from ...storage.store.shards import Marker, ShardContents, StoreLayout, commit_shards
from ...storage.targets.target import Target
from ..monitoring.events import ShardDone
from .values.shard_buffer import ShardBuffer

MAX_WRITES = 4
"""Maximum number of shards that a task writes to the store while it computes the next one."""

WRITE_BYTES = 64 << 20
"""Maximum total bytes of such shards; a single shard may be larger."""


def shards_in_flight(layout: StoreLayout, max_writes: int = MAX_WRITES) -> int:
    """Return the maximum number of unfinished shards of a task: one computed, others written."""
    return 1 + max(1, min(max_writes, WRITE_BYTES // layout.shard_bytes))


class ShardWriter:
    """Commits shards in the background; those that wait while others are written, together.

    Where writing is fast, a shard waits for none; where it is slow, the disk is waited for once for
    several shards. Before each group it checks that the run still owns the store.

    Parameters
    ----------
    topic : str
        Under which each shard is published as soon as it is done.
    max_writes : int
        Maximum number of shards that wait or are being written.
    provisional : bool
        Whether the shards are quarantined until a later run retries them.

    Attributes
    ----------
    done : list of ShardDone
        The shards that are written.
    waited : float
        Seconds in which nothing was computed because shards were being written.
    """

    def __init__(
        self,
        target: Target,
        layout: StoreLayout,
        ticket: LeaseTicket,
        topic: str,
        *,
        max_writes: int,
        provisional: bool,
    ) -> None:
        self._target, self._layout, self._ticket = target, layout, ticket
        self._topic, self._provisional = topic, provisional
        self._worker = get_worker()
        self._room = Semaphore(shards_in_flight(layout, max_writes) - 1)
        self._waiting: SimpleQueue[tuple[int, ShardBuffer]] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, "paninifs-write")
        self._writes: deque[Future[None]] = deque()  # in order
        self.done: list[ShardDone] = []
        self.waited = 0.0

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """Wait until all is written, or has failed."""
        began = time.perf_counter()
        self._pool.shutdown()
        self.waited += time.perf_counter() - began

    def write(self, shard: int, buffer: ShardBuffer) -> None:
        """Commit a shard soon; wait while too many are unfinished. Raise if one has failed."""
        began = time.perf_counter()
        self._room.acquire()
        self.waited += time.perf_counter() - began
        while self._writes and self._writes[0].done():
            self._writes.popleft().result()
        self._waiting.put((shard, buffer))
        self._writes.append(self._pool.submit(self._write_waiting))

    def require_written(self) -> None:
        """Raise if a shard could not be written."""
        for write in self._writes:
            write.result()

    def _write_waiting(self) -> None:
        group = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
        if group:  # else these shards were written with earlier ones
            try:
                self._commit(dict(group))
            finally:
                self._room.release(len(group))

    def _commit(self, buffers: Mapping[int, ShardBuffer]) -> None:
        self._ticket.check(self._target)
        began = time.perf_counter()
        contents = [
            ShardContents(
                shard=shard,
                arrays=buffer.arrays,
                quarantined=buffer.quarantined,
                text_bytes=buffer.text_bytes,
                forms=buffer.forms,
                provisional=self._provisional,
                ran=buffer.ran,
            )
            for shard, buffer in buffers.items()
        ]
        markers = commit_shards(self._target, self._layout, contents)
        seconds = (time.perf_counter() - began) / len(buffers)
        for marker, buffer in zip(markers, buffers.values(), strict=True):
            buffer.seconds["write"] = seconds
            self.done.append(_shard_done(marker, buffer, self._worker))
            self._worker.log_event(self._topic, asdict(self.done[-1]))


def _shard_done(marker: Marker, buffer: ShardBuffer, worker: Worker) -> ShardDone:
    return ShardDone(
        shard=marker.shard,
        rows=marker.rows,
        quarantined=marker.quarantined,
        text_bytes=buffer.text_bytes,
        seconds=buffer.seconds,
        worker=worker.address,
        micro_batch=buffer.micro_batch,
        failed=buffer.failed.first,
        failed_rows=len(buffer.failed.entries),
        undecodable=sum(entry.rows for entry in buffer.quarantined if is_undecodable(entry)),
    )
