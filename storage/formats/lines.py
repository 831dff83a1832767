"""Finding the lines of a file, for JSON Lines and plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from ..rows import ANY_TEXT, Lengths, Outline, RowSpan, Unit

BLOCK_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"


def is_blank(line: bytes) -> bool:
    r"""Return whether a line, given without its ``\n``, is empty."""
    return line in (b"", b"\r")


def byte_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a stream in blocks of 1 MiB, the last of which may be shorter."""
    while block := stream.read(BLOCK_BYTES):
        yield block


def outline_lines(
    blocks: Iterable[bytes], columns: Mapping[str, str], *, skip_blank: bool, seekable: bool
) -> Outline:
    """Count the lines of a stream, given as blocks of bytes, with one unit per block.

    With `skip_blank`, empty lines are not records. A stream that is not `seekable` (a compressed
    one) is a single unit.
    """
    units: list[Unit] = []
    base = start = 0  # offsets of this block, and of the line that is not complete yet
    last = seen = 0
    longest = longest_row = 0
    for block in blocks:
        raw = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(raw == 10)
        if ends.size:
            lengths = np.diff(ends, prepend=start - base - 1) - 1
            filled = np.ones(len(ends), np.bool_)
            if skip_blank:
                before = np.where(ends > 0, raw[ends - 1], last)
                filled = ~((lengths == 0) | ((lengths == 1) & (before == 13)))
            rows = int(np.count_nonzero(filled))
            if rows:
                units.append(Unit(rows, start))
                at = int(lengths.argmax())
                if lengths[at] > longest:
                    longest = int(lengths[at])
                    longest_row = seen + int(np.count_nonzero(filled[:at]))
            seen += rows
            start = base + int(ends[-1]) + 1
        base += len(block)
        last = block[-1]
    if base > start and not (skip_blank and base == start + 1 and last == 13):
        units.append(Unit(1, start))
        if base - start > longest:
            longest, longest_row = base - start, seen
    if not seekable and units:
        units = [Unit(sum(unit.rows for unit in units), 0)]
    found = {ANY_TEXT: Lengths(base, longest, longest_row)}
    return Outline(units=tuple(units), columns=columns, lengths=found)


def lines_of(stream: BinaryIO, span: RowSpan, *, skip_blank: bool) -> Iterator[bytes]:
    r"""Yield the records of a span, each without its line ending (``\n`` or ``\r\n``)."""
    if span.unit_offset:
        stream.seek(span.unit_offset)
    row = span.unit_row
    first = not span.unit_offset
    for line in stream:
        record = line[:-1] if line.endswith(b"\n") else line
        if skip_blank and is_blank(record):
            continue
        if row >= span.stop:
            return
        if row >= span.start:
            if first and row == 0:
                record = record.removeprefix(BOM)
            yield record.removesuffix(b"\r")
        row += 1
