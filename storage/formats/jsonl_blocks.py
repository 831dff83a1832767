"""Many lines of JSON at once: blocks of whole lines, and their parsing by Arrow where it is safe.

Arrow's parser is many times as fast as a loop over `json.loads`, but accepts lines that the latter
rejects. `parse` therefore returns rows only if they are certain to be those that `jsonl.by_line`
returns, and None otherwise. `jsonl.by_line` also determines what is wrong with a line.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from ..rows import ColumnSelection, Rows, RowSpan
from .lines import BOM

BLOCK_BYTES = 2 << 20
PIECE_BYTES = 1 << 16
"""Bytes per read from a stream: few, so that content before a damaged part is kept."""

LONG_BYTES = 8 << 10
"""Mean bytes per line above which lines are read one by one, which is then as fast."""

LONGEST_BYTES = 1 << 30
"""Bytes of a block from which Arrow, with its 32-bit sizes, is not used. Such a block is one long
line, or nearly so."""

SAMPLE_RECORDS = 100

_KINDS = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
"""Types of JSON values that Arrow writes as `json.dumps` does. It writes floats differently."""

_MANY_BRACKETS = 300  # json.loads raises RecursionError at depth 1000 or less, with its callers
_MANY_DIGITS = 640  # lowest limit that sys.set_int_max_str_digits accepts; above it, int() raises
_DIGIT_STRIDE = 16
_SHORT_BYTES = 2 * _MANY_BRACKETS  # a line this short can exceed neither

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Lines:
    r"""Consecutive records of a file: the lines of a block that are not blank, without ``\n``."""

    data: bytes
    starts: Positions  # in `data`, shape (lines,)
    stops: Positions
    row: int  # of the first line, in the file

    def __len__(self) -> int:
        return len(self.starts)

    def record(self, at: int) -> bytes:
        r"""Return a line's bytes without its ending (``\n`` or ``\r\n``)."""
        return self.data[self.starts[at] : self.stops[at]].removesuffix(b"\r")

    def records(self) -> Iterator[bytes]:
        """Yield every line's bytes."""
        return map(self.record, range(len(self)))

    def split(self, parts: int) -> Iterator[Lines]:
        """Yield at most `parts` groups of consecutive lines, none of them empty."""
        size = -(-len(self) // parts)
        for at in range(0, len(self), size):
            starts, stops = self.starts[at : at + size], self.stops[at : at + size]
            yield Lines(self.data, starts, stops, self.row + at)


def blocks_of(stream: BinaryIO, span: RowSpan) -> Iterator[Lines]:
    """Yield the records of a span, one block of whole lines at a time.

    If the stream raises, the lines before the error are yielded first.
    """
    if span.unit_offset:
        stream.seek(span.unit_offset)
    row = span.unit_row
    for data in _whole_lines(stream):
        starts, stops = _find_lines(data)
        if row == 0 and not span.unit_offset and len(starts) and data.startswith(BOM, starts[0]):
            starts[0] += len(BOM)
        first, last = max(span.start - row, 0), min(span.stop - row, len(starts))
        if first < last:
            yield Lines(data, starts[first:last], stops[first:last], row + first)
        row += len(starts)
        # Not yet at `row == stop`: a compressed file's checksum follows its last line.
        if row > span.stop:
            return


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    pieces: list[bytes] = []
    size = 0
    try:
        # Openers return buffered files or decompressors, both of which have read1.
        while piece := cast(io.BufferedReader, stream).read1(PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES and (cut := piece.rfind(b"\n") + 1):
                yield b"".join([*pieces[:-1], piece[:cut]])
                pieces = [piece[cut:]]
                size = len(pieces[0])
    except Exception:
        data = b"".join(pieces)
        yield data[: data.rfind(b"\n") + 1]
        raise
    yield b"".join(pieces)


def _find_lines(data: bytes) -> tuple[Positions, Positions]:
    r"""Return start and stop of each line that is not blank, in bytes, with its ``\r``."""
    raw = np.frombuffer(data, np.uint8)
    stops = np.flatnonzero(raw == ord("\n"))
    if data and not data.endswith(b"\n"):
        stops = np.append(stops, len(data))
    starts = np.concatenate(([0], stops[:-1] + 1))[: len(stops)]
    lengths = stops - starts
    if (lengths > 1).all():
        return starts, stops
    filled = (lengths > 1) | ((lengths == 1) & (raw[stops - 1] != ord("\r")))
    return starts[filled], stops[filled]


def parse(lines: Lines, selection: ColumnSelection) -> Rows | None:
    """Parse lines with Arrow, or return None if reading them one by one might give other rows.

    Every line is checked to begin with ``{`` and end with ``}``. An object that continued
    on the next line would be cut between a ``}`` and a ``{``, or inside a string; JSON allows
    neither inside an object, and Arrow rejects both. So each line holds at least one object, and
    as many objects as lines means one per line. For the same reason no line is `null`, on which
    Arrow's parser crashes the process if it is the first record, and from which it makes a row
    without a text if it follows an object.
    """
    region = lines.data[lines.starts[0] : lines.stops[-1] + 1]
    if len(region) >= LONGEST_BYTES or len(region) > LONG_BYTES * len(lines):
        return None
    if not _are_braced(lines) or not _is_utf8(region):
        return None
    kinds = _kinds_of(lines, selection)
    table = _read(region, kinds) if kinds else None
    if table is None or len(table) != len(lines):
        return None
    columns = {name: _one_array(table.column(name)) for name in table.column_names}
    text = columns[selection.text]
    if text.null_count or not all(map(_is_valid, columns.values())):
        return None
    if not _all_sound(lines, region):
        return None
    others = {column.name: columns[column.name].cast(pa.string()) for column in selection.others}
    return Rows(lines.row, text, others)


def _are_braced(lines: Lines) -> bool:
    if (lines.starts >= lines.stops).any():  # a byte-order mark and nothing else
        return False
    raw = np.frombuffer(lines.data, np.uint8)
    last = lines.stops - 1
    last = last - (raw[last] == ord("\r"))
    return bool((raw[lines.starts] == ord("{")).all() and (raw[last] == ord("}")).all())


def _is_utf8(region: bytes) -> bool:
    """Return whether the bytes are UTF-8, including keys and columns that are not read."""
    offsets = pa.py_buffer(np.array([0, len(region)], np.int32))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(region)])
    return _is_valid(whole)


