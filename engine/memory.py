"""How much memory a worker will need, by what counting the corpus found; before it is computed.

What a task holds is known from how it works: two batches of texts, each in several forms, the
longest text, and a few shards' arrays. What a process holds before that is asked of a worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from dask.utils import format_bytes

from ..storage import parquet
from ..storage.errors import RunFailed
from ..storage.index import CorpusIndex, FileIndex
from ..storage.rows import BATCH_BYTES, BATCH_ROWS, Lengths
from ..storage.shards import StoreLayout
from ..storage.source import FileOpener
from .task import Readiness, shards_in_flight

TEXT_COPIES = {"text": 5, "document": 5, "jsonl": 6, "parquet": 6, "csv": 9, "tsv": 9}
"""How many times a record's bytes are in memory at once: as stored, as parsed, as Arrow's, ...

Measured with single texts of 200 MB (tests/test_memory.py does so again, with smaller ones).
"""

BATCHES = 2
"""One that is read while the one before it is computed."""

SHARD_COPIES = 2
"""A shard's arrays, and the objects that are made of them."""

USABLE = 0.8
"""Of a worker's limit: from there on dask pauses it."""


@dataclass(frozen=True)
class Projection:
    """The most that a worker is expected to hold, in bytes, and what it may."""

    resident: int  # before it works
    working: int  # more, at work: all its threads
    limit: int | None  # None: nobody says
    longest: tuple[FileIndex, Lengths] | None = None
    """The file whose longest record takes most, where that is more than a batch does."""

    longest_bytes: int = 0  # that a thread takes for that record

    @property
    def nbytes(self) -> int:
        """The peak."""
        return self.resident + self.working

    def __str__(self) -> str:
        """Return it for people.

        >>> str(Projection(300 << 20, 100 << 20, 2 << 30))
        '400.00 MiB of its 2.00 GiB'
        """
        of = "" if self.limit is None else f" of its {format_bytes(self.limit)}"
        return f"{format_bytes(self.nbytes)}{of}"

    def require_room(self) -> None:
        """Raise `RunFailed` where it cannot fit, naming what takes the room."""
        if self.limit is None or self.nbytes <= USABLE * self.limit:
            return
        why = f"a worker holds {format_bytes(self.resident)} before it works"
        if self.longest and 2 * self.longest_bytes > self.working:
            one, lengths = self.longest
            why = (
                f"{one.file.url}, row {lengths.row:,} (from 0), has "
                f"{format_bytes(lengths.longest)} in one piece, and "
                f"{format_bytes(self.longest_bytes)} are needed to read it"
            )
        raise RunFailed(
            f"a worker would need about {format_bytes(int(self.nbytes / USABLE))}, and has "
            f"{format_bytes(self.limit)}: {why}. Nothing was computed; give each worker more "
            "(--memory, or fewer --workers, --threads), or take the row out, and run again: "
            "counted rows are not counted again"
        )


def project(
    ready: Readiness, index: CorpusIndex, layout: StoreLayout, opener: FileOpener
) -> Projection:
    """Return what a worker will need for a corpus.

    Parameters
    ----------
    ready : Readiness
        What a worker holds, and may hold.
    opener : FileOpener
        Used only where a Parquet footer leaves open whether the longest text fits.
    """
    shards = SHARD_COPIES * shards_in_flight(layout) * layout.shard_bytes
    read = [(one, one.lengths) for one in index.files if one.rows and one.lengths]
    batches = BATCHES * max((_batch_bytes(one, lengths) for one, lengths in read), default=0)
    room = USABLE * (ready.limit or float("inf")) - ready.resident
    fits = room / ready.threads - shards - batches
    longest, longest_bytes = None, 0
    for one, lengths in read:
        copies, exact = TEXT_COPIES[one.file.format], lengths
        if lengths.rows > 1 and lengths.longest > BATCH_BYTES and copies * lengths.longest > fits:
            exact = parquet.exact_lengths(one.file, opener, index.text)
        if exact.rows == 1 and copies * exact.longest > max(longest_bytes, copies * BATCH_BYTES):
            longest, longest_bytes = (one, exact), copies * exact.longest
    working = ready.threads * (shards + batches + longest_bytes)
    return Projection(ready.resident, working, ready.limit, longest, longest_bytes)


def _batch_bytes(one: FileIndex, lengths: Lengths) -> int:
    """Return the bytes that a batch of a file takes, in all its forms."""
    mean = lengths.nbytes / one.rows
    held = min(lengths.nbytes, BATCH_ROWS * mean, BATCH_BYTES + mean)
    return int(TEXT_COPIES[one.file.format] * held)
