"""The loop that computes the shares of characters by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...characters import DIGIT, LETTER, MARK, PUNCTUATION, SPACE, UPPER
from .numba_compiler import inlined, loop
from .utf8 import decoded, looked_up


@inlined
def share(part: Any, whole: Any) -> Any:
    """Return part / whole as float32; 0 if the whole is 0."""
    return np.float32(np.float64(part) / np.float64(max(whole, 1)))


@loop
def shares(data: Any, offsets: Any, classes: Any, out: Any) -> None:
    """Write the shares of letters, digits, upper case, white space and punctuation [5, n]."""
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        characters = letters = marks = digits = uppers = spaces = punctuation = np.int64(0)
        while at < end:
            code, size = decoded(data, at, end)
            at += size
            characters += 1
            kind = looked_up(classes, code)
            letters += np.int64((kind & LETTER) != 0)
            marks += np.int64((kind & MARK) != 0)
            digits += np.int64((kind & DIGIT) != 0)
            uppers += np.int64((kind & UPPER) != 0)
            spaces += np.int64((kind & SPACE) != 0)
            punctuation += np.int64((kind & PUNCTUATION) != 0)
        out[0, row] = share(letters + marks, characters)
        out[1, row] = share(digits, characters)
        out[2, row] = share(uppers, letters)
        out[3, row] = share(spaces, characters)
        out[4, row] = share(punctuation, characters)
