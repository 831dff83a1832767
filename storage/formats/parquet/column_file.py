"""A text column of a row group as a Parquet file of its own, for decoders that read nothing else.

They get only bytes that were checked here: the pages follow one another, have as many values as the
footer says, and match their checksums. The footer is a new one, so that nothing which is odd about
the file (names that occur twice, encrypted columns, wrong sizes) reaches a decoder. The bytes of
the pages are not interpreted.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from ...rows import CannotDecode, ColumnFile, Malformed
from ..decoding import StoredFile
from .footer import Footer
from .row_groups import Chunk
from .schema import SchemaColumn, holds_text
from .thrift import Wanted, decode_at, number
from .thrift_output import I32, I64, Value, encode

MAX_BYTES = 1 << 30
"""Largest column of a row group, in bytes as stored, that is taken out: it is held in memory."""

_MAGIC = b"PAR1"
_NAME = b"text"

_CODECS = {0: None, 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4"}
"""Parquet's numbers of the codecs whose data mean the same to every reader."""

_ENCODINGS = {0, 2, 6, 7, 8}
"""Plain, dictionary (old and new), delta lengths, and delta strings: what strings may have."""

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
"""Kinds of pages."""

_OF_VALUES: Wanted = {1: None, 2: None, 4: None}  # num_values, encoding, encoding of version 2
_PAGE: Wanted = {1: None, 2: None, 3: None, 4: None, 5: _OF_VALUES, 7: _OF_VALUES, 8: _OF_VALUES}
"""Fields of a PageHeader: kind, sizes decoded and stored, checksum, and what is of each kind."""

_BYTE_ARRAY, _UTF8 = 6, 0
_REQUIRED, _OPTIONAL = 0, 1


class _Pages(NamedTuple):
    values: int
    encodings: frozenset[int]
    first_data: int  # where the first page with values begins in the chunk


def column_file(footer: Footer, stored: StoredFile, group: int, column: SchemaColumn) -> ColumnFile:
    """Return a column of strings of a row group.

    Raises
    ------
    CannotDecode
        It is not a plain column of strings, or not as the footer says. Reading it says why.
    """
    rows, chunks = footer.groups[group]
    chunk, nullable = chunks[column.leaves.start], _nullable(footer, column)
    if chunk.problem:
        raise CannotDecode(chunk.problem)
    if chunk.codec not in _CODECS:
        raise CannotDecode(f"a codec without a common meaning (number {chunk.codec})")
    if chunk.packed > MAX_BYTES:
        raise CannotDecode(f"a row group with {chunk.packed:,} bytes of text")
    data = _read(stored, chunk)
    try:
        pages = _checked(data, rows)
    except Malformed as error:
        raise CannotDecode(f"damaged pages: {error}") from None
    metadata = encode(_footer(rows, chunk, pages, nullable=nullable))
    length = len(metadata).to_bytes(4, "little")
    return ColumnFile(
        data=b"".join([_MAGIC, data, metadata, length, _MAGIC]),
        rows=rows,
        codec=_CODECS[chunk.codec],
        text_bytes=chunk.decoded,
    )


def _nullable(footer: Footer, column: SchemaColumn) -> bool:
    """Return whether a column may have nulls."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if len(column.path) > 1:
        raise CannotDecode("a column within a struct")
    if not holds_text(kind):
        raise CannotDecode(f"values of the type {kind}")
    return bool(footer.schema.field(footer.schema.get_field_index(column.path[0])).nullable)


def _read(stored: StoredFile, chunk: Chunk) -> bytes:
    """Read the pages of a chunk. Errors of the storage are raised as they are."""
    stored.seek(chunk.start)
    pieces, left = [], chunk.packed
    while left and (piece := stored.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _checked(data: bytes, rows: int) -> _Pages:
    """Return what the pages of a chunk have in common.

    Raises
    ------
    Malformed
        They do not follow one another, or one does not match its checksum.
    """
    at = values = 0
    encodings: set[int] = set()
    first_data = -1
    while at < len(data):
        begin = at
        page, at = decode_at(data, at, _PAGE)
        kind, stored = number(page, 1), number(page, 3)
        if stored is None or not 0 <= stored <= len(data) - at or (number(page, 2) or 0) < 0:
            raise Malformed("a page has no size that fits")
        checksum = number(page, 4)
        if checksum is not None and checksum % 2**32 != zlib.crc32(data[at : at + stored]):
            raise Malformed("a page does not match its checksum")
        at += stored
        if kind == _DICTIONARY and not begin:
            encodings.add(_encoding(page.get(7), 2))
            continue
        if kind not in (_DATA, _DATA_V2):
            raise Malformed(f"a page of kind {kind}")
        if first_data < 0:
            first_data = begin
        held = page.get(5 if kind == _DATA else 8)
        encodings.add(_encoding(held, 2 if kind == _DATA else 4))
        values += number(held, 1) or 0 if isinstance(held, dict) else 0
    if values != rows:
        raise Malformed(f"{values} values where the footer has {rows}")
    return _Pages(values, frozenset(encodings), first_data)


def _encoding(fields: Any, field: int) -> int:
    found = number(fields, field) if isinstance(fields, Mapping) else None
    if found not in _ENCODINGS:
        raise Malformed(f"a page with the encoding {found}")
    return found


def _footer(rows: int, chunk: Chunk, pages: _Pages, *, nullable: bool) -> dict[int, Value]:
    """Return the footer of a file with one row group of one column, which begins at byte 4."""
    start, packed, stored = len(_MAGIC), I64(chunk.packed), I64(chunk.stored)
    encodings: list[Value] = [I32(one) for one in sorted(pages.encodings)]
    column: dict[int, Value] = {
        1: I32(_BYTE_ARRAY),
        2: encodings,
        3: [_NAME],
        4: I32(chunk.codec),
        5: I64(rows),
        6: stored,
        7: packed,
        9: I64(start + pages.first_data),
    }
    if pages.first_data:
        column[11] = I64(start)  # the dictionary
    leaf: dict[int, Value] = {
        1: I32(_BYTE_ARRAY),
        3: I32(_OPTIONAL if nullable else _REQUIRED),
        4: _NAME,
        6: I32(_UTF8),
    }
    root: dict[int, Value] = {4: b"schema", 5: I32(1)}
    group: dict[int, Value] = {1: [{2: I64(start), 3: column}], 2: stored, 3: I64(rows)}
    return {1: I32(2), 2: [root, leaf], 3: I64(rows), 4: [group]}
