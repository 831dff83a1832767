"""How much memory a worker will need, by what counting the corpus found; before it is computed.

What a task holds is known from how it works: two batches of texts, each in several forms, the
longest text, and a few shards' arrays. What a process holds before that is asked of a worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ...storage.corpus.index import CorpusIndex, FileIndex
from ...storage.corpus.opening import FileOpener
from ...storage.formats.registry import FORMATS
from ...storage.rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    Lengths,
    Malformed,
    RowSpan,
    SourceFile,
    Stretch,
)
from ...storage.store.shards import StoreLayout
from ..monitoring.projection import USABLE_SHARE, LongRecord, Projection
from ..worker.budget import JOINED_COPIES
from ..worker.micro_batch import MicroBatch
from ..worker.task import Readiness, shards_in_flight

DECODED_BYTES = 2 << 30
"""How much text of Parquet files is decoded at most to find out how long the longest one is."""

BATCHES = 2
"""One that is read while the one before it is computed."""

SHARD_COPIES = 2
"""A shard's arrays, and the objects that are made of them."""


def project(
    ready: Readiness,
    index: CorpusIndex,
    layout: StoreLayout,
    stretches: Sequence[Stretch],
    opener: FileOpener,
) -> Projection:
    """Return what a worker will need.

    Parameters
    ----------
    ready : Readiness
        What a worker holds, and may hold.
    stretches : sequence of Stretch
        What is left to be read.
    opener : FileOpener
        Used only where a Parquet footer leaves open whether the longest text fits.
    """
    indexed = {one.file: one for one in index.files if one.lengths}
    rows: dict[SourceFile, list[RowSpan]] = defaultdict(list)
    for stretch in stretches:
        if stretch.file in indexed and not stretch.problem:
            rows[stretch.file].append(stretch.span)
    shards = SHARD_COPIES * shards_in_flight(layout) * layout.shard_bytes
    batches = max((_reading_bytes(indexed[file], ready.joined) for file in rows), default=0)
    working = ready.threads * (shards + batches)
    room = USABLE_SHARE * ready.limit - ready.resident - working if ready.limit else float("inf")
    found = [
        long
        for file, lengths in _exact(indexed, list(rows), index.text, room, opener)
        if any(span.start <= lengths.row < span.stop for span in rows[file])
        for long in _long(file, lengths, ready.threads)
    ]
    at_once = sorted(found, key=lambda long: -long.taken)[: ready.threads]
    working += sum(long.taken for long in at_once)
    return Projection(ready.resident, working, ready.limit, at_once[0] if at_once else None)


def _reading_bytes(one: FileIndex, joined: MicroBatch | None) -> int:
    """Return the bytes that reading a file takes; a long text comes apart.

    Two batches in all their forms, and what is joined of them for a device.
    """
    assert one.lengths is not None  # only such files are asked about
    read = BATCHES * FORMATS[one.file.format].text_copies * _held(one, BATCH_ROWS, BATCH_BYTES)
    if joined is not None:
        read += JOINED_COPIES * _held(one, joined.rows, joined.text_bytes)
    return int(read)


def _held(one: FileIndex, rows: int, nbytes: int) -> float:
    """Return the bytes of so many of a file's texts, at most so many bytes."""
    assert one.lengths is not None
    return min(one.lengths.nbytes, rows * one.lengths.nbytes / one.rows, nbytes)


def _long(file: SourceFile, lengths: Lengths, threads: int) -> list[LongRecord]:
    """Return the longest record of a file as often as there may be such ones at once."""
    if lengths.longest <= BATCH_BYTES:
        return []
    taken = FORMATS[file.format].text_copies * lengths.longest
    times = min(threads, lengths.nbytes // lengths.longest)
    return times * [LongRecord(file, lengths.row, lengths.longest, taken)]


def _exact(
    indexed: Mapping[SourceFile, FileIndex],
    files: Sequence[SourceFile],
    text: str,
    room: float,
    opener: FileOpener,
) -> Iterator[tuple[SourceFile, Lengths]]:
    """Yield how long files' records are; row groups that would not fit as one text are decoded.

    Those with the longest texts come first, and no more than `DECODED_BYTES`: what is longer than
    a worker has room for and found out by neither ends it, and is set aside then.
    """
    left = DECODED_BYTES
    known = [(file, lengths) for file in files if (lengths := indexed[file].lengths)]
    for file, lengths in sorted(known, key=lambda one: -one[1].longest / one[1].rows):
        read_as = FORMATS[file.format]
        if lengths.rows == 1 or read_as.exact_lengths is None:
            yield file, lengths
        elif read_as.text_copies * lengths.longest > room and lengths.longest <= left:
            left -= lengths.longest
            with suppress(Malformed, OSError):  # its rows are quarantined, or the file retried
                yield file, read_as.exact_lengths(file, opener, text, lengths)
