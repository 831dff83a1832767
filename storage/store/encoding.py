"""A shard's values as the bytes of its object: Zarr's sharding format, written in one piece.

`layout` declares the codecs, and zarr-python reads what is encoded here. Its own writer goes
through an event loop chunk by chunk, which for small chunks takes several times as long as hashing.
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
"""Maximum number of rows per chunk, which is the smallest unit that a reader decodes."""

ZSTD_LEVEL = 1

_MISSING = 2**64 - 1  # offset and length of a missing chunk


def chunk_rows(shard_rows: int) -> int:
    """Return the rows per chunk in shards of `shard_rows` rows."""
    return min(shard_rows, CHUNK_ROWS)


def encode_shard(field: Field, values: npt.NDArray[Any] | pa.Array, shard_rows: int) -> bytes:
    """Return the object of a shard of `shard_rows` rows, of which the first `len(values)` exist.

    Values are a NumPy array, or an Arrow array of strings. The object starts with an index of
    offsets and lengths and its CRC-32C; the chunks follow. The last chunk that has rows is padded
    with the fill value, and those after it are missing.

    Examples
    --------
    >>> object_ = encode_shard(Field("n", "int32", compress=False), np.arange(3, dtype="int32"), 4)
    >>> len(object_)  # 16 + 4 bytes of index, then 4 rows and their CRC-32C
    40
    """
    rows = chunk_rows(shard_rows)
    index = np.full((-(-shard_rows // rows), 2), _MISSING, "<u8")
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
    """Encode strings as the codec vlen-utf8 does, padded with empty ones to `rows` strings.

    Their number comes first, then the length and bytes of each; all numbers are little-endian
    uint32. No Python strings are created.
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
