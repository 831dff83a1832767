"""The file that an export makes: CSV or Parquet, there when it is whole and not before."""

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

Write = Callable[[pa.Table], None]


@contextmanager
def _csv(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(schema.names)  # Arrow's takes no quotes
    sink.write(header.getvalue().encode())
    # Strings are in quotes and a null is nothing at all, so the two are told apart.
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    with pyarrow.csv.CSVWriter(sink, schema, write_options=options) as writer:
        yield writer.write_table


@contextmanager
def _csv_gzip(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    with gzip.GzipFile("", "wb", 6, sink) as packed, _csv(packed, schema) as write:
        yield write


@contextmanager
def _parquet(sink: Any, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        yield writer.write_table


FORMATS = {"csv": _csv, "csv.gz": _csv_gzip, "parquet": _parquet}


def format_of(path: Path, format: str | None) -> str:
    """Return the format that was named, or that a file's ending says.

    Raises
    ------
    UsageError
        There is no such format.
    """
    if format is None:
        format = next((one for one in FORMATS if path.name.lower().endswith(f".{one}")), None)
    if format not in FORMATS:
        raise UsageError(
            f"{path.name}: name a file that ends in {', '.join(f'.{one}' for one in FORMATS)}, or "
            f"say --format (format=) as one of {', '.join(FORMATS)}"
        )
    return format


def require_free(path: Path, overwrite: bool) -> None:
    """Raise `UsageError` unless a file can be put here.

    Parameters
    ----------
    overwrite : bool
        Whether a file that is there may be replaced.
    """
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {path.parent}, which is no folder"
        raise UsageError(f"{path} {what}; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; --overwrite (overwrite=True) replaces it")


@contextmanager
def writing(path: Path, format: str, schema: pa.Schema, overwrite: bool) -> Iterator[Write]:
    """Give what appends a table to a new file; it takes its name when all is well and written.

    Parameters
    ----------
    overwrite : bool
        See `require_free`.
    """
    require_free(path, overwrite)
    temporary = path.with_name(f".exporting-{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            with FORMATS[format](file, schema) as write:
                yield write
            file.flush()
            os.fsync(file.fileno())
        require_free(path, overwrite)  # again: an export may take long
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
