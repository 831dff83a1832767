"""Plain text: one row per line, empty lines included, so that row ``i`` is line ``i + 1``."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ..rows import (
    ANY_TEXT,
    ARROW_KINDS,
    ColumnSelection,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
)
from .format import Format
from .lines import byte_blocks, lines_of, outline_lines
from .recognition.binary import binary
from .recognition.documents import ends_in_cr, pointer
from .recognition.encodings import wide
from .row_builder import RowBuilder, utf8_text


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count the lines."""
    with opener(file) as stream:
        seekable = not file.sequential
        found = columns(file, opener)
        return outline_lines(byte_blocks(stream), found, skip_blank=False, seekable=seekable)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:  # noqa: ARG001
    """Return the only column: the text, under any name that is requested."""
    return {ANY_TEXT: "string"}


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span of lines; the other columns are null."""
    rows = RowBuilder(ColumnSelection(selection.text), span.start)
    with opener(file) as stream:
        records = lines_of(stream, span, skip_blank=False)
        for batch in rows.collect(records, lambda record: rows.add(record, ())):
            yield _checked(batch, selection)


def _checked(rows: Rows, selection: ColumnSelection) -> Rows:
    text, faults = utf8_text(rows.text, rows.start)
    columns = {c.name: pa.nulls(len(rows), ARROW_KINDS[c.kind]) for c in selection.others}
    return Rows(rows.start, text, columns, faults)


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".txt",),
    further_endings=(".md",),
    text_copies=5,
    calibrated_as="text",
    line_oriented=True,
    impostors=(binary, wide, pointer, ends_in_cr),
)
