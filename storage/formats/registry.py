"""The table of corpus formats, and the choice of a file's format.

To add a format, write its module with a `Format` at its end, and add it to `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa

from ..errors import PaniniError, UsageError
from ..filesystems.redaction import scrubbed
from ..rows import Malformed, Opener, Outline, SourceFile
from . import delimited, document, jsonl, plain
from .compression import split_suffix
from .format import Format
from .parquet import as_parquet, parquet
from .recognition.binary import binary, is_text
from .recognition.documents import HEAD_BYTES, page, pointer
from .recognition.encodings import wide
from .recognition.first_look import FirstLook, problem_of

FORMATS = {
    "parquet": parquet.FORMAT,
    "jsonl": jsonl.FORMAT,
    "csv": delimited.CSV,
    "tsv": delimited.TSV,
    "text": plain.FORMAT,
    "document": document.FORMAT,
}
"""The formats of files, by the names that a user gives them."""

FRAME = "frame"
"""The format of partitions of dask frames, which no user can name."""

ENDINGS = {ending: name for name, known in FORMATS.items() for ending in known.endings}
"""Format by file ending, used where the user names no format."""

BROKEN = (Malformed, pa.ArrowException)
"""Errors raised while reading a file that does not follow its format."""


def reader_of(file: SourceFile) -> Format:
    """Return how the rows of a file, or of a partition of a frame, are counted and read."""
    return as_parquet.FORMAT if file.format == FRAME else FORMATS[file.format]


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


def outline(file: SourceFile, opener: Opener, names: Collection[str] = ()) -> Outline:
    """Count a file's records, and find its columns.

    Parameters
    ----------
    names : collection of str
        Columns to find in whichever record they first appear, if the format has no schema.

    Raises
    ------
    Malformed
        The file does not follow its format, or is another thing by its first bytes.
    OSError
        It cannot be read.
    """
    known = reader_of(file)
    # A file in an encoding that is known is read as UTF-8, with NULs where it has them.
    impostors = tuple(
        one for one in known.impostors if one is not wide or not file.dialect.encoding
    )
    opening = FirstLook(opener, impostors) if impostors else opener
    try:
        if known.outline_seeking:
            return known.outline_seeking(file, opening, names)
        return known.outline(file, opening)
    except BROKEN as error:
        raise Malformed(reason_of(error) + _stored_as(file, opener)) from error


def _stored_as(file: SourceFile, opener: Opener) -> str:
    """Return what a file is as it is stored, if it could not be decoded; empty if unknown."""
    known = FORMATS[file.format]
    if not (file.compression or known.random_access):
        return ""
    try:
        with opener(replace(file, compression=None)) as stream:
            head = stream.read(HEAD_BYTES)
    except (OSError, PaniniError):
        return ""
    found = problem_of(head, (binary, wide, pointer, page))
    own = f"it is {file.compression} data", f"it is a {file.format} file"
    if found and not found.lower().startswith(own):
        return f"; {found}"
    if file.compression and head and is_text(head):
        return f"; it is not compressed: take the ending of {file.compression} off its name"
    return ""


def reason_of(error: BaseException) -> str:
    """Return the message of a `BROKEN` error, without secrets."""
    if isinstance(error, Malformed):
        return scrubbed(str(error))
    return scrubbed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
