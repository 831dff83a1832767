"""Planning, in pure integers: which rows make up a shard, and which shards a partition.

No file is opened here, and nothing depends on the machine or on the number of workers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from ..rows import RowSpan

MIN_SHARD_ROWS = 4096
MAX_SHARD_ROWS = 131_072
MAX_SHARD_BYTES = 64 << 20
MIN_SHARD_SECONDS, MAX_SHARD_SECONDS = 5.0, 60.0
SHARDS_AIMED_AT = 64
FEW_SHARDS = 16
"""Shards to aim at where creating an object takes about a second, as on a mounted Drive."""


@dataclass(frozen=True)
class FileRows:
    """Rows of a file, by the units in which it is decoded."""

    units: tuple[int, ...]  # rows of each unit
    offsets: tuple[int, ...]  # where decoding of each unit begins

    @cached_property
    def starts(self) -> list[int]:
        """Number of the first row of each unit, followed by the number of rows in the file."""
        return [0, *accumulate(self.units)]

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return self.starts[-1]


@dataclass(frozen=True)
class Partition:
    """One task: shards ``[shard_start, shard_stop)``, which are rows ``[row_start, row_stop)``."""

    number: int
    shard_start: int
    shard_stop: int
    row_start: int
    row_stop: int

    @property
    def rows(self) -> int:
        """Rows of the partition."""
        return self.row_stop - self.row_start


@dataclass(frozen=True)
class Sharding:
    """How S, the rows per shard, is chosen. Independent of the machine and the number of workers.

    Parameters
    ----------
    rows : int, optional
        S itself, if the user sets it.
    shards : int
        Shards that a corpus of ordinary size is cut into; fewer where even a small object takes
        long to create.
    text_seconds : float
        Seconds per text that the graph's slow blocks declare.
    """

    rows: int | None = None
    shards: int = SHARDS_AIMED_AT
    text_seconds: float = 0.0

    def choose(self, rows: int, row_bytes: int = 0) -> int:
        """Return S for a corpus of `rows` rows whose results take `row_bytes` per text.

        Unless the user sets it, S is the largest power of two with S ≤ `rows` / `shards` (but at
        least 4,096, or as many as take 5 s, and at most 131,072); S × `row_bytes` ≤ 64 MiB; and S ×
        `text_seconds` ≤ 60 s, because a task has up to five shards in flight.

        >>> [Sharding().choose(rows) for rows in (129, 1_000_000, 10**9)]
        [4096, 8192, 131072]
        >>> Sharding().choose(10**9, row_bytes=1536)  # a 384-dimensional float32 embedding
        32768
        >>> Sharding(text_seconds=0.02).choose(10**9)  # fifty texts per second
        2048
        >>> Sharding(text_seconds=0.02).choose(6000)
        128
        """
        if self.rows:
            return self.rows
        least = MIN_SHARD_ROWS
        if self.text_seconds:
            least = min(least, max(1, int(MIN_SHARD_SECONDS / self.text_seconds)))
        chosen = min(max(rows // self.shards, least), MAX_SHARD_ROWS)
        if row_bytes:
            chosen = min(chosen, MAX_SHARD_BYTES // row_bytes)
        if self.text_seconds:
            chosen = min(chosen, int(MAX_SHARD_SECONDS / self.text_seconds))
        return 1 << (max(1, chosen).bit_length() - 1)


def shard_bounds(shard: int, rows: int, shard_rows: int) -> tuple[int, int]:
    """Return the rows ``[start, stop)`` of a shard of `shard_rows` rows in a corpus of `rows`."""
    return shard * shard_rows, min((shard + 1) * shard_rows, rows)


def plan(files: Sequence[FileRows], shard_rows: int) -> list[Partition]:
    """Cut a corpus into partitions of whole shards of `shard_rows` rows.

    A partition ends at the next shard boundary where cutting is cheap: one between two units, or
    the *first* one inside a unit. The partition before such a boundary reads only the head of that
    unit (less than a shard), and the partition after it reads the whole unit. So each unit is
    decoded once, plus at most one shard's rows of its head.

    Examples
    --------
    >>> one_row_group = FileRows(units=(20_000,), offsets=(0,))
    >>> [(p.shard_start, p.shard_stop) for p in plan([one_row_group], 4096)]
    [(0, 5)]
    >>> lines = FileRows(units=(5_000, 5_000, 5_000, 5_000), offsets=(0, 1, 2, 3))
    >>> [(p.shard_start, p.shard_stop) for p in plan([lines], 4096)]
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    total = sum(file.rows for file in files)
    shards = -(-total // shard_rows)
    cuts = [0, *_cheap_cuts(files, shard_rows, total), shards] if shards else [0]
    return [
        Partition(number, first, stop, first * shard_rows, min(stop * shard_rows, total))
        for number, (first, stop) in enumerate(pairwise(cuts))
    ]


def _cheap_cuts(files: Sequence[FileRows], shard_rows: int, total: int) -> Iterator[int]:
    """Yield each shard boundary inside the corpus that is the first in its unit."""
    start = 0
    for file in files:
        for rows in file.units:
            boundary = -(-start // shard_rows) * shard_rows
            if start <= boundary < start + rows and 0 < boundary < total:
                yield boundary // shard_rows
            start += rows


def file_spans(
    files: Sequence[FileRows], starts: Sequence[int], row: int, stop: int
) -> Iterator[tuple[int, RowSpan]]:
    """Yield ``(file_number, span)`` for each file that holds rows ``[row, stop)`` of the corpus.

    `starts` holds the number of each file's first row in the corpus, followed by the number of rows
    in the corpus.

    >>> files = [FileRows((3,), (0,)), FileRows((2, 2), (0, 90))]
    >>> found = file_spans(files, [0, 3, 7], 2, 7)
    >>> [(file, span.start, span.stop, span.unit_offset) for file, span in found]
    [(0, 2, 3, 0), (1, 0, 4, 0)]
    """
    number = bisect_right(starts, row) - 1
    while row < stop:
        file = files[number]
        end = min(stop, starts[number + 1])
        if end > row:
            first, last = row - starts[number], end - starts[number]
            unit = bisect_right(file.starts, first) - 1
            yield number, RowSpan(first, last, file.starts[unit], file.offsets[unit])
            row = end
        number += 1
