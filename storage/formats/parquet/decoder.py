"""Decoding the row groups of a Parquet file, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...rows import BATCH_BYTES, BATCH_ROWS, Malformed, SourceFile
from ..decoding import StoredFile
from .footer import footer_of
from .row_groups import Chunk
from .schema import SchemaColumn, holds_text
from .values import column_of, plain

_DISK_BYTES, _REQUEST_BYTES = 1 << 20, 8 << 20
"""Bytes per read from a disk (few enough to stay in the CPU's cache), and per request."""

_REPEATS = 4
"""How many times the bytes that are meant to be in memory may be there, after decoding."""

_FEW_ROWS = 256
"""Rows per batch below which it takes less time to leave strings in their dictionary."""


class Decoder:
    """Decodes columns of a file whose footer has been checked.

    Raises
    ------
    Malformed
        The file has no footer, or one that contradicts itself.
    """

    def __init__(self, file: SourceFile, stored: StoredFile) -> None:
        self.footer = footer_of(file, stored)
        self._stored = stored
        self._buffer_bytes = _REQUEST_BYTES if "://" in file.location else _DISK_BYTES
        self._opened: dict[tuple[int, ...], pq.ParquetFile] = {}

    def batches(
        self,
        group: int,
        columns: Sequence[SchemaColumn],
        most: int = BATCH_ROWS,
        beside: Sequence[SchemaColumn] = (),
    ) -> Iterator[pa.RecordBatch]:
        """Yield a row group's columns, in batches of at most `most` rows and about BATCH_BYTES.

        Their sizes depend on the footer and on the columns, not on where reading begins or ends.

        Parameters
        ----------
        beside : sequence of SchemaColumn
            Columns that are decoded elsewhere, and count for the sizes.

        Raises
        ------
        Malformed
            The rest of the row group is damaged, or some of its rows are missing.
        """
        rows, chunks = self.footer.groups[group]
        for column in columns:
            for leaf in column.leaves:
                if problem := chunks[leaf].problem:
                    raise Malformed(f"cannot decode: {problem}")
        size, repeating = self._sizes(group, [*columns, *beside], most)
        left = rows
        for batch in self._decoded(group, columns, size, [c for c in repeating if c in columns]):
            whole = batch.slice(0, left)
            left -= len(whole)
            yield from _bounded(whole, columns)
        if left:
            raise Malformed(f"cannot decode: {rows - left} rows where the footer has {rows}")

    def spans(self, group: int, column: SchemaColumn) -> Iterator[tuple[int, int]]:
        """Yield which rows of a row group make a batch where one column alone is decoded."""
        rows = self.footer.groups[group].rows
        size, _ = self._sizes(group, [column], BATCH_ROWS)
        for start in range(0, rows, size):
            yield start, min(start + size, rows)

    def _sizes(
        self, group: int, columns: Sequence[SchemaColumn], most: int
    ) -> tuple[int, list[SchemaColumn]]:
        """Return the rows per batch, and the columns whose strings stay in their dictionary."""
        rows, chunks = self.footer.groups[group]
        nbytes = sum(
            max(chunks[leaf].stored, chunks[leaf].decoded or 0)
            for column in columns
            for leaf in column.leaves
        )
        size = max(1, min(most, BATCH_BYTES // max(1, nbytes // max(1, rows))))
        repeating = [column for column in columns if _may_repeat(column, chunks)]
        longest = max((self._longest(group, column) for column in repeating), default=0)
        fitting = _REPEATS * BATCH_BYTES // max(1, longest)
        if fitting >= min(size, _FEW_ROWS):
            return min(size, fitting), []
        return size, repeating

    def _longest(self, group: int, column: SchemaColumn) -> int:
        """Return the bytes of the longest string in a row group's dictionary, or 0."""
        try:
            first = next(self._decoded(group, [column], 1, [column]), None)
        except Malformed:
            return 0  # reading the column says why
        values = None if first is None else column_of(first, column.path)
        if not isinstance(values, pa.DictionaryArray):
            return 0
        return pc.max(pc.binary_length(plain(values.dictionary))).as_py() or 0

    def _decoded(
        self,
        group: int,
        columns: Sequence[SchemaColumn],
        size: int,
        repeating: Sequence[SchemaColumn],
    ) -> Iterator[pa.RecordBatch]:
        """Yield batches of `size` rows; those strings that repeat stay in their dictionary."""
        with self._stored.decoding("cannot decode"):
            yield from self._open(tuple(column.leaves.start for column in repeating)).iter_batches(
                batch_size=size,
                row_groups=[group],
                columns=[".".join(column.path) for column in columns],
                use_threads=False,
            )

    def _open(self, dictionaries: tuple[int, ...]) -> pq.ParquetFile:
        """Return the file, with some leaf columns left as dictionaries."""
        if dictionaries not in self._opened:
            self._opened[dictionaries] = pq.ParquetFile(
                self._stored,
                metadata=self.footer.metadata,
                read_dictionary=dictionaries,
                page_checksum_verification=True,
                # pyarrow's default holds a row group's whole column in memory, however long.
                pre_buffer=False,
                buffer_size=self._buffer_bytes,
            )
        return self._opened[dictionaries]


def _may_repeat(column: SchemaColumn, chunks: Sequence[Chunk]) -> bool:
    """Return whether a column's strings may take far more memory decoded than stored."""
    chunk = chunks[column.leaves.start]
    if not (holds_text(column.type) and chunk.dictionary):
        return False
    # Most writers do not say how many bytes there are after decoding.
    return chunk.decoded is None or chunk.decoded > _REPEATS * max(chunk.stored, BATCH_BYTES)


def _bounded(batch: pa.RecordBatch, columns: Sequence[SchemaColumn]) -> Iterator[pa.RecordBatch]:
    """Cut a batch where the strings in its dictionaries take more than BATCH_BYTES decoded."""
    values = (column_of(batch, column.path) for column in columns)
    lengths = [_decoded_bytes(v) for v in values if isinstance(v, pa.DictionaryArray)]
    ends = np.cumsum(sum(lengths, np.zeros(len(batch), np.int64)))
    start = 0
    while start < len(batch):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, "right")))
        yield batch.slice(start, stop - start)
        start = stop


def _decoded_bytes(values: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    """Return the bytes of each value: int64 [n]."""
    if not holds_text(values.dictionary.type):
        return np.zeros(len(values), np.int64)
    lengths = pc.binary_length(plain(values.dictionary)).take(values.indices)
    known = lengths.cast(pa.int64()).fill_null(0)
    return np.asarray(known.to_numpy(zero_copy_only=False), np.int64)
