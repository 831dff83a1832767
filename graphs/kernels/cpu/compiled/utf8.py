"""Decoding of UTF-8 within a loop, and the look-up of characters in tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from .numba_compiler import inlined

REPLACEMENT = np.int64(0xFFFD)


@inlined
def decoded(data: Any, at: Any, end: Any) -> Any:
    """Return the character that begins at a byte, and its number of bytes.

    As ``bytes.decode(errors="replace")`` does: each longest incomplete prefix of a character
    becomes one U+FFFD, and so does each byte that cannot begin a character.
    """
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, np.int64(1)
    if lead < 0xC2 or lead > 0xF4:
        return REPLACEMENT, np.int64(1)
    low, high = np.int64(0x80), np.int64(0xBF)  # of the second byte
    if lead < 0xE0:
        more, code = np.int64(1), lead & 0x1F
    elif lead < 0xF0:
        more, code = np.int64(2), lead & 0x0F
        if lead == 0xE0:
            low = np.int64(0xA0)
        elif lead == 0xED:
            high = np.int64(0x9F)
    else:
        more, code = np.int64(3), lead & 0x07
        if lead == 0xF0:
            low = np.int64(0x90)
        elif lead == 0xF4:
            high = np.int64(0x8F)
    size = np.int64(1)
    while size <= more:
        if at + size >= end:
            return REPLACEMENT, size
        byte = np.int64(data[at + size])
        if byte < low or byte > high:
            return REPLACEMENT, size
        code = (code << 6) | (byte & 0x3F)
        low, high = np.int64(0x80), np.int64(0xBF)
        size += 1
    return code, size


@inlined
def looked_up(table: Any, code: Any) -> Any:
    """Return a character's entry in a table; 0 beyond its end."""
    return np.int64(table[code]) if code < len(table) else np.int64(0)
