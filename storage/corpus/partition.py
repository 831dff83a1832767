"""Planning, in pure integers: which rows make a shard, which shards make a partition.

No file is opened here, and nothing depends on the machine or on the number of workers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from ..rows import Span

MIN_SHARD_ROWS = 4096
MAX_SHARD_ROWS = 131_072
MAX_SHARD_BYTES = 64 << 20
MAX_SHARD_SECONDS = 60.0
SHARDS_AIMED_AT = 64
FEW_SHARDS = 16
"""Aimed at where each object costs a second or so: a mounted Drive."""


@dataclass(frozen=True)
class FileRows:
    """How many rows a file has, in the units in which it is decoded."""

    units: tuple[int, ...]  # rows of each unit
    offsets: tuple[int, ...]  # where decoding of each unit starts

    @cached_property
    def starts(self) -> list[int]:
        """First row of each unit, and the file's rows at the end."""
        return [0, *accumulate(self.units)]

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return self.starts[-1]


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of one file, somewhere in a partition."""

    file: int  # which file of the corpus
    span: Span


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
    """How S, the rows of a shard, is chosen. Neither the machine nor the number of workers enters.

    Parameters
    ----------
    rows : int, optional
        S itself, as the user says.
    shards : int
        How many shards a corpus of ordinary size is cut into; fewer where an object takes long to
        make, however small it is.
    text_seconds : float
        Seconds that the graph's slow blocks say a text takes.
    """

    rows: int | None = None
    shards: int = SHARDS_AIMED_AT
    text_seconds: float = 0.0

    def choose(self, rows: int, row_bytes: int = 0) -> int:
        """Return S for a corpus of `rows` whose results take `row_bytes` a text, a power of two.

        The largest with S ≤ `rows` / `shards`, within 4,096 and 131,072; S × `row_bytes` ≤ 64 MiB;
        and S × `text_seconds` ≤ 60 s, for a task has up to five shards in flight.

        >>> [Sharding().choose(rows) for rows in (129, 1_000_000, 10**9)]
        [4096, 8192, 131072]
        >>> Sharding().choose(10**9, row_bytes=1536)  # a 384-dimensional float32 embedding
        32768
        >>> Sharding(text_seconds=0.02).choose(10**9)  # fifty texts a second
        2048
        """
        if self.rows:
            return self.rows
        wanted = min(max(rows // self.shards, MIN_SHARD_ROWS), MAX_SHARD_ROWS)
        if row_bytes:
            wanted = min(wanted, MAX_SHARD_BYTES // row_bytes)
        if self.text_seconds:
            wanted = min(wanted, int(MAX_SHARD_SECONDS / self.text_seconds))
        return 1 << (max(1, wanted).bit_length() - 1)


def shard_bounds(shard: int, rows: int, size: int) -> tuple[int, int]:
    """Return the rows ``[start, stop)`` of a shard of `size` rows in a corpus of `rows`."""
    return shard * size, min((shard + 1) * size, rows)


def plan(files: Sequence[FileRows], size: int) -> list[Partition]:
    """Cut a corpus into partitions of whole shards of `size` rows.

    A partition ends at the first shard boundary where that costs no second decoding: between
    two units, or at the *first* shard boundary inside a unit, whose head (less than a shard)
    the partition before it reads and whose whole the partition behind it reads. So each unit is
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
    shards = -(-total // size)
    cuts = [0, *_cheap_cuts(files, size, total), shards] if shards else [0]
    return [
        Partition(number, first, stop, first * size, min(stop * size, total))
        for number, (first, stop) in enumerate(pairwise(cuts))
    ]


def _cheap_cuts(files: Sequence[FileRows], size: int, total: int) -> Iterator[int]:
    """Yield the inner shard boundaries that are the first one in the unit they fall into."""
    start = 0
    for file in files:
        for rows in file.units:
            boundary = -(-start // size) * size
            if start <= boundary < start + rows and 0 < boundary < total:
                yield boundary // size
            start += rows


def pieces(
    files: Sequence[FileRows], starts: Sequence[int], row: int, stop: int
) -> Iterator[Piece]:
    """Yield the pieces of files that rows ``[row, stop)`` of the corpus are.

    `starts` are the files' first rows in the corpus, and its rows at the end.

    >>> files = [FileRows((3,), (0,)), FileRows((2, 2), (0, 90))]
    >>> spans = [(p.file, p.span) for p in pieces(files, [0, 3, 7], 2, 7)]
    >>> [(file, span.start, span.stop, span.unit_offset) for file, span in spans]
    [(0, 2, 3, 0), (1, 0, 4, 0)]
    """
    number = bisect_right(starts, row) - 1
    while row < stop:
        file = files[number]
        end = min(stop, starts[number + 1])
        if end > row:
            first, last = row - starts[number], end - starts[number]
            unit = bisect_right(file.starts, first) - 1
            yield Piece(number, Span(first, last, file.starts[unit], file.offsets[unit]))
            row = end
        number += 1
