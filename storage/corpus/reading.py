"""Reading the rows of a corpus, by stretch or by row number, with their texts cleaned.

`read_stretch` reads one stretch and yields exactly the rows that were planned: rows that a damaged
file no longer yields become faults. `read_stretches` reads the stretches of a task, fetching small
files ahead. `texts_at` reads single texts. Decoding is in `formats`, fetching the bytes of a file
in `opening`, and `CorpusIndex.stretches` finds the stretches that hold given rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, islice
from typing import overload

from ..errors import CorpusChanged
from ..formats.recognition.transcoding import named
from ..formats.registry import BROKEN, reader_of, reason_of
from ..rows import (
    BATCH_ROWS,
    ColumnSelection,
    DecodedRows,
    Rows,
    SourceFile,
    Stretch,
    TextDecoder,
)
from .index import CorpusIndex
from .opening import SMALL_BYTES, CorpusOpener, FileOpener, SmallFileOpener

FETCHES = 16
"""Number of small files that are fetched at the same time."""

AHEAD = 2 * FETCHES
"""Number of stretches prepared ahead, and so the largest number of small files in memory."""


@overload
def read_stretch(
    stretch: Stretch, opener: CorpusOpener, selection: ColumnSelection, decode: None = None
) -> Iterator[Rows]: ...
@overload
def read_stretch(
    stretch: Stretch,
    opener: CorpusOpener,
    selection: ColumnSelection,
    decode: TextDecoder | None,
) -> Iterator[Rows | DecodedRows]: ...
def read_stretch(
    stretch: Stretch,
    opener: CorpusOpener,
    selection: ColumnSelection,
    decode: TextDecoder | None = None,
) -> Iterator[Rows | DecodedRows]:
    """Yield exactly the rows of a stretch, in order, with their texts cleaned.

    Parameters
    ----------
    decode : callable, optional
        Decodes the texts of files whose format can hand them over. Texts that it holds cannot be
        cleaned, so give none if `selection` cleans them.

    Raises
    ------
    CorpusChanged
        The file is no longer the one that was indexed.
    StorageRefused
        The file may no longer be opened.
    OSError
        The disk or the network failed; the task is retried.
    """
    file, row = stretch.file, stretch.span.start
    reason = stretch.problem or "the file ends before this row"
    if not stretch.problem:
        opener.check(file)
        batches = _batches(stretch, opener, selection, decode)
        try:
            for rows in batches:
                if row + len(rows) >= stretch.span.stop:
                    # Done before the last rows are yielded, because a caller may not ask for more.
                    _finish(batches, file)
                    opener.check(file)
                yield rows if isinstance(rows, DecodedRows) else rows.cleaned(selection.cleaning)
                row += len(rows)
        except BROKEN as error:
            opener.check(file)
            reason = reason_of(error)
    for first in range(row, stretch.span.stop, BATCH_ROWS):
        last = min(first + BATCH_ROWS, stretch.span.stop)
        yield Rows.lost(first, last, reason, selection)


def _batches(
    stretch: Stretch,
    opener: CorpusOpener,
    selection: ColumnSelection,
    decode: TextDecoder | None,
) -> Iterator[Rows | DecodedRows]:
    file = stretch.file
    reader = reader_of(file)
    if decode is not None and reader.read_decoded is not None:
        return reader.read_decoded(file, opener, stretch.span, selection, decode)
    batches = reader.read(file, opener, stretch.span, selection)
    return named(batches, file.dialect.encoding) if file.dialect.encoding else batches


def can_hand_over(stretches: Iterable[Stretch]) -> bool:
    """Return whether the format of any file hands its texts over to a `TextDecoder`."""
    return any(reader_of(one.file).read_decoded is not None for one in stretches)


def _finish(batches: Iterator[Rows | DecodedRows], file: SourceFile) -> None:
    """Read what follows the last rows, such as a checksum."""
    try:
        for _ in batches:
            pass
    except BROKEN as error:
        raise CorpusChanged(
            f"{file.url} was damaged after it was indexed: {reason_of(error)}"
        ) from error


@overload
def read_stretches(
    stretches: Iterable[Stretch],
    opener: FileOpener,
    selection: ColumnSelection,
    decode: None = None,
) -> Generator[tuple[Stretch, int, Rows]]: ...
@overload
def read_stretches(
    stretches: Iterable[Stretch],
    opener: FileOpener,
    selection: ColumnSelection,
    decode: TextDecoder | None,
) -> Generator[tuple[Stretch, int, Rows | DecodedRows]]: ...
def read_stretches(
    stretches: Iterable[Stretch],
    opener: FileOpener,
    selection: ColumnSelection,
    decode: TextDecoder | None = None,
) -> Generator[tuple[Stretch, int, Rows | DecodedRows]]:
    """Yield ``(stretch, first_row, rows)`` for each batch, in corpus order; see `read_stretch`.

    Small files are fetched ahead, many at a time: each document on a mount or in a bucket costs a
    round trip, and ten thousand round trips in sequence would take longer than all the hashing.

    Raises
    ------
    CorpusChanged
        A file is no longer the one that was indexed.
    StorageUnreachable
        The storage kept failing until the retries ran out.
    """
    coming = iter(stretches)
    ahead: deque[tuple[Stretch, Future[SmallFileOpener] | None]] = deque()
    pool = ThreadPoolExecutor(FETCHES, "paninifs-fetch")

    def fetching(stretch: Stretch) -> tuple[Stretch, Future[SmallFileOpener] | None]:
        file = stretch.file
        alone = stretch.problem or file.in_frame or file.size > SMALL_BYTES
        return stretch, None if alone else pool.submit(SmallFileOpener(opener, file).fetch)

    try:
        ahead.extend(fetching(stretch) for stretch in islice(coming, AHEAD))
        while ahead:
            stretch, fetched = ahead.popleft()
            row = stretch.row
            opened = fetched.result() if fetched else opener
            for rows in read_stretch(stretch, opened, selection, decode):
                yield stretch, row, rows
                row += len(rows)
            ahead.extend(fetching(stretch) for stretch in islice(coming, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def texts_at(index: CorpusIndex, opener: FileOpener, rows: Iterable[int]) -> dict[int, str | None]:
    """Return the texts of some rows of the corpus; None for a quarantined row.

    Rows that are decoded together are read together, so a compressed file is read once.
    """
    single = [index.stretches(row, row + 1)[0] for row in sorted(set(rows))]
    texts: dict[int, str | None] = {}
    for _, group in groupby(single, key=lambda s: (s.file, s.span.unit_row)):
        members = list(group)
        first, last = members[0], members[-1]
        span = replace(first.span, stop=last.span.stop)
        whole = Stretch(first.row, first.file, span, first.problem)
        numbers = {member.row for member in members}
        row = whole.row
        for batch in read_stretch(whole, opener, index.selection):
            for at in range(len(batch)):
                if row + at in numbers:
                    texts[row + at] = batch.text[at].as_py()
            row += len(batch)
    return texts
