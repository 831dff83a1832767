"""Partitions of dask frames, whose rows come with their file as Arrow columns.

Values are read as if the partition had been written as Parquet, so that staging a frame first
changes no result. Text that lies in Arrow's layout already is not copied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    ColumnSelection,
    Lengths,
    Malformed,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    Unit,
)
from ...rows.frame_rows import FrameContent
from ..format import Format
from .schema import arrow_kind, columns_of, holds_bytes, holds_text
from .values import plain, rows_of


def outline(file: SourceFile, _: Opener) -> Outline:
    """Count the rows of a partition, and find its columns and the lengths of its strings."""
    table = _table(file)
    known = columns_of(stored_schema(table.schema))
    lengths = {
        name: found
        for name, column in zip(table.column_names, table.columns, strict=True)
        if holds_text(column.type) and (found := _lengths(column))
    }
    return Outline(
        units=(Unit(table.num_rows, 0),) if table.num_rows else (),
        columns={name: arrow_kind(column.type) for name, column in known.items()},
        lengths=lengths,
        binary=frozenset(name for name, column in known.items() if holds_bytes(column.type)),
    )


def columns(file: SourceFile, _: Opener) -> dict[str, str]:
    """Return every column of a partition and its kind."""
    known = columns_of(stored_schema(_table(file).schema))
    return {name: arrow_kind(column.type) for name, column in known.items()}


def read(file: SourceFile, _: Opener, span: RowSpan, selection: ColumnSelection) -> Iterator[Rows]:
    """Read a span of a partition."""
    table = _table(file)
    schema = stored_schema(table.schema)
    known = columns_of(schema)
    if selection.text not in known:
        raise Malformed(f"no column {selection.text!r}")
    names = dict.fromkeys([selection.text, *(column.name for column in selection.others)])
    paths = {name: known[name].path for name in names if name in known}
    row = span.start
    for batch in _batches(table.slice(span.start, span.stop - span.start).cast(schema)):
        yield rows_of(batch, row, selection, paths)
        row += len(batch)


@lru_cache(maxsize=64)
def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that columns have once they were written as Parquet, and read again.

    >>> stored_schema(pa.schema({"text": pa.large_string(), "at": pa.timestamp("s")})).types
    [DataType(large_string), TimestampType(timestamp[ms])]
    """
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    return pq.read_schema(io.BytesIO(sink.getvalue())).remove_metadata()


def _table(file: SourceFile) -> pa.Table:
    assert isinstance(file.content, FrameContent)  # otherwise `FileOpener.check` fails first
    return file.content.rows().table


def _lengths(column: pa.ChunkedArray) -> Lengths | None:
    """Return the lengths of the strings of a column; None if it has none."""
    found = pc.binary_length(pa.chunked_array([plain(chunk) for chunk in column.chunks]))
    longest = pc.max(found).as_py()
    if longest is None:
        return None
    return Lengths(pc.sum(found).as_py(), longest, pc.index(found, longest).as_py())


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield a table in batches of bounded size, without copying."""
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        size = max(1, BATCH_BYTES // max(1, batch.nbytes // max(1, len(batch))))
        for start in range(0, len(batch), size):
            yield batch.slice(start, size)


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(),
    options=(),
    text_copies=2,
    calibrated_as="parquet",
    counting_cost=0,
)
