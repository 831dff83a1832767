"""`read_stretches`: what a task reads, in order, with its small files fetched many at once.

A folder of ten thousand documents on a mount or in a bucket costs a round trip a file; one after
the other they would take longer than all the hashing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from ..formats.registry import read_stretch
from ..rows import Rows, Stretch, Wanted
from .opening import SMALL_BYTES, FileOpener, InHand

FETCHES = 16
"""Small files that are fetched at once."""

AHEAD = 2 * FETCHES
"""Stretches that are looked ahead; so at most this many small files are held."""


def read_stretches(
    stretches: Iterable[Stretch], opener: FileOpener, wanted: Wanted
) -> Generator[tuple[Stretch, int, Rows]]:
    """Yield the rows of stretches, in order: the stretch, their first row in the corpus, and they.

    Raises
    ------
    CorpusChanged
        A file is no longer the one that was indexed.
    StorageUnreachable
        The storage failed for longer than it is waited for.
    """
    coming = iter(stretches)
    ahead: deque[tuple[Stretch, Future[InHand] | None]] = deque()
    pool = ThreadPoolExecutor(FETCHES, "paninifs-fetch")

    def begun(stretch: Stretch) -> tuple[Stretch, Future[InHand] | None]:
        alone = stretch.problem or stretch.file.size > SMALL_BYTES
        return stretch, None if alone else pool.submit(InHand(opener, stretch.file).fetch)

    try:
        ahead.extend(begun(stretch) for stretch in islice(coming, AHEAD))
        while ahead:
            stretch, fetched = ahead.popleft()
            row = stretch.row
            opened = fetched.result() if fetched else opener
            for rows in read_stretch(stretch, opened, wanted):
                yield stretch, row, rows
                row += len(rows)
            ahead.extend(begun(stretch) for stretch in islice(coming, 1))
    finally:
        pool.shutdown(cancel_futures=True)
