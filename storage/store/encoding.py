"""A shard's values as the bytes of its object: Zarr's sharding format, written in one piece.

`layout` declares the codecs, and zarr-python reads what is encoded here. Its own writer goes
through an event loop chunk by chunk, which for small chunks takes several times as long as hashing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numcodecs import Zstd

from ..field import Field

CHUNK_ROWS = 8192
"""Maximum number of rows per chunk, which is the smallest unit that a reader decodes."""

CHUNK_BYTES = 4 << 20
"""Maximum bytes of a chunk, before compression, in a store of wide rows such as embeddings."""

ZSTD_LEVEL = 1

_MISSING = 2**64 - 1  # offset and length of a missing chunk


def chunk_rows(shard_rows: int, row_bytes: int = 0, chunk_bytes: int = 0) -> int:
    """Return the rows per chunk in shards of `shard_rows` rows: at most 8192.

    Parameters
    ----------
    row_bytes : int
        Bytes per row of the array.
    chunk_bytes : int
        Maximum bytes of a chunk of more than one row; 0: no maximum, as in stores of earlier
        versions.

    Examples
    --------
    >>> chunk_rows(131_072), chunk_rows(1000)
    (8192, 1000)
    >>> chunk_rows(16_384, row_bytes=4096, chunk_bytes=CHUNK_BYTES)  # 1024 × float32
    1024
    """
    rows = min(shard_rows, CHUNK_ROWS)
    if chunk_bytes and rows * row_bytes > chunk_bytes:
        most = max(1, chunk_bytes // row_bytes)
        return max(n for n in range(1, most + 1) if shard_rows % n == 0)  # whole chunks
    return rows


def new_chunk_bytes(fields: Iterable[Field]) -> int:
    """Return the maximum bytes of a chunk in a new store of these fields; 0 if no row is wide.

    >>> new_chunk_bytes([Field("n", "int64")]), new_chunk_bytes([Field("v", "float32", (1024,))])
    (0, 4194304)
    """
    wide = any(field.row_bytes * CHUNK_ROWS > CHUNK_BYTES for field in fields)
    return CHUNK_BYTES if wide else 0


def encode_shard(
    field: Field,
    values: npt.NDArray[Any] | pa.Array,
    shard_rows: int,
    chunk_bytes: int = 0,
) -> bytes:
    """Return the object of a shard of `shard_rows` rows, of which the first `len(values)` exist.

    Values are a NumPy array, or an Arrow array of strings. The object starts with an index of
    offsets and lengths and its CRC-32C; the chunks follow. The last chunk that has rows is padded
    with the fill value, and those after it are missing. `chunk_bytes` is that of `chunk_rows`.

    Examples
    --------
    >>> object_ = encode_shard(Field("n", "int32", compress=False), np.arange(3, dtype="int32"), 4)
    >>> len(object_)  # 16 + 4 bytes of index, then 4 rows and their CRC-32C
    40
    """
    rows = chunk_rows(shard_rows, field.row_bytes, chunk_bytes)
    index = np.full((-(-shard_rows // rows), 2), _MISSING, "<u8")
    at = index.nbytes + 4
    pieces: list[bytes] = []
    for number, start in enumerate(range(0, len(values), rows)):
        raw = field.kind.encode(values[start : start + rows], rows * math.prod(field.shape))
        chunk = [_compressed(raw)] if field.compress else _checked(raw)
        length = sum(map(len, chunk))
        index[number] = at, length
        at += length
        pieces += chunk
    return b"".join([*_checked(index.tobytes()), *pieces])


def _compressed(raw: bytes) -> bytes:
    data: bytes = Zstd(level=ZSTD_LEVEL, checksum=True).encode(raw)
    return data


def _checked(raw: bytes) -> list[bytes]:
    return [raw, struct.pack("<I", google_crc32c.value(raw))]
