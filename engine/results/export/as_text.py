"""Tables as text: how CSV and JSON Lines write lists, bytes, categories and datetimes.

Bytes are written as base64. A list is a JSON list, in CSV within its cell.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 1024
"""Rows that are converted to Python objects at once."""


def as_text(table: pa.Table) -> pa.Table:
    """Return a table whose columns CSV can hold.

    >>> table = pa.table({"n": [1], "tokens": [[1, 2]], "raw": [b"a"]})
    >>> as_text(table).to_pylist()
    [{'n': 1, 'tokens': '[1, 2]', 'raw': 'YQ=='}]
    """
    for number, field in enumerate(table.schema):
        column, convert = table.column(number), _of_python(field.type)
        if pa.types.is_dictionary(field.type):
            table = table.set_column(number, field.name, column.cast(pa.string()))
        elif convert is not None:
            values = _with_iso_dates(column).to_pylist()
            words = [None if value is None else _cell(convert(value)) for value in values]
            table = table.set_column(number, field.name, pa.array(words, pa.large_string()))
    return table


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else _dumped(value)


def as_json_lines(table: pa.Table) -> Iterator[bytes]:
    """Yield the lines of a table, some at a time; a float that is not finite is null, as in JSON.

    >>> table = pa.table({"n": [1, None], "x": [0.5, float("nan")], "tokens": [[1, 2], []]})
    >>> print(b"".join(as_json_lines(table)).decode(), end="")
    {"n": 1, "x": 0.5, "tokens": [1, 2]}
    {"n": null, "x": null, "tokens": []}
    """
    convert = {field.name: _of_python(field.type) or _finite for field in table.schema}
    for batch in table.to_batches(_ROWS):
        columns = [
            [
                None if value is None else convert[name](value)
                for value in _with_iso_dates(column).to_pylist()
            ]
            for name, column in zip(table.column_names, batch.columns, strict=True)
        ]
        rows = (
            _dumped(dict(zip(table.column_names, values, strict=True)))
            for values in zip(*columns, strict=True)
        )
        yield "".join(f"{row}\n" for row in rows).encode()


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _iso(moment: Any) -> Any:
    return None if moment is None else moment.replace(" ", "T")


def _of_python(type_: pa.DataType) -> Callable[[Any], Any] | None:
    """Return how a Python value of a type becomes one of JSON; None if it is one already."""
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return lambda value: base64.b64encode(value).decode()
    if pa.types.is_large_list(type_) or pa.types.is_list(type_):
        item = _iso if pa.types.is_timestamp(type_.value_type) else _finite
        return lambda value: [item(one) for one in value]
    return None


def _with_iso_dates(column: Any) -> Any:
    """Return a column with datetimes as ISO 8601.

    Python's own datetimes lack nanoseconds, and years before 1.
    """
    if pa.types.is_timestamp(column.type):
        return pc.replace_substring(column.cast(pa.string()), " ", "T")
    if pa.types.is_large_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.large_list(pa.string()))
    return column
