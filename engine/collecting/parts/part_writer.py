"""`PartWriter`: encodes rows as a Parquet file of bounded size.

Where a part ends depends on its rows alone. The caller writes the file.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import pyarrow.parquet as pq

from .corpus_schema import SCHEMA, Row, table_of

PART_BYTES = 128 << 20
"""Bytes of rows (see `Row.size`) at which a part is full; with zstd, its file has about a third."""

PART_ROWS = 1 << 20
"""Number of rows at which a part is full."""

GROUP_BYTES = 8 << 20
"""Bytes of rows at which a row group is full: small enough that tasks decode few rows twice."""

GROUP_ROWS = 16_384
"""Number of rows at which a row group is full; a shard is at least 4,096 rows."""


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Sizes at which parts and row groups are full; the defaults suit the engine's shards."""

    part_bytes: int = PART_BYTES
    part_rows: int = PART_ROWS
    group_bytes: int = GROUP_BYTES
    group_rows: int = GROUP_ROWS


class PartWriter:
    """One part in memory: finished row groups compressed, and the rows of the next group.

    Examples
    --------
    >>> PartWriter(PartSize()).rows
    0
    """

    def __init__(self, size: PartSize) -> None:
        self._size = size
        self._buffer = io.BytesIO()
        self._writer: pq.ParquetWriter | None = None
        self._group: list[Row] = []
        self._group_bytes = 0
        self.rows = 0
        """Rows so far."""
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the part should be written before another row is added."""
        return self._bytes >= self._size.part_bytes or self.rows >= self._size.part_rows

    def add(self, row: Row) -> int:
        """Add a row; return its number in the part. Compresses a row group when it is full."""
        size = row.size
        self._group.append(row)
        self._group_bytes += size
        self._bytes += size
        self.rows += 1
        full = self._group_bytes >= self._size.group_bytes
        if full or len(self._group) >= self._size.group_rows:
            self._write_group()
        return self.rows - 1

    def finish(self) -> bytes:
        """Return the file. Nothing can be added afterwards."""
        if self._group:
            self._write_group()
        assert self._writer is not None, "a part without rows is not written"
        self._writer.close()
        return self._buffer.getvalue()

    def _write_group(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._buffer,
                SCHEMA,
                compression="zstd",
                use_dictionary=["lang", "source", "licence", "media_type"],
                write_page_checksum=True,
            )
        self._writer.write_table(table_of(self._group), row_group_size=len(self._group))
        self._group, self._group_bytes = [], 0
