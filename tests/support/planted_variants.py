"""Texts that nearly repeat others, planted to be found as near-duplicates."""

from __future__ import annotations

import numpy as np


def variant(text: str, random: np.random.Generator) -> str:
    """Return a text with words swapped, mistyped or cut off, or in other letters."""
    words = text.split()
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(words)))
        change = random.integers(4)
        if change == 0 and at:
            words[at], words[at - 1] = words[at - 1], words[at]
        elif change == 1:
            words[at] = words[at][:-1] + "x"
        elif change == 2 and len(words) > 4:
            words = words[:-1]
        else:
            words[at] = words[at].upper() + ","
    return " ".join(words)
