"""Parquet: row groups decoded batch by batch, with every text checked to be UTF-8.

A leaf of a struct is also a column, under its dotted path, unless another column has that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..rows import (
    ARROW_KINDS,
    BATCH_BYTES,
    BATCH_ROWS,
    ColumnSelection,
    Lengths,
    Malformed,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    Unit,
)
from .decoding import StoredFile
from .format import Format
from .row_builder import utf8_text

_DISK_BYTES, _REQUEST_BYTES = 1 << 20, 8 << 20
"""Bytes per read from a disk (few enough to stay in the CPU's cache), and per request."""

_FOOTER_BYTES = 1 << 20
"""Bytes of lines that take about as long to count as a footer takes to read."""

TEXT = "string"

Path = tuple[str, ...]
"""Names that lead to a column: those of the structs that contain it, if any, and its own."""


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Read the footer: row groups and schema. A row group's size bounds its longest text."""
    with opener(file) as raw, _opened(file, StoredFile(raw)) as parquet:
        meta = parquet.metadata
        groups = [meta.row_group(g).num_rows for g in range(meta.num_row_groups)]
        columns = _kinds(parquet)
        texts = {name: leaf for name, leaf in _leaves(parquet).items() if columns.get(name) == TEXT}
        lengths = (
            {name: _lengths(meta, leaf) for name, leaf in texts.items()} if any(groups) else {}
        )
    return Outline(tuple(Unit(rows, g) for g, rows in enumerate(groups) if rows), columns, lengths)


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Read the footer: every column and its kind."""
    with opener(file) as raw, _opened(file, StoredFile(raw)) as parquet:
        return _kinds(parquet)


def _kinds(parquet: pq.ParquetFile) -> dict[str, str]:
    return {name: _kind(type_) for name, (_, type_) in _columns(parquet).items()}


def _lengths(meta: pq.FileMetaData, leaf: int) -> Lengths:
    groups = [meta.row_group(g) for g in range(meta.num_row_groups)]
    sizes = [group.column(leaf).total_uncompressed_size for group in groups]
    at = sizes.index(max(sizes))
    before = sum(group.num_rows for group in groups[:at])
    return Lengths(sum(sizes), sizes[at], before, groups[at].num_rows)


def exact_lengths(file: SourceFile, opener: Opener, text: str, bound: Lengths) -> Lengths:
    """Return the exact lengths of the texts in the row group of `bound`, read batch by batch."""
    longest = 0
    longest_row = row = bound.row
    with opener(file) as raw, _opened(file, stored := StoredFile(raw)) as parquet:
        path, _ = _columns(parquet)[text]
        sizes = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
        starts = accumulate(sizes, initial=0)
        group = list(zip(starts, sizes, strict=False)).index((bound.row, bound.rows))
        batches = parquet.iter_batches(
            batch_size=1024, row_groups=[group], columns=[text], use_threads=False
        )
        for batch in _decoded(batches, stored):
            lengths = pc.binary_length(_plain(_column(batch, path)))
            largest = pc.max(lengths).as_py() or 0
            if largest > longest:
                longest, longest_row = largest, row + pc.index(lengths, largest).as_py()
            row += len(batch)
    return Lengths(bound.nbytes, longest, longest_row)


def _columns(parquet: pq.ParquetFile) -> dict[str, tuple[Path, pa.DataType]]:
    """Return path and type of every column by name, top-level columns (and structs) first."""
    schema = parquet.schema_arrow
    found: dict[str, tuple[Path, pa.DataType]] = {}
    level: list[tuple[Path, pa.DataType]] = [((field.name,), field.type) for field in schema]
    while level:
        for path, type_ in level:
            found.setdefault(".".join(path), (path, type_))
        level = [
            ((*path, field.name), field.type)
            for path, type_ in level
            if pa.types.is_struct(type_)
            for field in type_
        ]
    return found


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if _holds_text(type_):
        return TEXT
    if pa.types.is_integer(type_):
        return "int64" if type_ != pa.uint64() else str(type_)
    if pa.types.is_floating(type_):
        return "float64"
    return str(type_)


def _holds_text(type_: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
    )
    return any(test(type_) for test in tests)


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span, decoding from the row group that holds its first row."""
    with opener(file) as raw, _opened(file, stored := StoredFile(raw)) as parquet:
        row = span.unit_row
        columns = _columns(parquet)
        paths = {
            name: columns[name][0]
            for name in (selection.text, *(c.name for c in selection.others))
            if name in columns
        }
        groups = list(range(span.unit_offset, parquet.num_row_groups))
        size = _batch_rows(parquet, paths)
        for group in groups:
            end = row + parquet.metadata.row_group(group).num_rows
            batches = parquet.iter_batches(
                batch_size=size, row_groups=[group], columns=list(paths), use_threads=False
            )
            try:
                for batch in _decoded(batches, stored):
                    start, stop = max(row, span.start), min(row + len(batch), span.stop)
                    if start < stop:
                        yield _rows(batch.slice(start - row, stop - start), start, selection, paths)
                    row += len(batch)
                    if row >= span.stop:
                        return
            except Malformed as error:
                # Only the rest of this row group is lost, wherever a partition begins or ends.
                start, stop = max(row, span.start), min(end, span.stop)
                if start < stop:
                    yield Rows.lost(start, stop, str(error), selection)
            row = end
            if row >= span.stop:
                return


def _opened(file: SourceFile, stored: StoredFile) -> pq.ParquetFile:
    with stored.decoding("no footer"):
        return pq.ParquetFile(
            stored,
            page_checksum_verification=True,
            # By default, pyarrow holds a row group's whole column in memory, however long.
            pre_buffer=False,
            buffer_size=_REQUEST_BYTES if "://" in file.location else _DISK_BYTES,
        )


def _decoded(batches: Iterator[pa.RecordBatch], stored: StoredFile) -> Iterator[pa.RecordBatch]:
    with stored.decoding("cannot decode"):
        yield from batches


def _batch_rows(parquet: pq.ParquetFile, columns: Iterable[str]) -> int:
    """Return how many rows hold about BATCH_BYTES of values, by the sizes in the footer."""
    meta, leaves = parquet.metadata, _leaves(parquet)
    at = {
        leaf
        for name in columns
        for path, leaf in leaves.items()
        if path == name or path.startswith(f"{name}.")  # a list's values are a leaf below it
    }
    # The row group with the longest rows decides, not the mean over the file.
    groups = [meta.row_group(group) for group in range(meta.num_row_groups)]
    sizes = [sum(g.column(leaf).total_uncompressed_size for leaf in at) for g in groups]
    mean: int = max(s // max(1, g.num_rows) for s, g in zip(sizes, groups, strict=True))
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, mean)))


