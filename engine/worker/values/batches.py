"""Batches of rows on their way from the corpus to the blocks: read ahead, gathered, or not read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ....storage.rows import DecodedRows, Rows, Stretch
from ..micro_batches.micro_batch import MicroBatch

SMALL_SHARE = 0.25
"""Share of a joined batch that is half a micro-batch."""


@dataclass(frozen=True)
class UnreadRows:
    """Consecutive rows of a file whose texts are not read; see `storage.rows.Rows`."""

    start: int  # row in the file
    rows: int

    def __len__(self) -> int:
        return self.rows

    def slice(self, start: int, stop: int) -> UnreadRows:
        """Return rows ``[start, stop)``, counted from 0."""
        return UnreadRows(self.start + start, stop - start)


ReadBatch = tuple[Stretch, int, Rows | DecodedRows]
Batch = ReadBatch | tuple[Stretch, int, UnreadRows]
"""A stretch, the number in the corpus of the first row, and the rows."""


def read_ahead(
    batches: Generator[Sequence[Batch]], awaited: Callable[[], Future[Any] | None]
) -> Generator[Sequence[Batch]]:
    """Read one group of batches while the previous one is computed.

    Yield no batches if what is awaited is done before the next group is read.
    """
    with closing(batches), ThreadPoolExecutor(1, "paninifs-read") as reader:
        upcoming = reader.submit(next, batches, None)
        while True:
            if (other := awaited()) is not None:
                wait([upcoming, other], return_when=FIRST_COMPLETED)
                if not upcoming.done():
                    yield []
                    continue
            if (group := upcoming.result()) is None:
                return
            upcoming = reader.submit(next, batches, None)
            yield group


def gathered(
    batches: Generator[ReadBatch], enough: Callable[[], MicroBatch]
) -> Generator[list[ReadBatch]]:
    """Gather consecutive batches until they have enough rows, or text, for the blocks.

    A rest that is small is added to the group before it, which waits for that. Batches whose texts
    are on the host are not in one group with others.
    """
    waiting: list[ReadBatch] = []
    held: list[ReadBatch] = []
    share = 0.0  # of what is enough
    with closing(batches):
        for batch in batches:
            rows = batch[2]
            before = held or waiting
            if before and not _follows(batch, before[-1]):
                yield from _rest(waiting, held, share)
                waiting, held, share = [], [], 0.0
            held.append(batch)
            target = enough()
            share += max(len(rows) / target.rows, rows.text.nbytes / target.text_bytes)
            if share >= 1:
                if waiting:
                    yield waiting
                waiting, held, share = held, [], 0.0
    yield from _rest(waiting, held, share)


def _follows(batch: ReadBatch, before: ReadBatch) -> bool:
    """Return whether a batch begins with the next row, and has its texts in the same memory."""
    (_, row, rows), (_, first, last_rows) = batch, before
    return row == first + len(last_rows) and type(rows) is type(last_rows)


def _rest(
    waiting: list[ReadBatch], held: list[ReadBatch], share: float
) -> Iterator[list[ReadBatch]]:
    if share < SMALL_SHARE:
        waiting, held = waiting + held, []
    yield from filter(None, (waiting, held))


def one_by_one(batches: Generator[ReadBatch]) -> Generator[list[ReadBatch]]:
    """Yield each batch as it is read."""
    with closing(batches):
        for batch in batches:
            yield [batch]


def unread(stretches: Iterable[Stretch]) -> Generator[list[Batch]]:
    """Yield the rows of stretches without their texts."""
    for stretch in stretches:
        rows = stretch.span.stop - stretch.span.start
        yield [(stretch, stretch.row, UnreadRows(stretch.span.start, rows))]


def slice_of(batches: Sequence[Batch], start: int, stop: int) -> list[Batch]:
    """Return rows ``[start, stop)``, by their numbers in the corpus, of consecutive batches."""
    found: list[Any] = []
    for stretch, row, rows in batches:
        first, last = max(start, row), min(stop, row + len(rows))
        if (first, last) == (row, row + len(rows)):
            found.append((stretch, row, rows))
        elif first < last:
            found.append((stretch, first, rows.slice(first - row, last - row)))
    return found
