"""JSON Lines: one object per line. No types are inferred: "007" stays "007", dates stay strings.

`by_line` defines what a line means. Parsing many lines at once is in `jsonl_blocks`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..messages.names import listed
from ..rows import (
    BATCH_ROWS,
    ColumnSelection,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
)
from .format import Format
from .jsonl_blocks import Lines, blocks_of, parse
from .jsonl_keys import KeySearch, kind_of, parsed
from .lines import byte_blocks, outline_lines
from .recognition.binary import binary
from .recognition.documents import not_json_lines, pointer
from .recognition.encodings import wide
from .row_builder import RowBuilder

_PEEK_PIECE = 1 << 18

PARTS = 16
"""Parts that a block is split into if it cannot be parsed whole; a bad line slows only its part."""


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count the records, and find the keys of the first hundred."""
    return outline_seeking(file, opener, ())


def outline_seeking(file: SourceFile, opener: Opener, names: Collection[str]) -> Outline:
    """Count the records, and find the keys of the first hundred and those of `names` in any."""
    search = KeySearch(names)
    with opener(file) as stream:
        blocks = search.watch(byte_blocks(stream))
        seekable = not file.sequential
        found = outline_lines(blocks, {}, skip_blank=True, seekable=seekable)
    return replace(found, columns=search.columns, fault=search.fault)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Return the keys of the first hundred records, in the first 8 MiB."""
    search = KeySearch()
    with opener(file) as stream:
        for _ in search.watch(iter(lambda: stream.read(_PEEK_PIECE), b"")):
            if search.peeked:
                break
    return search.columns


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span; a line that is not an object with a text becomes a fault."""
    with opener(file) as stream:
        for lines in blocks_of(stream, span):
            yield from _rows_of(lines, selection)


def _rows_of(lines: Lines, selection: ColumnSelection) -> Iterator[Rows]:
    """Parse a block whole, or else in parts; if that also fails, read a part line by line."""
    rows = parse(lines, selection)
    if rows is not None:
        yield from _in_batches(rows)
        return
    for part in lines.split(PARTS):
        rows = parse(part, selection)
        if rows is None:
            yield from by_line(part.records(), part.row, selection)
        else:
            yield from _in_batches(rows)


def _in_batches(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), BATCH_ROWS):
        yield rows.slice(start, min(start + BATCH_ROWS, len(rows)))


def by_line(records: Iterable[bytes], row: int, selection: ColumnSelection) -> Iterator[Rows]:
    """Read records one by one, starting at file row `row`. This defines what a line means."""
    rows = RowBuilder(selection, row)
    yield from rows.collect(records, lambda record: _add(rows, record, selection))


def _add(rows: RowBuilder, record: bytes, selection: ColumnSelection) -> None:
    value = parsed(record)
    if isinstance(value, str):
        return rows.fault(value, record)
    others = [_as_string(value.get(column.name)) for column in selection.others]
    text = value.get(selection.text)
    if text is None:
        reason = "null text" if selection.text in value else _missing(value, selection.text)
        return rows.fault(reason, b"", others)
    if not isinstance(text, str):
        return rows.fault(
            f"{selection.text!r} is a JSON {kind_of(text)}, not a string", record, others
        )
    try:
        return rows.add(text.encode(), others)
    except UnicodeEncodeError as error:
        return rows.fault(f"lone surrogate at character {error.start}", record, others)


def _missing(value: Mapping[str, Any], text: str) -> str:
    keys = listed(sorted(value)[:8]) if value else "no keys"
    return f"no {text!r} (the record has: {keys})"


def _as_string(value: Any) -> str | None:
    if value is None:
        return None
    string = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return string if string.isascii() else string.encode(errors="replace").decode()


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".jsonl", ".ndjson"),
    text_copies=6,
    calibrated_as="jsonl",
    has_schema=False,
    line_oriented=True,
    outline_seeking=outline_seeking,
    impostors=(binary, wide, pointer, not_json_lines),
)
