"""Batches of rows on their way from the corpus to the blocks: read ahead, joined, or not read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from ....storage.rows import Rows, Stretch
from ..block_execution import Blocks


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


ReadBatch = tuple[Stretch, int, Rows]
Batch = ReadBatch | tuple[Stretch, int, UnreadRows]
"""A stretch, the number in the corpus of the first row, and the rows."""


def read_ahead(batches: Generator[ReadBatch] | Generator[Batch]) -> Iterator[Batch]:
    """Read one batch while the previous one is computed."""
    with closing(batches), ThreadPoolExecutor(1, "paninifs-read") as reader:
        upcoming = reader.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, batches, None)
            yield batch


def gathered(batches: Generator[ReadBatch], blocks: Blocks) -> Generator[ReadBatch]:
    """Join the batches of a stretch until they have enough rows, or text, for the blocks."""
    with closing(batches):
        for _, batches_of_stretch in groupby(batches, key=lambda batch: batch[0]):
            held: list[ReadBatch] = []
            for batch in batches_of_stretch:
                held.append(batch)
                n_rows = sum(len(rows) for *_, rows in held)
                nbytes = sum(rows.text.nbytes for *_, rows in held)
                target = blocks.joined_batch
                if target is None or n_rows >= target.rows or nbytes >= target.text_bytes:
                    yield _joined(held)
                    held = []
            if held:
                yield _joined(held)


def _joined(held: Sequence[ReadBatch]) -> ReadBatch:
    stretch, row, rows = held[0]
    return stretch, row, Rows.joined([rows for *_, rows in held]) if len(held) > 1 else rows


def unread(stretches: Sequence[Stretch]) -> Generator[Batch]:
    """Yield the rows of stretches without their texts."""
    for stretch in stretches:
        rows = stretch.span.stop - stretch.span.start
        yield stretch, stretch.row, UnreadRows(stretch.span.start, rows)
