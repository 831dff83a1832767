"""Joins the rows of a store with the rows of its corpus, in order, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....storage.corpus.reading import read_stretches
from ....storage.errors import CorpusChanged, StorageRefused, StorageUnreachable
from ....storage.rows import ColumnSelection, Rows, Stretch, validity
from ....storage.store.reader import ResultsStore
from ....storage.store.shards import quarantined_of

Batch = tuple[Stretch, int, Rows]  # stretch, its first row in the corpus, its rows

NOT_DONE = "not computed yet"
"""The reason of a row that is neither valid nor quarantined."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The rows ``[start, stop)``, from the store and, if it is read, from the corpus."""

    start: int
    stop: int
    valid: npt.NDArray[np.bool_]
    stored: Mapping[str, npt.NDArray[Any]]  # by array name
    reasons: pa.Array  # strings; null where a row is valid
    rows: Rows | None = None  # None if the corpus is not read

    def slice(self, start: int, stop: int, rows: Rows) -> Piece:
        """Return the rows ``[start, stop)`` of this piece, joined with those of the corpus."""
        here = slice(start - self.start, stop - self.start)
        stored = {name: values[here] for name, values in self.stored.items()}
        reasons = self.reasons.slice(here.start, stop - start)
        return Piece(
            start=start,
            stop=stop,
            valid=self.valid[here],
            stored=stored,
            reasons=reasons,
            rows=rows,
        )


def pieces(
    store: ResultsStore, names: Sequence[str], selection: ColumnSelection | None
) -> Iterator[Piece]:
    """Yield all rows in order.

    Parameters
    ----------
    names : sequence of str
        The arrays to read, besides `valid`.
    selection : ColumnSelection or None
        The columns to read from the corpus; if None, it is not read.

    Raises
    ------
    CorpusChanged
        A file is no longer the one that was indexed, or lacks a row that the run computed.
    """
    stored = _stored(store, names)
    if selection is None:
        yield from stored
        return
    stretches = store.index.stretches(0, store.index.rows)
    block = next(stored)
    with closing(read_stretches(stretches, store.opener, selection)) as batches:
        for stretch, row, rows in _read(batches):
            start = row
            while start < row + len(rows):
                if start == block.stop:
                    block = next(stored)
                stop = min(row + len(rows), block.stop)
                piece = block.slice(start, stop, rows.slice(start - row, stop - row))
                with suggesting_no_text():
                    _require_texts(piece, stretch.file.url)
                yield piece
                start = stop


@contextmanager
def suggesting_no_text() -> Iterator[None]:
    """Add a hint to errors about the corpus: the store can be exported without it."""
    try:
        yield
    except (CorpusChanged, StorageRefused, StorageUnreachable) as error:
        raise type(error)(
            f"{error}. Without the corpus, --no-text (text=False) exports what is in the store"
        ) from error


def _read(batches: Iterator[Batch]) -> Iterator[Batch]:
    with suggesting_no_text():
        yield from batches


def _stored(store: ResultsStore, names: Sequence[str]) -> Iterator[Piece]:
    row_bytes = sum(one.row_bytes for one in store.fields if one.name in names)
    for start, stop in store.layout.read_ranges(row_bytes):
        valid = np.asarray(store.arrays["valid"][start:stop])
        stored = {name: np.asarray(store.arrays[name][start:stop]) for name in names}
        reasons = _reasons(store, start, valid)
        yield Piece(start=start, stop=stop, valid=valid, stored=stored, reasons=reasons)


def _reasons(store: ResultsStore, start: int, valid: npt.NDArray[np.bool_]) -> pa.Array:
    if valid.all():
        return pa.nulls(len(valid), pa.string())
    shard_rows = store.layout.shard_rows
    reasons = np.full(len(valid), NOT_DONE, object)
    for shard in np.unique((start + np.flatnonzero(~valid)) // shard_rows).tolist():
        for entry in quarantined_of(store.target, shard):
            if entry.row is not None:
                first = entry.row - start
                reasons[first : first + entry.rows] = entry.reason
    return pa.array(reasons, pa.string(), mask=valid)


def _require_texts(piece: Piece, url: str) -> None:
    """Raise `CorpusChanged` if a row that was computed can no longer be read."""
    assert piece.rows is not None
    lost = np.flatnonzero(piece.valid & ~validity(piece.rows.text))
    if len(lost):
        row = piece.rows.start + int(lost[0])
        reasons = (f.reason for f in piece.rows.faults if f.row <= row < f.row + f.rows)
        raise CorpusChanged(
            f"{url}, row {row}: was computed but can no longer be read: {next(reasons, 'null')}"
        )
