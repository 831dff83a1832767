"""The table of formats, and the one way in which a file is read.

Whatever happens inside a format, `read_stretch` yields exactly the rows that were planned: those
that a broken file no longer gives come out as faults that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from ..errors import UsageError
from ..filesystems.redaction import scrubbed
from ..rows import Malformed, Opener, Outline, Rows, SourceFile, Span, Wanted
from . import delimited, document, jsonl, parquet, plain
from .compression import split_suffix


@dataclass(frozen=True)
class Reader:
    """A format: how its records are counted, how a span of them is read, and in which files.

    `columns` finds the columns and their kinds, and reads no more of a file than that takes.
    """

    outline: Callable[[SourceFile, Opener], Outline]
    read: Callable[[SourceFile, Opener, Span, Wanted], Iterator[Rows]]
    columns: Callable[[SourceFile, Opener], dict[str, str]]
    endings: tuple[str, ...]  # of the files that are read so when no format is named
    further: tuple[str, ...] = ()  # of files in a folder that are, too, when this one is


FORMATS = {
    "parquet": Reader(parquet.outline, parquet.read, parquet.columns, (".parquet", ".pq")),
    "jsonl": Reader(jsonl.outline, jsonl.read, jsonl.columns, (".jsonl", ".ndjson")),
    "csv": Reader(delimited.outline, delimited.read, delimited.columns, (".csv",)),
    "tsv": Reader(delimited.outline, delimited.read, delimited.columns, (".tsv",)),
    "text": Reader(plain.outline, plain.read, plain.columns, (".txt",), (".md",)),
    "document": Reader(
        document.outline,
        document.read,
        document.columns,
        (),
        (".txt", ".md", ".html", ".xml", ".tex", ".rst"),
    ),
}

SUFFIXES = {ending: name for name, reader in FORMATS.items() for ending in reader.endings}

BROKEN = (Malformed, pa.ArrowException)
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
        reader = FORMATS[within]
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
    if format not in FORMATS:
        raise UsageError(f"no format {format!r}; the formats are: {', '.join(FORMATS)}")


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count a file's records. Raises `Malformed` (or OSError) where it cannot be read."""
    try:
        return FORMATS[file.format].outline(file, opener)
    except BROKEN as error:
        raise Malformed(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """Return what a `BROKEN` error says of the file, without secrets."""
    if isinstance(error, Malformed):
        return scrubbed(str(error))
    return scrubbed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
