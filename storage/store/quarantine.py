"""Quarantined rows: which ones, from which file and why, as Parquet beside the arrays.

During a run, each shard has a part of its own; `lifecycle` joins them at the end.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..corpus.index import CorpusIndex
from ..messages.names import storable
from ..rows import Fault, Stretch
from ..targets.target import Target
from .keys import QUARANTINE_KEY

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),  # of the corpus; null for a file whose rows were not counted
        pa.field("rows", pa.int64(), nullable=False),  # number of consecutive rows
        pa.field("file", pa.string(), nullable=False),
        pa.field("file_row", pa.int64()),  # counted from 0
        pa.field("reason", pa.string(), nullable=False),
        pa.field("excerpt", pa.binary(), nullable=False),  # the offending bytes, or their start
        pa.field("block", pa.string()),  # that failed for the text; null: the row is unusable
        pa.field("id", pa.string()),  # of a row that a block failed for, if rows have ids
    ]
)
"""The columns of a quarantine."""


@dataclass(frozen=True, kw_only=True)
class QuarantinedRows:
    """One entry: consecutive rows of a file that were quarantined for the same reason."""

    row: int | None
    rows: int
    file: str
    file_row: int | None
    reason: str
    excerpt: bytes = b""
    block: str | None = None
    id: str | None = None

    def __str__(self) -> str:
        if self.file_row is None:
            return f"{self.file}: {self.reason}"
        last = f"-{self.file_row + self.rows - 1}" if self.rows > 1 else ""
        last += f", id {self.id}" if self.id is not None else ""
        return f"{self.file}, row {self.file_row}{last}: {self.reason}"


def quarantined_rows(stretch: Stretch, fault: Fault) -> QuarantinedRows:
    """Return the entry for a fault of a stretch, with its position in the corpus."""
    return QuarantinedRows(
        row=stretch.row + fault.row - stretch.span.start,
        rows=fault.rows,
        file=stretch.file.name,
        file_row=fault.row,
        reason=storable(fault.reason),
        excerpt=fault.excerpt,
    )


def unread_files(index: CorpusIndex) -> list[QuarantinedRows]:
    """Return the entries for files whose rows could not be counted."""
    return [
        QuarantinedRows(
            row=None,
            rows=0,
            file=file.file.name,
            file_row=None,
            reason=storable(str(file.problem)),
        )
        for file in index.uncounted
    ]


def merge(entries: Sequence[QuarantinedRows]) -> list[QuarantinedRows]:
    """Join entries for neighbouring rows of one file that share a reason and have no excerpt.

    >>> def entry(row):
    ...     return QuarantinedRows(row=row, rows=1, file="a", file_row=row, reason="null text")
    >>> [str(merged) for merged in merge([entry(0), entry(1)])]
    ['a, row 0-1: null text']
    """
    merged: list[QuarantinedRows] = []
    for entry in entries:
        before = merged[-1] if merged else None
        if (
            before is not None
            and before.row is not None
            and before.block is entry.block is None
            and (before.file, before.reason, before.excerpt) == (entry.file, entry.reason, b"")
            and not entry.excerpt
            and entry.row == before.row + before.rows
        ):
            merged[-1] = replace(before, rows=before.rows + entry.rows)
        else:
            merged.append(entry)
    return merged


def to_parquet(entries: Sequence[QuarantinedRows]) -> bytes:
    """Encode entries as Parquet."""
    columns: dict[str, list[Any]] = {
        name: [getattr(entry, name) for entry in entries] for name in SCHEMA.names
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def join(parts: Iterable[bytes]) -> bytes:
    """Join what `to_parquet` wrote, with one part decoded at a time."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
        for part in parts:
            writer.write_table(completed(pq.read_table(io.BytesIO(part))))
    return sink.getvalue()


def completed(table: pa.Table) -> pa.Table:
    """Return entries with all columns of `SCHEMA`, also if an older version wrote them."""
    for name in SCHEMA.names[table.num_columns :]:
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table.cast(SCHEMA)


def from_parquet(data: bytes) -> list[QuarantinedRows]:
    """Decode what `to_parquet` wrote."""
    return [QuarantinedRows(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def is_undecodable(entry: QuarantinedRows) -> bool:
    """Return whether rows are quarantined because their text is not UTF-8."""
    return entry.reason.startswith("invalid UTF-8")


def first_quarantined(target: Target, most: int) -> tuple[list[QuarantinedRows], int]:
    """Return up to `most` entries of a finished store, and the number of all, perhaps millions."""
    data = target.get(QUARANTINE_KEY)
    if not data:
        return [], 0
    stored = pq.ParquetFile(io.BytesIO(data))
    first = next(stored.iter_batches(batch_size=most))
    return [QuarantinedRows(**row) for row in first.to_pylist()], stored.metadata.num_rows
