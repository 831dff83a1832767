"""From a shard's values to the bytes of its object: Zarr's sharding format, written in one piece.

`layout` declares the codecs and zarr-python reads what is made here; its own writer goes through an
event loop chunk by chunk, which for small chunks costs several times what the hashes do.
"""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numcodecs import VLenUTF8, Zstd

from ..field import STRING, Field
from ..text import PackedText

CHUNK_ROWS = 8192
"""Rows that a reader of a few rows has to decode."""

ZSTD_LEVEL = 1

_MISSING = 2**64 - 1  # offset and length of a chunk that is not there


def chunk_rows(size: int) -> int:
    """Return the rows of a chunk in shards of `size` rows."""
    return min(size, CHUNK_ROWS)


def encode_shard(field: Field, values: npt.NDArray[Any] | pa.Array, size: int) -> bytes:
    """Return the object of a shard of `size` rows, of which the first `len(values)` exist.

    Values are a NumPy array, or an Arrow one of strings. An index of offsets and lengths with its
    CRC-32C stands first, then the chunks; the last one is filled up with the fill value, and those
    behind it are missing.

    Examples
    --------
    >>> object_ = encode_shard(Field("n", "int32", compress=False), np.arange(3, dtype="int32"), 4)
    >>> len(object_)  # 16 + 4 bytes of index, then 4 rows and their CRC-32C
    40
    """
    rows = chunk_rows(size)
    index = np.full((-(-size // rows), 2), _MISSING, "<u8")
    at = index.nbytes + 4
    pieces: list[bytes] = []
    for number, start in enumerate(range(0, len(values), rows)):
        chunk = _encode_chunk(field, values[start : start + rows], rows)
        length = sum(map(len, chunk))
        index[number] = at, length
        at += length
        pieces += chunk
    return b"".join([*_checked(index.tobytes()), *pieces])


def _encode_chunk(field: Field, values: Any, rows: int) -> list[bytes]:
    if isinstance(values, pa.Array):
        raw: bytes = _pack_strings(PackedText.from_arrow(values), rows)
    else:
        if len(values) < rows:
            full = np.full((rows, *field.shape), field.fill, field.array_dtype)
            full[: len(values)] = values
            values = full
        little = values.dtype.newbyteorder("<")
        is_text = field.dtype == STRING
        raw = VLenUTF8().encode(values) if is_text else values.astype(little, copy=False).tobytes()
    return [Zstd(level=ZSTD_LEVEL, checksum=True).encode(raw)] if field.compress else _checked(raw)


def _pack_strings(text: PackedText, rows: int) -> bytes:
    """Write strings as the codec vlen-utf8 has them, with empty ones behind up to `rows`.

    Their number, then each one's length and bytes; all numbers are little-endian uint32. No Python
    string is made of any.
    """
    count = len(text)
    offsets = text.offsets.astype(np.int64) - int(text.offsets[0])
    packed = np.zeros(4 + 4 * rows + int(offsets[-1]), np.uint8)
    packed[:4] = np.frombuffer(struct.pack("<I", rows), np.uint8)
    at = (4 + 4 * np.arange(count) + offsets[:-1])[:, None] + np.arange(4)
    packed[at] = np.diff(offsets).astype("<u4").view(np.uint8).reshape(count, 4)
    is_text = np.ones(4 + 4 * count + int(offsets[-1]), np.bool_)
    is_text[:4] = False
    is_text[at] = False
    first = int(text.offsets[0])
    packed[: len(is_text)][is_text] = text.data[first : first + int(offsets[-1])]
    return packed.tobytes()


def _checked(raw: bytes) -> list[bytes]:
    return [raw, struct.pack("<I", google_crc32c.value(raw))]
