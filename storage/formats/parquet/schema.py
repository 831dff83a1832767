"""The columns of a Parquet file: their names, where they are, and their kinds.

A leaf of a struct is also a column, under its dotted path, unless another column has that name.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import pyarrow as pa

from .footer import Footer

TEXT = "string"

UUID = "arrow.uuid"
"""Name of the extension type whose values are read as strings of 36 characters."""

Path = tuple[str, ...]
"""Names that lead to a column: those of the structs that contain it, if any, and its own."""


class SchemaColumn(NamedTuple):
    """A column: a top-level one, or one within structs."""

    path: Path
    type: pa.DataType
    leaves: range  # of the columns that a row group stores


def columns_of(schema: pa.Schema) -> dict[str, SchemaColumn]:
    """Return every column by name, top-level columns (and structs) first.

    >>> schema = pa.schema({"id": pa.int64(), "t": pa.struct({"fr": pa.string()})})
    >>> {name: list(column.leaves) for name, column in columns_of(schema).items()}
    {'id': [0], 't': [1], 't.fr': [1]}
    """
    found: dict[str, SchemaColumn] = {}
    level = _numbered((), list(schema), 0)
    while level:
        for column in level:
            found.setdefault(".".join(column.path), column)
        level = [
            inner
            for column in level
            if pa.types.is_struct(storage := storage_of(column.type))
            for inner in _numbered(column.path, list(storage), column.leaves.start)
        ]
    return found


def _numbered(path: Path, fields: list[pa.Field], first: int) -> list[SchemaColumn]:
    starts = accumulate((_leaf_count(field.type) for field in fields), initial=first)
    return [
        SchemaColumn((*path, field.name), field.type, range(start, start + _leaf_count(field.type)))
        for start, field in zip(starts, fields, strict=False)
    ]


def _leaf_count(type_: pa.DataType) -> int:
    type_ = storage_of(type_)
    if pa.types.is_struct(type_):
        return sum(_leaf_count(field.type) for field in type_)
    if pa.types.is_map(type_):
        return _leaf_count(type_.key_type) + _leaf_count(type_.item_type)
    if pa.types.is_nested(type_):
        return _leaf_count(type_.value_type)
    return 1


def storage_of(type_: pa.DataType) -> pa.DataType:
    """Return the type that an extension type is stored as; any other type unchanged."""
    while isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    return type_


def kinds_of(footer: Footer) -> dict[str, str]:
    """Return the kind of every column: "string", "int64", "float64", or an Arrow type."""
    return {
        name: next((footer.problems[leaf] for leaf in column.leaves if leaf in footer.problems), "")
        or arrow_kind(column.type)
        for name, column in columns_of(footer.schema).items()
    }


def arrow_kind(type_: pa.DataType) -> str:
    """Return the kind of values: "string", "int64", "float64", or an Arrow type."""
    if isinstance(type_, pa.BaseExtensionType):
        return TEXT if type_.extension_name == UUID else arrow_kind(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return arrow_kind(type_.value_type)
    if holds_text(type_):
        return TEXT
    if pa.types.is_integer(type_):
        return "int64" if type_ != pa.uint64() else str(type_)
    if pa.types.is_floating(type_):
        return "float64"
    return str(type_)


def holds_text(type_: pa.DataType) -> bool:
    """Return whether values are strings, or bytes that may be UTF-8."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(type_) for test in (*tests, *_BYTES))


def holds_bytes(type_: pa.DataType) -> bool:
    """Return whether values are bytes that are read as text where they are UTF-8."""
    if isinstance(type_, pa.BaseExtensionType):
        return type_.extension_name != UUID and holds_bytes(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return holds_bytes(type_.value_type)
    return any(test(type_) for test in (*_BYTES, pa.types.is_fixed_size_binary))


_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
