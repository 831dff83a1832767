"""The row groups in a Parquet footer, and whether what it says of them can be true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...rows import Malformed
from .schema_elements import Leaf
from .thrift import Binary, Wanted, items, number, structs

_ROWS_PER_BYTE = 1 << 15
"""More rows per byte of its file than any corpus of texts has."""

_PAGES_OF_COLUMN: Wanted = {
    1: None,  # type
    2: None,  # encodings
    4: None,  # codec
    5: None,  # num_values
    6: None,  # total_uncompressed_size
    7: None,  # total_compressed_size
    9: None,  # data_page_offset
    11: None,  # dictionary_page_offset
    14: None,  # bloom_filter_offset
    15: None,  # bloom_filter_length
    16: {1: None, 2: None, 3: None},  # size_statistics: unencoded bytes, histograms of levels
}
_CHUNK: Wanted = {
    1: None,  # file_path
    3: _PAGES_OF_COLUMN,
    4: None,  # offset_index_offset
    5: None,  # offset_index_length
    6: None,  # column_index_offset
    7: None,  # column_index_length
    8: {},  # crypto_metadata
}
ROW_GROUP: Wanted = {1: _CHUNK, 3: None}  # columns, num_rows
"""Fields of a RowGroup that are read."""

_BYTE_ARRAY = 6
_UNCOMPRESSED = 0
_BEFORE_ALL, _BEHIND_ALL = -(1 << 63), 1 << 64
_DICTIONARIES = {2, 8}  # the encodings PLAIN_DICTIONARY and RLE_DICTIONARY


class Chunk(NamedTuple):
    """What the footer says of the values of one column in one row group."""

    stored: int  # bytes of its pages, not compressed
    decoded: int | None  # bytes of its strings, each as often as it occurs; None: unknown
    dictionary: bool  # whether a string that occurs often may be stored once
    problem: str | None = None  # one of `UNREADABLE_KINDS`, if its values cannot be read
    start: int = 0  # where its pages begin in the file
    packed: int = 0  # bytes of its pages, as they are in the file
    codec: int = 0  # Parquet's number of what its pages are compressed with


_WRONG = Chunk(0, None, False, "values with a wrong description")


class RowGroup(NamedTuple):
    """Rows of one row group, and its chunks by leaf column."""

    rows: int
    chunks: tuple[Chunk, ...]


def read_row_groups(
    groups: Sequence[Mapping[int, Any]], leaves: Sequence[Leaf], rows: int | None, end: int
) -> tuple[RowGroup, ...]:
    """Return the row groups of a footer.

    Parameters
    ----------
    groups : sequence of mapping
        The structs, with the fields of `ROW_GROUP`.
    rows : int or None
        Rows of the file, as its footer has them.
    end : int
        Where the footer begins: all else lies before it.

    Raises
    ------
    Malformed
        They contradict one another, the schema, or the size of the file.
    """
    found = [_row_group(group, leaves) for group in groups]
    counted = sum(group.rows for group in found)
    if rows not in (counted, 0):  # some writers leave it at 0
        raise Malformed(f"damaged footer: {counted} rows in its row groups, and {rows} in all")
    if counted > _ROWS_PER_BYTE * end:
        raise Malformed(f"damaged footer: {counted} rows in {end} bytes")
    overlapping = _overlapping(groups, end)
    return tuple(
        group._replace(
            chunks=tuple(
                _WRONG if (at, leaf) in overlapping else chunk
                for leaf, chunk in enumerate(group.chunks)
            )
        )
        if overlapping
        else group
        for at, group in enumerate(found)
    )


def _row_group(group: Mapping[int, Any], leaves: Sequence[Leaf]) -> RowGroup:
    rows, columns = number(group, 3), structs(group, 1)
    if rows is None or rows < 0:
        raise Malformed(f"damaged footer: a row group has {rows} rows")
    if len(columns) != len(leaves):
        raise Malformed(
            f"damaged footer: {len(columns)} columns in a row group, {len(leaves)} in the schema"
        )
    both = list(zip(columns, leaves, strict=True))
    if both and all(_miscounted(column.get(3), leaf, rows) for column, leaf in both):
        raise Malformed(f"damaged footer: a row group has {rows} rows, and its columns have not")
    return RowGroup(rows, tuple(_chunk(column, leaf, rows) for column, leaf in both))


def _miscounted(pages: Any, leaf: Leaf, rows: int) -> bool:
    """Return whether a column has another number of values than its row group has rows."""
    if not isinstance(pages, dict):
        return False
    values = number(pages, 5) or 0
    return values < rows or (values > rows and not leaf.repetition)


def _chunk(column: Mapping[int, Any], leaf: Leaf, rows: int) -> Chunk:
    """Return what is said of a chunk, unless that contradicts itself, the row group or the leaf."""
    if isinstance(column.get(8), dict):
        return Chunk(0, None, False, "encrypted values")
    if isinstance(path := column.get(1), Binary) and path.stop > path.start:
        return Chunk(0, None, False, "values of another file")
    pages = column.get(3)
    if not isinstance(pages, dict):
        return Chunk(0, None, False, "values without a description")
    stored, packed = number(pages, 6) or 0, number(pages, 7) or 0
    sizes = pages.get(16)
    sizes = sizes if isinstance(sizes, dict) else {}
    decoded = number(sizes, 1)
    wrong = (
        min(stored, packed) < 0,
        number(pages, 4) == _UNCOMPRESSED and stored != packed,
        _miscounted(pages, leaf, rows),
        number(pages, 1) != leaf.type,
        # pyarrow ends the process if one of these is so.
        len(items(sizes, 2)) not in (0, leaf.repetition + 1),
        len(items(sizes, 3)) not in (0, leaf.definition + 1),
        decoded is not None and (decoded < 0 or leaf.type != _BYTE_ARRAY),
    )
    if any(wrong):
        return _WRONG
    dictionary = bool(number(pages, 11)) or not _DICTIONARIES.isdisjoint(items(pages, 2))
    codec = number(pages, 4)
    return Chunk(
        stored=stored,
        decoded=decoded,
        dictionary=dictionary,
        start=_start(pages),
        packed=packed,
        codec=-1 if codec is None else codec,
    )


def _overlapping(groups: Sequence[Mapping[int, Any]], end: int) -> set[tuple[int, int]]:
    """Return row group and leaf of columns that overlap, or lie outside the file."""
    nothing = (-1, -1)
    extents = [(_BEFORE_ALL, 4, nothing), (end, _BEHIND_ALL, nothing)]  # four bytes begin a file
    for at, group in enumerate(groups):
        if number(group, 3):
            for leaf, column in enumerate(structs(group, 1)):
                extents += [(start, stop, (at, leaf)) for start, stop in _extents(column)]
    extents.sort()
    found: set[tuple[int, int]] = set()
    _, furthest, owner = extents[0]
    for start, stop, chunk in extents[1:]:
        if start < furthest:
            found |= {owner, chunk}
        if stop > furthest:
            furthest, owner = stop, chunk
    return found - {nothing}


def _extents(column: Mapping[int, Any]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of what a column occupies in the file: pages, indexes, a filter."""
    pages = column.get(3)
    if isinstance(pages, dict):
        yield from _extent(_start(pages), number(pages, 7))
        yield from _extent(number(pages, 14), number(pages, 15))
    yield from _extent(number(column, 4), number(column, 5))
    yield from _extent(number(column, 6), number(column, 7))


def _start(pages: Mapping[int, Any]) -> int:
    data, dictionary = number(pages, 9) or 0, number(pages, 11) or 0
    return dictionary if 0 < dictionary < data else data


def _extent(start: int | None, length: int | None) -> Iterator[tuple[int, int]]:
    if start is not None and length is not None and length > 0:
        yield start, start + length