def _is_valid(array: pa.Array) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _kinds_of(lines: Lines, selection: ColumnSelection) -> dict[str, pa.DataType] | None:
    """Return the Arrow type to read each column as, given the first records that have a value."""
    kinds = {selection.text: pa.string()}
    unknown = {column.name for column in selection.others} - {selection.text}
    if any(column.kind != "string" for column in selection.others):
        return None
    for record in islice(lines.records(), SAMPLE_RECORDS):
        if not unknown:
            break
        value = _loaded(record)
        if value is None:
            return None
        found = {name: type(value[name]) for name in unknown if value.get(name) is not None}
        if not _KINDS.keys() >= set(found.values()):
            return None
        kinds |= {name: _KINDS[kind] for name, kind in found.items()}
        unknown -= found.keys()
    return kinds | dict.fromkeys(sorted(unknown), pa.string())


def _loaded(record: bytes) -> dict[str, Any] | None:
    """Return a line's object, or None if `json.loads` rejects the line."""
    try:
        value = json.loads(record.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read(region: bytes, kinds: dict[str, pa.DataType]) -> pa.Table | None:
    try:
        return pa.json.read_json(
            pa.BufferReader(region),
            pa.json.ReadOptions(use_threads=False, block_size=len(region) + 1),
            pa.json.ParseOptions(
                explicit_schema=pa.schema(list(kinds.items())),
                unexpected_field_behavior="ignore",
            ),
        )
    except (pa.ArrowException, ValueError):  # ValueError: a name with a lone surrogate
        return None


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _all_sound(lines: Lines, region: bytes) -> bool:
    """Return whether `json.loads` accepts every line that Arrow might accept wrongly."""
    suspects = _suspects(np.frombuffer(region, np.uint8), lines.starts - lines.starts[0])
    return all(_loaded(lines.record(at)) is not None for at in suspects.tolist())


def _suspects(raw: Bytes, starts: Positions) -> Positions:
    """Return the lines that may hold something that Arrow accepts and `json.loads` does not."""
    found = _line_of(_unknown_numbers(raw), starts)
    if np.diff(starts, append=len(raw)).max() <= _SHORT_BYTES:
        return np.unique(found)
    long = _line_of(_long_numbers(raw), starts)
    return np.unique(np.concatenate([found, long, _deeply_nested(raw, starts)]))


def _line_of(positions: Positions, starts: Positions) -> Positions:
    return np.searchsorted(starts, positions, side="right") - 1


def _unknown_numbers(raw: Bytes) -> Positions:
    """Return where ``Inf`` or ``-NaN`` may stand for a number, which only Arrow accepts."""
    return np.concatenate([_find(raw, b"Inf"), _find(raw, b"NaN")])


def _find(raw: Bytes, word: bytes) -> Positions:
    at = np.flatnonzero(raw[: 1 - len(word)] == word[0])
    for ahead, letter in enumerate(word[1:], 1):
        at = at[raw[at + ahead] == letter]
    return at


def _long_numbers(raw: Bytes) -> Positions:
    """Return where a number may have too many digits for `int`, which Arrow does not check.

    Only every 16th byte is checked. A long run of digits is also a run among these bytes, which is
    rare in other text.
    """
    others = np.flatnonzero(raw[::_DIGIT_STRIDE] - np.uint8(ord("0")) > 9)
    bounds = np.concatenate(([-1], others, [-(-len(raw) // _DIGIT_STRIDE)]))
    runs = np.flatnonzero(np.diff(bounds) > _MANY_DIGITS // _DIGIT_STRIDE)
    return (bounds[runs] + 1) * _DIGIT_STRIDE


def _deeply_nested(raw: Bytes, starts: Positions) -> Positions:
    """Return the lines that may be nested too deeply for `json.loads`; Arrow has no limit."""
    opening = (raw & 0xDF) == ord("[")  # "{" is "[" and the bit 0x20
    if np.count_nonzero(opening) <= len(starts) + _MANY_BRACKETS:
        return np.empty(0, np.intp)
    lines = _line_of(np.flatnonzero(opening), starts)
    return np.flatnonzero(np.bincount(lines) > _MANY_BRACKETS)
