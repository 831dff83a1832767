"""Writes the file of an export, renamed into place once it is complete.

How values are written in the formats that consist of text is in `as_text`.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ....storage.errors import UsageError
from .as_text import as_json_lines, as_text

Write = Callable[[pa.Table], None]


@contextmanager
def _csv(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(schema.names)  # Arrow would not quote names
    sink.write(header.getvalue().encode())
    # Strings are quoted and a null is empty, so an empty string and a null differ.
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    written = as_text(schema.empty_table()).schema
    with pyarrow.csv.CSVWriter(sink, written, write_options=options) as writer:
        yield lambda table: writer.write_table(as_text(table))


@contextmanager
def _csv_gzip(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    with gzip.GzipFile("", "wb", 6, sink) as packed, _csv(packed, schema) as write:
        yield write


@contextmanager
def _jsonl(sink: Any, _: pa.Schema) -> Iterator[Write]:
    def write(table: pa.Table) -> None:
        for part in as_json_lines(table):
            sink.write(part)

    yield write


@contextmanager
def _jsonl_gzip(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    with gzip.GzipFile("", "wb", 6, sink) as packed, _jsonl(packed, schema) as write:
        yield write


@contextmanager
def _parquet(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        yield writer.write_table


FORMATS = {
    "csv": _csv,
    "csv.gz": _csv_gzip,
    "jsonl": _jsonl,
    "jsonl.gz": _jsonl_gzip,
    "parquet": _parquet,
}


def format_of(path: Path, format: str | None) -> str:
    """Return the format that was given, or the one that a file's ending implies.

    Raises
    ------
    UsageError
        The format is unknown.
    """
    if format is None:
        format = next((one for one in FORMATS if path.name.lower().endswith(f".{one}")), None)
    if format not in FORMATS:
        raise UsageError(
            f"{path.name}: unknown format; give a file name that ends in "
            f"{', '.join(f'.{one}' for one in FORMATS)}, or --format (format=) with one of "
            f"{', '.join(FORMATS)}"
        )
    return format


def require_writable(path: Path, overwrite: bool) -> None:
    """Raise `UsageError` unless a file can be written under this path.

    Parameters
    ----------
    overwrite : bool
        Whether an existing file may be replaced.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file name")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; --overwrite (overwrite=True) replaces it")


@contextmanager
def writing(path: Path, format: str, schema: pa.Schema, overwrite: bool) -> Iterator[Write]:
    """Yield a function that appends a table to a new file, which is renamed into place at the end.

    Parameters
    ----------
    overwrite : bool
        See `require_writable`.
    """
    require_writable(path, overwrite)
    temporary = path.with_name(f".exporting-{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            with FORMATS[format](file, schema) as write:
                yield write
            file.flush()
            os.fsync(file.fileno())
        require_writable(path, overwrite)  # again: an export may take long
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
