"""`write_part`: computes one part of a staged corpus on a worker, and writes its files.

Tables are written as they come, so a part may be larger than memory. The marker is written last,
and a part with a marker is not computed again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...storage.corpus.tables.frame_parts import table_of
from ...storage.store.leases.lease import LeaseTicket
from ...storage.targets.target import Target
from .folder import Part, file_key

STAGED_FORMAT = "parquet"

ROW_GROUP_ROWS = 8192
ROW_GROUP_BYTES = 32 << 20
"""Maximum rows, and approximate maximum bytes, of a row group. A run has no more tasks than there
are row groups."""

FILE_BYTES = 128 << 20
"""Size in bytes after which a part continues in another file. A file is held in memory until it is
written."""


def write_part(part: Any, target: Target, ticket: LeaseTicket, number: int) -> Part:
    """Write a part, unless it is empty, and its marker.

    Parameters
    ----------
    part : frame of pandas or cuDF, or an object with ``tables()``
        The rows; ``tables()`` yields them as tables of Arrow with one schema.

    Raises
    ------
    LeaseLost
        Another process stages into the folder: a task may outlive its client.
    """
    sizes: dict[str, int] = {}
    rows = 0
    files = _Files()
    for group in _row_groups(_tables(part)):
        rows += group.num_rows
        data = files.add(group)
        if data:
            sizes |= _written(data, target, ticket, number, len(sizes))
    data = files.finished()
    if data:
        sizes |= _written(data, target, ticket, number, len(sizes))
    done = Part(number, rows, sizes)
    ticket.check(target)
    target.put(done.key, done.to_json())
    return done


def _written(
    data: bytes, target: Target, ticket: LeaseTicket, number: int, file: int
) -> dict[str, int]:
    key = file_key(number, file)
    ticket.check(target)
    target.put(key, data)
    return {key: len(data)}


def _tables(part: Any) -> Iterator[pa.Table]:
    if hasattr(part, "tables"):
        yield from part.tables()
        return
    yield table_of(part)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of tables, regrouped into tables that are large enough for row groups."""
    waiting: list[pa.Table] = []
    for table in tables:
        if table.num_rows:
            waiting.append(table)
        rows = sum(one.num_rows for one in waiting)
        if rows >= ROW_GROUP_ROWS or sum(one.nbytes for one in waiting) >= ROW_GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


class _Files:
    """Packs tables into one file after another."""

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> bytes | None:
        """Pack a table; return the file if it is large enough now."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        return self.finished() if self._sink.tell() >= FILE_BYTES else None

    def finished(self) -> bytes | None:
        """Return the last file, and begin another; None if it is empty."""
        if self._writer is None:
            return None
        self._writer.close()
        data = self._sink.getvalue()
        self._sink, self._writer = io.BytesIO(), None
        return data
