"""Words within a loop: where one ends, and its hash."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...characters import DIGIT, LETTER, MARK, SOLO
from ..text_measures import HASH_FACTOR
from .numba_compiler import inlined
from .utf8 import decoded, looked_up

FACTOR = np.uint64(HASH_FACTOR)


@inlined
def begins_word(kind: Any) -> Any:
    """Whether a character of a class is a letter or digit."""
    return (kind & (LETTER | DIGIT)) != 0


@inlined
def extended(hashed: Any, code: Any) -> Any:
    """Return the hash of a string to which a character was appended."""
    return (hashed ^ np.uint64(code)) * FACTOR


@inlined
def rest_of_word(data: Any, at: Any, end: Any, classes: Any, hashed: Any) -> Any:
    """Return the end of a word whose first character ends at a byte, in bytes.

    Also the number of its further characters, of letters and digits among these, and its hash.
    """
    characters = letters = np.int64(0)
    while at < end:
        code, size = decoded(data, at, end)
        kind = looked_up(classes, code)
        joins = begins_word(kind) and not kind & SOLO
        if not (joins or kind & MARK):
            if (code != 0x27 and code != 0x2019) or at + size >= end:  # noqa: PLR1714 (quicker)
                break
            following, width = decoded(data, at + size, end)
            kind = looked_up(classes, following)
            if kind & SOLO or not begins_word(kind):
                break
            hashed = extended(hashed, code)
            characters += 1
            at += size
            code, size, joins = following, width, True
        hashed = extended(hashed, code)
        characters += 1
        letters += np.int64(joins)
        at += size
    return at, characters, letters, hashed
