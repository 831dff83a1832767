"""Documents: each file is one row, whose text is the whole file, decoded as UTF-8.

Files are not opened to be counted. A file's name within the corpus is its column `id`, and so the
id of the text unless another column is named.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ..errors import StorageRefused
from ..rows import (
    ANY_TEXT,
    ARROW_KINDS,
    EXCERPT_BYTES,
    ColumnSelection,
    Fault,
    Lengths,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    Unit,
)
from .format import Format
from .lines import BOM
from .recognition.binary import binary
from .recognition.documents import HEAD_BYTES, pointer
from .recognition.encodings import wide
from .recognition.first_look import problem_of
from .row_builder import utf8_text

_NAME = "id"

_MOST_UTF8_BYTES = 3
"""Most bytes of UTF-8 per byte of another encoding, such as those of "€" in Windows-1252."""


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Return one row, without reading the file. Its length once decompressed is unknown."""
    nbytes = file.size * (_MOST_UTF8_BYTES if file.dialect.encoding else 1)
    lengths = {ANY_TEXT: Lengths(nbytes, nbytes, 0)}
    return Outline((Unit(1, 0),), columns(file, opener), lengths)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:  # noqa: ARG001
    """Return the two columns that every document has."""
    return {ANY_TEXT: "string", _NAME: "string"}


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read the file; columns other than `id` are null."""
    try:
        with opener(file) as stream:
            data = stream.read()
    except StorageRefused as refused:
        # Files of other formats are opened, and so refused, when they are counted.
        if not isinstance(refused.__cause__, PermissionError):
            raise
        yield Rows.lost(span.start, span.stop, f"cannot be opened: {refused.__cause__}", selection)
        return
    text, faults = _checked(data, span.start)
    others = {
        c.name: pa.array([file.name if c.name == _NAME else None], ARROW_KINDS[c.kind])
        for c in selection.others
    }
    yield Rows(span.start, text, others, faults)


def _checked(data: bytes, row: int) -> tuple[pa.Array, tuple[Fault, ...]]:
    """Return the text as an array, null if it is not UTF-8 or a file of another kind."""
    body = data.removeprefix(BOM)
    text, faults = utf8_text(pa.array([body], _binary_for(body)), row)
    other = problem_of(data[:HEAD_BYTES], (binary, wide, pointer))
    if other is None:
        return text, faults
    reasons = [fault.reason for fault in faults]
    fault = Fault(row, "; ".join([*reasons, other]), data[:EXCERPT_BYTES])
    return pa.nulls(1, text.type), (fault,)


def _binary_for(data: bytes) -> pa.DataType:
    return pa.binary() if len(data) < 2**31 else pa.large_binary()


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(),
    further_endings=(".txt", ".md", ".html", ".xml", ".tex", ".rst"),
    text_copies=5,
    calibrated_as="text",
    counting_cost=0.0,
    single_row=True,
)
