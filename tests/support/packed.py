"""Compressors for tests, by file ending; each writes one member, frame or stream."""

from __future__ import annotations

import bz2
import gzip

import pyarrow as pa


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


PACK = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, 1),
    ".zst": zstd,
    ".bz2": bz2.compress,
}
PACKED = [ending for ending in PACK if ending]
