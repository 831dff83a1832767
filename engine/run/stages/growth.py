"""`MemoryGrowth`: whether a reduction needs bounded memory, measured on the beginning of a store.

A reduction that gathers all rows in one place works on a small store and ends the worker of a large
one. Its graph does not show that, so it is computed on a few rows, cut into small chunks: with four
times as many chunks, the largest value of a bounded reduction stays nearly the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dask.callbacks import Callback
from dask.sizeof import sizeof
from dask.utils import format_bytes

from ....storage.errors import BlockError, RunFailed

CHUNK_ROWS = 64
SAMPLES = (16, 64, 256, 1024)
"""Number of chunks of each sample. A sample is taken only if the earlier ones do not show that the
memory is bounded: some reductions begin with a fixed number of rows."""

GROWTH = 4
"""Factor between samples."""

USABLE_SHARE = 0.3
"""Share of a worker's memory that one value may take. It is combined with others, and copied."""

MAX_BYTES = 2 << 30
"""Maximum bytes of one value on a cluster whose workers have no known limit."""

LINEAR = 0.5
"""Exponent of growth from which a value is extrapolated. For a bounded value, it is near 0."""


class _Largest(Callback):
    """Finds the largest value of a computation."""

    def __init__(self) -> None:
        super().__init__(posttask=self._seen)  # type: ignore[no-untyped-call]
        self.nbytes = 0

    def _seen(self, _key: Any, result: Any, *_: Any) -> None:
        self.nbytes = max(self.nbytes, sizeof(result))


class MemoryGrowth:
    """The memory of a reduction, as it grows with the number of rows.

    Parameters
    ----------
    worker_memory : int or None
        Bytes that a worker may hold.
    """

    def __init__(self, name: str, worker_memory: int | None) -> None:
        self._name, self._limit = name, worker_memory

    def require_bounded(self, computed: Callable[[int], Any], rows: int) -> None:
        """Raise `RunFailed` if one value of the reduction would not fit into a worker.

        Parameters
        ----------
        computed : callable
            Returns the lazy result over the given number of chunks of `CHUNK_ROWS` rows.
        rows : int
            Rows of the store.
        """
        found: list[tuple[int, int]] = []  # rows of a sample, and its largest value
        for chunks in SAMPLES:
            if rows <= chunks * CHUNK_ROWS:
                break  # the sample would be the store
            try:
                found.append((chunks * CHUNK_ROWS, self._largest(computed(chunks))))
            except BlockError:
                return  # it may not work on so few rows; if it never does, the run reports it
            if len(found) > 1 and not self._expected(found, rows):
                return
        if len(found) < 2:
            return
        (_, few), (sampled, many) = found[-2:]
        has = f"which has {format_bytes(self._limit)}" if self._limit else "which is too much"
        raise RunFailed(
            f"reduction {self._name!r} gathers about {format_bytes(self._expected(found, rows))} "
            f"in one worker, {has}: over {sampled:,} rows, its largest value took "
            f"{format_bytes(many)}, and {format_bytes(few)} over a quarter of them. Reduce each "
            "chunk first: methods such as .mean('text') do, .quantile after .chunk(text=-1) does "
            "not"
        )

    def _expected(self, found: Sequence[tuple[int, int]], rows: int) -> int:
        """Return the bytes of the largest value over all rows, if they are too many; else 0."""
        (_, few), (sampled, many) = found[-2:]
        exponent = math.log(max(many, 1) / max(few, 1)) / math.log(GROWTH)
        if exponent < LINEAR:
            return 0
        expected = int(many * (rows / sampled) ** min(exponent, 1.0))
        allowed = int(USABLE_SHARE * self._limit) if self._limit else MAX_BYTES
        return expected if expected > allowed else 0

    @staticmethod
    def _largest(lazy: Any) -> int:
        from dask import base

        largest = _Largest()
        try:
            with largest:
                base.compute(lazy, scheduler="synchronous")
        except Exception as error:
            raise BlockError(str(error)) from error
        return largest.nbytes
