"""Digests of objects, as markers hold them: made by `digest`, compared by `is_unchanged`.

They find damage, such as flipped bits, objects that a power loss tore, and objects of another run.
They do not protect against an object made to have a given digest; nothing in a store does. Markers
of earlier versions hold the SHA-256 of each object instead, which takes ten times as long.
"""

from __future__ import annotations

import hashlib

import google_crc32c
import numpy as np

_CRC32C = "crc32c-reversed:"
_WORD = 8


def digest(data: bytes) -> str:
    """Return the digest of an object for its marker.

    It is the CRC-32C of the object's whole 64-bit words in reverse order, and then of the bytes
    behind them. In their own order it would say nothing: the chunks and the index of an object of
    Zarr's sharding format each end with their own CRC-32C, and the CRC-32C of anything followed by
    its CRC-32C depends on nothing but its length.

    >>> digest(b"12345678abcdefgh.")
    'crc32c-reversed:eae5df76'
    """
    words = len(data) // _WORD
    backwards = np.frombuffer(data, "<u8", words)[::-1].tobytes()
    crc = google_crc32c.extend(google_crc32c.value(backwards), data[words * _WORD :])
    return f"{_CRC32C}{crc:08x}"


def is_unchanged(data: bytes | None, size: int, expected: str) -> bool:
    """Return whether an object has the size and the digest of its marker.

    >>> is_unchanged(b"abc", 3, digest(b"abc")), is_unchanged(None, 3, digest(b"abc"))
    (True, False)
    >>> import hashlib
    >>> is_unchanged(b"abc", 3, hashlib.sha256(b"abc").hexdigest())  # an earlier marker
    True
    """
    if data is None or len(data) != size:
        return False
    if expected.startswith(_CRC32C):
        return digest(data) == expected
    return hashlib.sha256(data).hexdigest() == expected
