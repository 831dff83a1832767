"""The table of formats, and the one way in which a file is read.

Whatever happens inside a format, `read_stretch` yields exactly the rows that were planned: those
that a broken file no longer gives come out as faults that name it.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
from fsspec.core import OpenFile

from . import delimited, jsonl, parquet, plain
from .errors import CorpusChanged
from .filesystem import filesystem_of
from .rows import (
    BATCH_ROWS,
    Malformed,
    Opener,
    Outline,
    Rows,
    SourceFile,
    Span,
    Stretch,
    Wanted,
)


@dataclass(frozen=True)
class Reader:
    """A format: how its records are counted, and how a span of them is read."""

    outline: Callable[[SourceFile, Opener], Outline]
    read: Callable[[SourceFile, Opener, Span, Wanted], Iterator[Rows]]


READERS = {
    "parquet": Reader(parquet.outline, parquet.read),
    "jsonl": Reader(jsonl.outline, jsonl.read),
    "csv": Reader(delimited.outline, delimited.read),
    "tsv": Reader(delimited.outline, delimited.read),
    "text": Reader(plain.outline, plain.read),
}

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}

COMPRESSIONS = {".gz": "gzip"}

_BUFFER_BYTES = 1 << 20

_BROKEN = (Malformed, EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException)
"""What a file that is not what it claims makes its decoder raise."""


def format_of(name: str) -> tuple[str, str | None] | None:
    """Return format and compression by a file's name, or None where it has no known ending.

    >>> format_of("glosses.jsonl.gz"), format_of("notes.docx")
    (('jsonl', 'gzip'), None)
    """
    lower = name.lower()
    for suffix, compression in COMPRESSIONS.items():
        if lower.endswith(suffix):
            inner = format_of(lower.removesuffix(suffix))
            return (inner[0], compression) if inner and inner[0] != "parquet" else None
    return next(((f, None) for suffix, f in SUFFIXES.items() if lower.endswith(suffix)), None)


def stamp_of(info: dict[str, Any]) -> str:
    """Return what the filesystem offers to tell this version of a file from the next."""
    for key in ("generation", "etag", "ETag", "mtime", "updated", "LastModified", "created"):
        if info.get(key) is not None:
            return f"{key}={info[key]}"
    return ""


class FileOpener:
    """Opens files of a corpus through fsspec, with the caller's storage options."""

    def __init__(self, storage_options: dict[str, Any]) -> None:
        self._options = storage_options

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading, decompressed; leaving the context closes both."""
        fs, path = filesystem_of(file.url, self._options)
        opened = OpenFile(fs, path, "rb", compression=file.compression)
        if file.format == "parquet" or file.compression:
            return cast(AbstractContextManager[BinaryIO], opened)
        return _buffered(opened)

    def check(self, file: SourceFile) -> None:
        """Raise `CorpusChanged` unless the file is still the one that was listed."""
        fs, path = filesystem_of(file.url, self._options)
        try:
            fs.invalidate_cache(path)
            info = fs.info(path)
        except FileNotFoundError as error:
            raise CorpusChanged(f"{file.url} vanished after it was indexed") from error
        if info["size"] != file.size or stamp_of(info) != file.stamp:
            raise CorpusChanged(
                f"{file.url} changed after it was indexed: {file.size} bytes ({file.stamp}) then, "
                f"{info['size']} bytes ({stamp_of(info)}) now; a fresh run (--fresh) reads it "
                "as it is, and discards the results there are"
            )


@contextmanager
def _buffered(opened: OpenFile) -> Iterator[BinaryIO]:
    """Buffer a remote file: fsspec's own `readline` copies a whole block (5 MiB) for every line."""
    with opened as raw:
        yield cast(BinaryIO, io.BufferedReader(raw, _BUFFER_BYTES))


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count a file's records. Raises `Malformed` (or OSError) where it cannot be read."""
    try:
        return READERS[file.format].outline(file, opener)
    except _BROKEN as error:
        raise Malformed(_why(error)) from error


def read_stretch(stretch: Stretch, opener: FileOpener, wanted: Wanted) -> Iterator[Rows]:
    """Yield exactly the rows of a stretch, in order, their texts cleaned.

    Raises
    ------
    CorpusChanged
        When the file is no longer the one that was indexed.
    OSError
        When the disk or the network fails; the task is tried again.
    """
    file, row = stretch.file, stretch.span.start
    reason = stretch.problem or "the file ends before this row"
    if not stretch.problem:
        opener.check(file)
        try:
            for rows in READERS[file.format].read(file, opener, stretch.span, wanted):
                yield rows.cleaned(wanted.cleaning)
                row += len(rows)
        except _BROKEN as error:
            reason = _why(error)
            if row >= stretch.span.stop:  # a checksum at the end: the rows were read, and wrong
                raise CorpusChanged(
                    f"{file.url} is damaged since it was indexed: {reason}"
                ) from error
    for first in range(row, stretch.span.stop, BATCH_ROWS):
        last = min(first + BATCH_ROWS, stretch.span.stop)
        yield Rows.lost(first, last, reason, wanted)


def _why(error: BaseException) -> str:
    if isinstance(error, Malformed):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
