"""Documents: a file is a row, and its text is all that it holds, decoded as UTF-8.

A file is not opened to be counted. Its name within the corpus is the column `id`, and so its id
where no other column is named.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ..errors import StorageRefused
from ..rows import (
    ANY_TEXT,
    ARROW_KINDS,
    Lengths,
    Opener,
    Outline,
    Rows,
    SourceFile,
    Span,
    Unit,
    Wanted,
)
from .building import utf8_text
from .format import Format
from .lines import BOM

_NAME = "id"


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Return one row, whatever is in the file. How long it is once unpacked is not known."""
    lengths = {ANY_TEXT: Lengths(file.size, file.size, 0)}
    return Outline((Unit(1, 0),), columns(file, opener), lengths)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:  # noqa: ARG001
    """Return the two that every document has, whatever is in it."""
    return {ANY_TEXT: "string", _NAME: "string"}


def read(file: SourceFile, opener: Opener, span: Span, wanted: Wanted) -> Iterator[Rows]:
    """Read the file; the columns but `id` are null."""
    try:
        with opener(file) as stream:
            data = stream.read().removeprefix(BOM)
    except StorageRefused as refused:  # a file that is counted is opened by then
        if not isinstance(refused.__cause__, PermissionError):
            raise
        yield Rows.lost(span.start, span.stop, f"cannot be opened: {refused.__cause__}", wanted)
        return
    raw = pa.array([data], pa.binary() if len(data) < 2**31 else pa.large_binary())
    text, faults = utf8_text(raw, span.start)
    others = {
        c.name: pa.array([file.name if c.name == _NAME else None], ARROW_KINDS[c.kind])
        for c in wanted.others
    }
    yield Rows(span.start, text, others, faults)


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
