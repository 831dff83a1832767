"""`Syncs`: files written and synced by a few threads, or by one where a sync takes no time.

Which files, and in which order, is in `local`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any

_THREADS = 4
"""Number of objects written and synced at once. A disk makes all that wait for it durable in one
step, and on a busy machine each wait in turn would take as long as all together."""

_NO_TIME = 20e-6
"""Seconds of a sync below which nothing waits: a memory disk takes 1 µs, other disks 100 and more.
Threads that never wait only take the interpreter from each other, and double what a file costs."""

Share = Callable[[Callable[..., None], Sequence[tuple[Any, ...]]], None]
"""Function that makes calls, given their arguments; raises the first error after all."""


class Syncs:
    """Syncs files, and knows how long the disk takes for it.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._waits = True  # whether the files of the last group waited for the disk
        self._fastest = math.inf  # seconds, of those of this group

    def sync(self, handle: int) -> None:
        """Make the data of an open file durable."""
        began = time.perf_counter()
        os.fsync(handle)
        self._fastest = min(self._fastest, time.perf_counter() - began)

    @contextmanager
    def group(self) -> Iterator[Share]:
        """Yield what makes calls for the files of a group, several at once if the last waited."""
        self._fastest = math.inf
        with ThreadPoolExecutor(_THREADS, "paninifs-sync") as pool:  # starts threads when needed
            yield partial(_share, pool) if self._waits else _one_by_one
        if self._fastest < math.inf:
            self._waits = self._fastest > _NO_TIME


def _one_by_one(call: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
    for one in arguments:
        call(*one)


def _share(pool: Executor, call: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
    if len(arguments) == 1:
        call(*arguments[0])
        return
    shares = (arguments[n::_THREADS] for n in range(min(_THREADS, len(arguments))))
    working = [pool.submit(_one_by_one, call, share) for share in shares]
    wait(working)
    for one in working:
        one.result()
