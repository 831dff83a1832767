"""The table of corpus formats, and the choice of a file's format.

To add a format, write its module with a `Format` at its end, and add it to `FORMATS`.
"""

from __future__ import annotations

import pyarrow as pa

from ..errors import UsageError
from ..filesystems.redaction import scrubbed
from ..rows import Malformed, Opener, Outline, SourceFile
from . import delimited, document, jsonl, parquet, plain
from .compression import split_suffix

FORMATS = {
    "parquet": parquet.FORMAT,
    "jsonl": jsonl.FORMAT,
    "csv": delimited.CSV,
    "tsv": delimited.TSV,
    "text": plain.FORMAT,
    "document": document.FORMAT,
}

ENDINGS = {ending: name for name, known in FORMATS.items() for ending in known.endings}
"""Format by file ending, used where the user names no format."""

BROKEN = (Malformed, pa.ArrowException)
"""Errors raised while reading a file that does not follow its format."""


def format_of(name: str, within: str | None = None) -> tuple[str, str | None] | None:
    """Return format and compression by a file's name; None if its ending is unknown.

    With a format as `within`, only endings that belong to this format are known.

    >>> format_of("glosses.jsonl.gz"), format_of("notes.docx")
    (('jsonl', 'gzip'), None)
    >>> format_of("notes.md"), format_of("notes.md", within="document")
    (None, ('document', None))
    """
    inner, compression = split_suffix(name.lower())
    endings = ENDINGS
    if within is not None:
        endings = dict.fromkeys(endings_of(within), within)
    known = next((f for suffix, f in endings.items() if inner.endswith(suffix)), None)
    if known is None or (compression and FORMATS[known].random_access):
        return None
    return known, compression


def endings_of(format: str) -> tuple[str, ...]:
    """Return the endings of files that are read from a folder when the user names this format."""
    known = FORMATS[format]
    return (*known.endings, *known.further_endings)


def read_as(name: str, format: str) -> tuple[str, str | None]:
    """Return format and compression of a file that is read as `format`, whatever its ending.

    Raises
    ------
    UsageError
        Files of this format cannot be read if they are compressed.
    """
    _, compression = split_suffix(name)
    if compression and FORMATS[format].random_access:
        raise UsageError(
            f"{name}: {format} files cannot be read if compressed with {compression}; "
            "decompress the file first"
        )
    return format, compression


def require_format(format: str) -> None:
    """Raise `UsageError`, listing the formats, if the format is unknown."""
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose one of: {', '.join(FORMATS)}")


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count a file's records. Raise `Malformed` (or OSError) if it cannot be read."""
    try:
        return FORMATS[file.format].outline(file, opener)
    except BROKEN as error:
        raise Malformed(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """Return the message of a `BROKEN` error, without secrets."""
    if isinstance(error, Malformed):
        return scrubbed(str(error))
    return scrubbed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
