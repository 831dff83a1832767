"""JSON Lines: one object per line. No types are inferred: "007" stays "007", dates stay strings.

`by_line` defines what a line means. Parsing many lines at once is in `jsonl_blocks`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    ColumnSelection,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
)
from .format import Format
from .jsonl_blocks import SAMPLE_RECORDS, Lines, blocks_of, parse
from .lines import lines_of, outline_lines
from .row_builder import RowBuilder

_SAMPLE_PIECE = 1 << 18

PARTS = 16
"""Parts that a block is split into if it cannot be parsed whole; a bad line slows only its part."""


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Count the records."""
    found = columns(file, opener)
    with opener(file) as stream:
        seekable = not file.sequential
        return outline_lines(stream, found, skip_blank=True, seekable=seekable)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Return the keys of the first hundred records, in the first 8 MiB."""
    found: dict[str, str] = {}
    with opener(file) as stream:
        head = b""
        while head.count(b"\n") < SAMPLE_RECORDS and len(head) < BATCH_BYTES:
            if not (piece := stream.read(_SAMPLE_PIECE)):
                break
            head += piece
        sample = RowSpan(0, SAMPLE_RECORDS, 0, 0)
        for record in lines_of(io.BytesIO(head), sample, skip_blank=True):
            try:
                value = json.loads(record)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found |= dict.fromkeys(value, "string")
    return found


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
    try:
        value = json.loads(record.decode())
    except UnicodeDecodeError as error:
        return rows.fault(f"invalid UTF-8 at byte {error.start}: {error.reason}", record)
    except (ValueError, RecursionError) as error:
        return rows.fault(f"not JSON: {error}", record)
    if not isinstance(value, dict):
        return rows.fault(f"a JSON {_kind(value)} where an object belongs", record)
    others = [_as_string(value.get(column.name)) for column in selection.others]
    text = value.get(selection.text)
    if text is None:
        reason = "null text" if selection.text in value else _missing(value, selection.text)
        return rows.fault(reason, b"", others)
    if not isinstance(text, str):
        return rows.fault(
            f"{selection.text!r} is a JSON {_kind(text)}, not a string", record, others
        )
    try:
        return rows.add(text.encode(), others)
    except UnicodeEncodeError as error:
        return rows.fault(f"lone surrogate at character {error.start}", record, others)


def _missing(value: Mapping[str, Any], text: str) -> str:
    keys = ", ".join(sorted(value)[:8]) or "no keys"
    return f"no {text!r} (the record has: {keys})"


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


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
)
