"""`project`: estimates the peak memory of a worker, before anything is computed.

A task holds two batches of texts, each in several forms, the longest text, and the arrays of a few
shards. The lengths of texts are known from counting the corpus; a worker reports the memory that
its process holds already. The estimate itself, and how it is shown, is in `monitoring.projection`.
How much memory micro-batches may use is decided in `worker.micro_batches.budget`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ...storage.corpus.index import CorpusIndex, FileIndex
from ...storage.corpus.opening import FileOpener
from ...storage.formats.registry import reader_of
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
from ..worker.micro_batches.budget import JOINED_COPIES
from ..worker.micro_batches.micro_batch import MicroBatch
from ..worker.readiness import Readiness
from ..worker.shard_writer import shards_in_flight

DECODED_BYTES = 2 << 30
"""Maximum number of bytes of Parquet text that are decoded to find the longest text."""

BATCHES = 2
"""Number of batches in memory: one is read while the previous one is computed."""

SHARD_COPIES = 2
"""Number of copies of a shard in memory: its arrays, and the objects encoded from them."""


def project(
    ready: Readiness,
    index: CorpusIndex,
    layout: StoreLayout,
    stretches: Sequence[Stretch],
    opener: FileOpener,
    *,
    setup: int = 0,
) -> Projection:
    """Estimate the memory that a worker will need.

    Parameters
    ----------
    ready : Readiness
        The memory that a worker holds, and its limit.
    stretches : sequence of Stretch
        The rows that are left to be read.
    opener : FileOpener
        Used only if it is not clear from a Parquet footer whether the longest text fits.
    setup : int
        Bytes that the blocks' ``setup`` takes in a process, as a trial has measured.
    """
    indexed = {file.file: file for file in index.files if file.lengths}
    rows: dict[SourceFile, list[RowSpan]] = defaultdict(list)
    for stretch in stretches:
        if stretch.file in indexed and not stretch.problem:
            rows[stretch.file].append(stretch.span)
    shards = SHARD_COPIES * shards_in_flight(layout) * layout.shard_bytes
    batches = max((_reading_bytes(indexed[file], ready.joined) for file in rows), default=0)
    working = ready.threads * (shards + batches) + setup
    free = USABLE_SHARE * ready.limit - ready.resident - working if ready.limit else float("inf")
    records = [
        long
        for file, lengths in _exact(indexed, list(rows), index.text, free, opener)
        if any(span.start <= lengths.row < span.stop for span in rows[file])
        for long in _long(file, lengths, ready.threads)
    ]
    at_once = sorted(records, key=lambda long: -long.taken)[: ready.threads]
    working += sum(long.taken for long in at_once)
    return Projection(ready.resident, working, ready.limit, at_once[0] if at_once else None)


def _reading_bytes(one: FileIndex, joined: MicroBatch | None) -> int:
    """Return the bytes that reading a file takes, not counting long texts.

    That is two batches in all their forms, and the text joined from them for a device.
    """
    assert one.lengths is not None  # the callers pass only such files
    read = BATCHES * reader_of(one.file).text_copies * _held(one, BATCH_ROWS, BATCH_BYTES)
    if joined is not None:
        read += JOINED_COPIES * _held(one, joined.rows, joined.text_bytes)
    if one.file.in_frame:
        read += one.file.size  # dask's worker has all of it
    return int(read)


def _held(one: FileIndex, rows: int, nbytes: int) -> float:
    """Return the mean bytes of `rows` texts of a file, at most `nbytes`."""
    assert one.lengths is not None
    return min(one.lengths.nbytes, rows * one.lengths.nbytes / one.rows, nbytes)


def _long(file: SourceFile, lengths: Lengths, threads: int) -> list[LongRecord]:
    """Return the longest record of a file, once for each that may be in memory together."""
    if lengths.longest <= BATCH_BYTES:
        return []
    taken = reader_of(file).text_copies * lengths.longest
    times = min(threads, lengths.nbytes // lengths.longest)
    return times * [LongRecord(file, lengths.row, lengths.longest, taken)]


def _exact(
    indexed: Mapping[SourceFile, FileIndex],
    files: Sequence[SourceFile],
    text: str,
    free: float,
    opener: FileOpener,
) -> Iterator[tuple[SourceFile, Lengths]]:
    """Yield the lengths of files' records; decode a row group that would not fit as one text.

    Files with the longest texts come first, up to `DECODED_BYTES`. A text that does not fit and is
    not found this way kills its worker, and is then quarantined.
    """
    left = DECODED_BYTES
    known = [(file, lengths) for file in files if (lengths := indexed[file].lengths)]
    for file, lengths in sorted(known, key=lambda one: -one[1].longest / one[1].rows):
        read_as = reader_of(file)
        if lengths.rows == 1 or read_as.exact_lengths is None:
            yield file, lengths
        elif read_as.text_copies * lengths.longest > free and lengths.longest <= left:
            left -= lengths.longest
            with suppress(
                Malformed, OSError
            ):  # its rows are quarantined later, or reading it is retried
                yield file, read_as.exact_lengths(file, opener, text, lengths)