def _leaves(parquet: pq.ParquetFile) -> dict[str, int]:
    """Return each leaf's index in a row group, by path; a struct's leaves shift later indices."""
    meta = parquet.metadata
    return {meta.schema.column(leaf).path: leaf for leaf in range(meta.num_columns)}


def _rows(
    batch: pa.RecordBatch, start: int, selection: ColumnSelection, paths: Mapping[str, Path]
) -> Rows:
    text, faults = utf8_text(_plain(_column(batch, paths[selection.text])), start)
    columns = {}
    for column in selection.others:
        kind = ARROW_KINDS[column.kind]
        if column.name not in paths:
            columns[column.name] = pa.nulls(len(batch), kind)
            continue
        values = _plain(_column(batch, paths[column.name]))
        if _holds_text(values.type):
            values, _ = utf8_text(values, start)
        if pa.types.is_nested(values.type):
            values = _as_json(values)
        # An integer that float64 cannot represent is rounded to the nearest one that it can.
        columns[column.name] = values.cast(kind, safe=kind != pa.float64())
    return Rows(start, text, columns, faults)


def _as_json(values: pa.Array) -> pa.Array:
    """Return nested values as JSON strings, the same as those read from JSON Lines."""
    written = [
        None if value is None else json.dumps(value, ensure_ascii=False, default=str)
        for value in values.to_pylist()
    ]
    return pa.array(written, pa.string())


def _column(batch: pa.RecordBatch, path: Path) -> pa.Array:
    """Return a column, or a leaf of a struct, which is null where one of its structs is null."""
    values = batch.column(path[0])
    for name in path[1:]:
        values = values.flatten()[values.type.get_field_index(name)]
    return values


def _plain(array: pa.Array) -> pa.Array:
    """Undo dictionary and view encodings; return plain text unchanged."""
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if _holds_text(values.type):
            # A dictionary stores a repeated text once; decoded, texts may overflow 32-bit offsets.
            values = _plain(values)
            is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            values = values.cast(pa.large_string() if is_text else pa.large_binary())
        array = pa.DictionaryArray.from_arrays(array.indices, values).dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    return array


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".parquet", ".pq"),
    options=(),
    text_copies=6,
    calibrated_as="parquet",
    counted_bytes=_FOOTER_BYTES,
    random_access=True,
    exact_lengths=exact_lengths,
)
