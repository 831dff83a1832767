"""The table of formats, and the one way in which a file is read.

Whatever happens inside a format, `read_stretch` yields exactly the rows that were planned: those
that a broken file no longer gives come out as faults that name it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
from fsspec.core import OpenFile

from . import delimited, document, jsonl, parquet, plain
from .compression import decompressed, split_suffix
from .errors import CorpusChanged, UsageError
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
    """A format: how its records are counted, how a span of them is read, and in which files."""

    outline: Callable[[SourceFile, Opener], Outline]
    read: Callable[[SourceFile, Opener, Span, Wanted], Iterator[Rows]]
    endings: tuple[str, ...]  # of the files that are read so when no format is named
    further: tuple[str, ...] = ()  # of files in a folder that are, too, when this one is


READERS = {
    "parquet": Reader(parquet.outline, parquet.read, (".parquet", ".pq")),
    "jsonl": Reader(jsonl.outline, jsonl.read, (".jsonl", ".ndjson")),
    "csv": Reader(delimited.outline, delimited.read, (".csv",)),
    "tsv": Reader(delimited.outline, delimited.read, (".tsv",)),
    "text": Reader(plain.outline, plain.read, (".txt",), (".md",)),
    "document": Reader(
        document.outline, document.read, (), (".txt", ".md", ".html", ".xml", ".tex", ".rst")
    ),
}

SUFFIXES = {ending: name for name, reader in READERS.items() for ending in reader.endings}

_BUFFER_BYTES = 1 << 20

_BROKEN = (Malformed, pa.ArrowException)
"""What a file that is not what it claims makes its reader raise."""


def format_of(name: str, within: str | None = None) -> tuple[str, str | None] | None:
    """Return format and compression by a file's name, or None where its ending is of no format.

    With a format named, `within` that one: None where the ending is not one of its own.

    >>> format_of("glosses.jsonl.gz"), format_of("notes.docx")
    (('jsonl', 'gzip'), None)
    >>> format_of("notes.md"), format_of("notes.md", within="document")
    (None, ('document', None))
    """
    inner, compression = split_suffix(name.lower())
    endings = SUFFIXES
    if within is not None:
        reader = READERS[within]
        endings = dict.fromkeys((*reader.endings, *reader.further), within)
    known = next((f for suffix, f in endings.items() if inner.endswith(suffix)), None)
    if known is None or (known == "parquet" and compression):
        return None
    return known, compression


def read_as(name: str, format: str) -> tuple[str, str | None]:
    """Return format and compression of a file that is to be read as `format`, however it is called.

    Raises
    ------
    UsageError
        Parquet inside another compression.
    """
    _, compression = split_suffix(name)
    if format == "parquet" and compression:
        raise UsageError(f"{name}: Parquet is not read out of {compression}; unpack the file")
    return format, compression


def require_format(format: str) -> None:
    """Raise `UsageError`, listing the formats, where this is none of them."""
    if format not in READERS:
        raise UsageError(f"no format {format!r}; the formats are: {', '.join(READERS)}")


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

    @contextmanager
    def __call__(self, file: SourceFile) -> Iterator[BinaryIO]:
        """Open a file for reading, decompressed; leaving the context closes it."""
        fs, path = filesystem_of(file.url, self._options)
        with OpenFile(fs, path, "rb") as raw:
            if file.compression:
                yield decompressed(raw, file.compression)
            elif file.format == "parquet":
                yield cast(BinaryIO, raw)
            else:
                # fsspec's own `readline` copies a whole block (5 MiB) for every line.
                yield io.BufferedReader(raw, _BUFFER_BYTES)

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


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count a file's records. Raises `Malformed` (or OSError) where it cannot be read."""
    try:
        return READERS[file.format].outline(file, opener)
    except _BROKEN as error:
        raise Malformed(_why(error)) from error


def read_stretch(stretch: Stretch, opener: FileOpener, wanted: Wanted) -> Iterator[Rows]:
    """Yield exactly the rows of a stretch, in order.

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
                yield rows
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
