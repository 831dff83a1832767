"""Items of varying length as the codecs ``vlen-utf8`` and ``vlen-bytes`` encode them."""

from __future__ import annotations

import struct

import numpy as np

from ..text import PackedText


def pack(text: PackedText, items: int) -> bytes:
    r"""Encode texts or bytes, padded with empty ones to `items` of them.

    The number of items comes first, then the length and bytes of each; all numbers are
    little-endian uint32. No Python objects are created.

    >>> pack(PackedText.from_strings(["ab"]), 2)
    b'\x02\x00\x00\x00\x02\x00\x00\x00ab\x00\x00\x00\x00'
    """
    count = len(text)
    offsets = text.offsets.astype(np.int64) - int(text.offsets[0])
    packed = np.zeros(4 + 4 * items + int(offsets[-1]), np.uint8)
    packed[:4] = np.frombuffer(struct.pack("<I", items), np.uint8)
    at = (4 + 4 * np.arange(count) + offsets[:-1])[:, None] + np.arange(4)
    packed[at] = np.diff(offsets).astype("<u4").view(np.uint8).reshape(count, 4)
    is_text = np.ones(4 + 4 * count + int(offsets[-1]), np.bool_)
    is_text[:4] = False
    is_text[at] = False
    first = int(text.offsets[0])
    packed[: len(is_text)][is_text] = text.data[first : first + int(offsets[-1])]
    return packed.tobytes()
