"""The digest of a table's columns: their names, kinds and values, and nothing else.

It depends neither on the package that held the data, nor on chunks, nor on the width of integers,
nor on the version of Arrow, so that the same data in another process are recognized.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...rows import validity
from ..identity import VALUES


def digest_and_size(table: pa.Table) -> tuple[str, int]:
    """Return the digest of a table's columns, and how many bytes were digested.

    >>> import pyarrow as pa
    >>> short = pa.table({"text": pa.array(["un", None]), "n": pa.array([1, 2], pa.int8())})
    >>> long = pa.table({"text": pa.array(["un", None], pa.large_string()), "n": [1, 2]})
    >>> digest_and_size(short) == digest_and_size(long)
    True
    """
    state = hashlib.sha256()
    size = 0
    for name, column in zip(table.column_names, table.columns, strict=True):
        for piece in (json.dumps(name).encode(), *_pieces(_joined(column))):
            state.update(len(piece).to_bytes(8, "little"))
            state.update(piece)
            size += len(piece)
    return f"{VALUES}:{state.hexdigest()}", size


def _joined(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _pieces(array: pa.Array) -> Iterator[bytes]:
    """Yield what identifies the values of an array."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _pieces(array.storage)
        return
    label, values = _kind_and_values(array)
    yield f"{label} {len(array)}".encode()
    if not pa.types.is_null(kind):
        yield np.packbits(validity(array)).tobytes()
        yield from values


def _kind_and_values(array: pa.Array) -> tuple[str, Iterator[bytes]]:
    kind, types = array.type, pa.types
    if types.is_large_string(kind) or types.is_string(kind):
        return "string", _strings(array.cast(pa.large_binary()))
    if types.is_large_binary(kind) or types.is_binary(kind):
        return "binary", _strings(array.cast(pa.large_binary()))
    if types.is_integer(kind) and kind != pa.uint64():
        return "int64", iter([_numbers(array.cast(pa.int64()), "<i8")])
    if types.is_floating(kind):
        return "float64", iter([_floats(array.cast(pa.float64()))])
    if types.is_boolean(kind):
        return "bool", iter([_numbers(array.cast(pa.uint8()), "u1")])
    if types.is_struct(kind):
        names = [field.name for field in kind]
        inner = (piece for one in array.flatten() for piece in _pieces(one))
        return f"struct{json.dumps(names)}", inner
    return str(kind), iter([repr(array.to_pylist()).encode(errors="surrogatepass")])


def _strings(array: pa.Array) -> Iterator[bytes]:
    """Yield the lengths of values, and all values in a row; those of nulls are left out."""
    there = array.drop_null()
    first, last = there.offset, there.offset + len(there) + 1
    _, offsets, data = there.buffers()
    if not len(there):
        return
    bounds = np.frombuffer(offsets, np.int64)[first:last]
    yield np.diff(bounds).astype("<i8").tobytes()
    yield data[bounds[0] : bounds[-1]].to_pybytes() if data is not None else b""


def _numbers(array: pa.Array, dtype: str) -> bytes:
    return bytes(pc.fill_null(array, 0).to_numpy(zero_copy_only=False).astype(dtype).tobytes())


def _floats(array: pa.Array) -> bytes:
    values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False).astype("<f8")
    values[np.isnan(values)] = np.nan  # of which there are many, all the same to a reader
    return bytes(values.tobytes())
