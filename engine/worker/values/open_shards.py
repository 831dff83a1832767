"""`OpenShards`: the shards of a task from when their rows are read until they are full."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from ....storage.field import STRING
from ..failing_rows import FailedRows, FailureLimit
from .compute_spec import ComputeSpec
from .shard_buffer import ShardBuffer


class OpenShards:
    """The buffers of shards in order, each begun when the first of its rows is read.

    Parameters
    ----------
    ranges : iterable of tuple of int
        The rows ``[start, stop)`` of each shard, ascending. Taken as late as possible, because
        another task may do a shard meanwhile.
    """

    def __init__(self, spec: ComputeSpec, ranges: Iterable[tuple[int, int]]) -> None:
        self._spec, self._todo = spec, iter(ranges)
        self._stored = spec.stored.open() if spec.stored else None
        columns = {"id" if spec.id_column else "", *(column.array for column in spec.keep)}
        self._fields = {
            one.name: one for one in spec.fields if one.dtype != STRING or one.name not in columns
        }
        self._open: deque[ShardBuffer] = deque()
        self._unread: deque[ShardBuffer] = deque()  # those of which not all rows are read
        self._begin()

    @property
    def first(self) -> ShardBuffer | None:
        """The first one that is not full; None if there is none."""
        return self._open[0] if self._open else None

    def runs(
        self, first: int, last: int, most: int
    ) -> Iterator[tuple[int, int, list[ShardBuffer]]]:
        """Yield the rows among ``[first, last)`` that belong to shards, with these shards.

        A run of consecutive rows ends with a shard once it has `most` rows.
        """
        at = first
        while (buffer := self._holding(at)) is not None and buffer.start < last:
            start, stop, buffers = max(at, buffer.start), min(buffer.stop, last), [buffer]
            while stop < last and stop - start < most:
                following = self._holding(stop)
                if following is None or following.start > stop:
                    break
                stop = min(following.stop, last)
                buffers.append(following)
            yield start, stop, buffers
            at = stop
            if at == last:
                return

    def has_rows_from(self, row: int) -> bool:
        """Return whether rows from a number on belong to shards."""
        return self._holding(row) is not None

    def full(self) -> Iterator[ShardBuffer]:
        """Yield the shards that are full."""
        while self._open and self._open[0].is_full:
            yield self._open.popleft()

    def _holding(self, row: int) -> ShardBuffer | None:
        """Return the shard that a row, or else the first row after it, belongs to."""
        while self._unread and self._unread[0].stop <= row:
            self._unread.popleft()
        while not self._unread or self._unread[0].stop <= row:
            self._unread.clear()
            if not self._begin():
                return None
        return self._unread[0]

    def _begin(self) -> bool:
        bounds = next(self._todo, None)
        if bounds is None:
            return False
        start, stop = bounds
        limit = self._spec.failure_limit or FailureLimit()
        failed = FailedRows(limit=limit, rows=stop - start)
        buffer = ShardBuffer(start=start, stop=stop, fields=self._fields, failed=failed)
        if self._stored is not None:
            began = time.perf_counter()
            buffer.stored = self._stored.load(start, stop)
            buffer.add_seconds("read", time.perf_counter() - began)
        self._open.append(buffer)
        self._unread.append(buffer)
        return True
