"""Arrow arrays as Parquet files hold them, turned into the kinds of values that stores keep."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

import pyarrow as pa

from ...rows import ARROW_KINDS, ColumnSelection, Rows
from ..row_builder import cast_or_null, utf8_text
from .schema import UUID, Path, holds_text

_UNCONVERTIBLE = (pa.ArrowException, ValueError, LookupError, OverflowError)
"""Errors for values that Arrow or Python cannot represent: a date of the year 10000, a zone."""


def rows_of(
    batch: pa.RecordBatch, start: int, selection: ColumnSelection, paths: Mapping[str, Path]
) -> Rows:
    """Return a batch as rows; columns that are not in `paths` are null.

    A value beside the text that cannot be converted is null, and does not cost the text.
    """
    text, faults = utf8_text(plain(column_of(batch, paths[selection.text])), start)
    return Rows(start, text, columns_beside(batch, selection, paths), faults)


def columns_beside(
    batch: pa.RecordBatch, selection: ColumnSelection, paths: Mapping[str, Path]
) -> dict[str, pa.Array]:
    """Return the columns beside the text; those that are not in `paths` are null."""
    return {
        column.name: _beside(column_of(batch, paths[column.name]), ARROW_KINDS[column.kind])
        if column.name in paths
        else pa.nulls(len(batch), ARROW_KINDS[column.kind])
        for column in selection.others
    }


def column_of(batch: pa.RecordBatch, path: Path) -> pa.Array:
    """Return a column, or a leaf of a struct, which is null where one of its structs is null."""
    values = batch.column(path[0])
    for name in path[1:]:
        values = _stored(values)
        values = values.flatten()[values.type.get_field_index(name)]
    return values


def plain(array: pa.Array) -> pa.Array:
    """Undo extension types, dictionary and view encodings; return plain text unchanged."""
    if isinstance(array, pa.ExtensionArray) and array.type.extension_name == UUID:
        return _uuids(array.storage)
    array = _stored(array)
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if holds_text(values.type):
            # A dictionary stores a repeated text once; decoded, texts may overflow 32-bit offsets.
            values = plain(values)
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


def _stored(array: pa.Array) -> pa.Array:
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array


def _uuids(stored: pa.Array) -> pa.Array:
    values = [value and str(uuid.UUID(bytes=value)) for value in stored.to_pylist()]
    return pa.array(values, pa.string())


def _beside(values: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        values = plain(values)
    except _UNCONVERTIBLE:
        return pa.nulls(len(values), kind)
    if holds_text(values.type):
        values, _ = utf8_text(values, 0)
    if pa.types.is_nested(values.type):
        values = _as_json(values)
    return _cast(values, kind)


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if not (pa.types.is_timestamp(values.type) and values.type.tz):
        return cast_or_null(values, kind)
    try:
        return values.cast(kind)
    except pa.ArrowException:  # the zone may be unknown to this machine
        instants = cast_or_null(values.cast(pa.timestamp(values.type.unit)), kind)
    if kind != pa.string():
        return instants
    return pa.array([value and f"{value}Z" for value in instants.to_pylist()], kind)


def _as_json(values: pa.Array) -> pa.Array:
    """Return nested values as JSON strings, the same as those read from JSON Lines."""
    try:
        written = [_json(value) for value in values.to_pylist()]
    except _UNCONVERTIBLE:
        written = [_json_or_null(value) for value in values]
    return pa.array(written, pa.string())


def _json_or_null(value: pa.Scalar) -> str | None:
    try:
        return _json(value.as_py())
    except _UNCONVERTIBLE:
        return None


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
