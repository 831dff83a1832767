"""Rows of Parquet and JSON Lines files, from any row on, as dicts of the columns asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from .....storage.errors import ColumnNotFound, PaniniError
from .....storage.formats.compression import decompressed, split_suffix
from .....storage.messages.names import listed
from .....storage.rows import Malformed
from ...outcome import NotKept
from .stored_file import StoredFile

LINE_BYTES = 64 << 20
"""Size of the longest line of JSON Lines that is read, in bytes."""

BATCH_ROWS = 64
"""Number of decoded rows of a Parquet file in memory, besides their encoded pages."""

ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.bz2", ".ndjson")
"""Endings of the files that are read."""

Row = Mapping[str, Any] | NotKept
"""A row's values by column, or why it cannot be read."""


def rows_of(file: StoredFile, columns: Sequence[str], start: int = 0) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file with their numbers, beginning at row `start`.

    Raises
    ------
    ColumnNotFound
        A Parquet file does not have one of the columns.
    NotKept
        The file is damaged (``damaged``, ``bad-compression``).
    """
    with file.opened() as opened, _damage(file.name):
        if file.path.lower().endswith(".parquet"):
            yield from _parquet_rows(opened, file.name, columns, start)
        else:
            _, compression = split_suffix(file.path)
            plain = decompressed(opened, compression) if compression else opened
            yield from _json_rows(plain, columns, start)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except PaniniError:
        raise
    except Malformed as error:
        raise NotKept("bad-compression", f"{name}: {error}"[:300]) from None
    except (pa.ArrowException, OSError) as error:
        raise NotKept("damaged", f"{name}: {error}"[:300]) from None


def _parquet_rows(
    opened: BinaryIO, name: str, columns: Sequence[str], start: int
) -> Iterator[tuple[int, Row]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20)
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        raise ColumnNotFound(
            f"{name} has no column {listed(missing)}; it has {listed(file.schema_arrow.names)}"
        )
    row = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if row + rows <= start:
            row += rows
            continue
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
            if row + len(batch) > start:
                for number, values in enumerate(batch.to_pylist(), row):
                    if number >= start:
                        yield number, values
            row += len(batch)


def _json_rows(lines: BinaryIO, columns: Sequence[str], start: int) -> Iterator[tuple[int, Row]]:
    row = 0
    while line := lines.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = lines.readline(LINE_BYTES)
            result: Row = NotKept("too-large", f"a line of more than {LINE_BYTES >> 20} MiB")
        elif not line.strip():
            continue  # blank lines are not rows in JSON Lines
        else:
            result = {} if row < start else _json_row(line, columns)
        if row >= start:
            yield row, result
        row += 1


def _json_row(line: bytes, columns: Sequence[str]) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return NotKept("bad-record", f"not JSON: {error}"[:200])
    if not isinstance(values, dict):
        return NotKept("bad-record", "not a JSON object")
    return {name: values.get(name) for name in columns}
