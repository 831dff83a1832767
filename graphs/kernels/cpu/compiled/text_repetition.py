"""The loop that finds lines, and n-grams of words, that repeat within a text.

Both are identified by 64-bit hashes, in one hash table per text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...characters import SOLO, SPACE
from ..text_measures import LEAST_ROOM
from .numba_compiler import inlined, loop
from .text_shares import share
from .text_words import FACTOR, begins_word, extended, rest_of_word
from .utf8 import decoded, looked_up

_NEWLINE = 0x0A
_LINE, _WORD = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(32)


@inlined
def _added(key: Any, stamp: Any, mask: Any, keys: Any, stamps: Any) -> Any:
    """Add a key to a text's hash table; return 1 if it was there, else 0."""
    key = (key ^ (key >> _SHIFT)) * _MIX
    key = key ^ (key >> _SHIFT)
    slot = key & mask
    while stamps[slot] == stamp and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    there = np.int64(stamps[slot] == stamp)
    stamps[slot] = stamp
    keys[slot] = key
    return there


@loop
def repetition(texts: Any, classes: Any, settings: Any, table: Any, out: Any) -> None:
    """Write the shares of lines and of n-grams that repeat an earlier one of the text [2, n].

    `texts` are the bytes and their offsets. `settings` are the factor of the word that leaves an
    n-gram, and the maximum number of lines and of n-grams that are compared. `table` has a hash
    table (keys, and stamps that are zero) whose length is a power of two, and the last n words.
    """
    data, offsets = texts
    factor_out, most = settings
    keys, stamps, ring = table
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        size = np.int64(LEAST_ROOM)
        while size < 2 * (end - at + 2) and size < len(keys):
            size *= 2
        mask, stamp = np.uint64(size - 1), np.int32(row + 1)
        ring[:] = np.uint64(0)
        position = words = ngrams = repeated_ngrams = lines = repeated_lines = np.int64(0)
        gram, line, trimmed = np.uint64(0), _LINE, _LINE
        blank = True
        while at <= end:  # the end of a text ends its line
            code, kind, width = np.int64(_NEWLINE), np.int64(SPACE), np.int64(1)
            if at < end:
                code, width = decoded(data, at, end)
                kind = looked_up(classes, code)
            at += width
            if begins_word(kind):
                word = extended(_WORD, code)
                if not kind & SOLO:
                    at, _, _, word = rest_of_word(data, at, end, classes, word)
                words += 1
                gram = gram * FACTOR + word - ring[position] * factor_out
                ring[position] = word
                position = position + 1 if position + 1 < len(ring) else np.int64(0)
                if words >= len(ring) and ngrams < most:
                    ngrams += 1
                    repeated_ngrams += _added(gram, stamp, mask, keys, stamps)
                line = trimmed = extended(line, word)
                blank = False
            elif not kind & SPACE:
                line = trimmed = extended(line, code)
                blank = False
            elif code != _NEWLINE:
                line = _LINE if blank else extended(line, code)
            else:
                if not blank and lines < most:
                    lines += 1
                    repeated_lines += _added(trimmed, stamp, mask, keys, stamps)
                line, blank = _LINE, True
        out[0, row] = share(repeated_lines, lines)
        out[1, row] = share(repeated_ngrams, ngrams)
