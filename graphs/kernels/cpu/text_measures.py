"""Measures of texts, character by character: counts, shares, repetition and scripts.

Texts are decoded and classified in one pass of a loop in `compiled`, with the tables of
`characters`. The docstrings of `graphs.measures` define the measures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from ..characters import SCRIPT_NAMES, classes, scripts
from .machine_code import Loop

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

SENTENCE_ENDS = (
    *map(ord, ".!?"),
    *(0x2026, 0x203D),  # ellipsis, interrobang
    *(0x61F, 0x6D4, 0x589),  # Arabic question mark and full stop, Armenian full stop
    *(0x964, 0x965, 0x104B),  # danda, double danda, and the section sign of Burmese
    *(0x1362, 0x1367, 0x17D5),  # Ethiopic full stop and question mark, Khmer full stop
)
"""Characters that end a sentence if white space or the end of the text follows."""

FULL_WIDTH_ENDS = (0x3002, 0xFF01, 0xFF1F, 0xFF61)
"""Full stops, exclamation and question marks of Chinese and Japanese, without a space after."""

HASH_FACTOR = 0x9E3779B97F4A7C15
"""Factor of the hashes of lines, words and n-grams; odd."""

MOST_REPETITIONS = 1 << 19
"""Maximum number of lines, and of n-grams, of a text that are compared with one another, which
bounds the memory of the comparison to 25 MB per thread."""

LEAST_ROOM = 16
"""Minimum number of entries of a hash table."""

_counts = Loop("text_counts", "counts")
_shares = Loop("text_shares", "shares")
_repetition = Loop("text_repetition", "repetition")
_dominant = Loop("text_scripts", "dominant")


def counts(text: PackedText) -> tuple[Integers, Floats]:
    """Return characters, words, sentences and lines: int32 [4, n]; mean length of words: [n]."""
    data, offsets = _on_host(text)
    out, lengths = np.empty((4, len(text)), np.int32), np.empty(len(text), np.float32)
    _counts(data, offsets, classes(), out, lengths)
    return out, lengths


def shares(text: PackedText) -> Floats:
    """Return shares of letters, digits, upper case, white space, punctuation: float32 [5, n]."""
    data, offsets = _on_host(text)
    out = np.empty((5, len(text)), np.float32)
    _shares(data, offsets, classes(), out)
    return out


def repetition(text: PackedText, n: int, most: int = MOST_REPETITIONS) -> Floats:
    """Return the shares of lines, and of n-grams of words, that repeat: float32 [2, n]."""
    data, offsets = _on_host(text)
    longest = int(np.diff(offsets).max(initial=0))
    # At most one word and one line end at a byte, and the table must never be full.
    room = max(LEAST_ROOM, 1 << (2 * (min(longest, 2 * most) + 2) - 1).bit_length())
    table = np.empty(room, np.uint64), np.zeros(room, np.int32), np.empty(n, np.uint64)
    out = np.empty((2, len(text)), np.float32)
    settings = np.uint64(pow(HASH_FACTOR, n, 1 << 64)), most
    _repetition((data, offsets), classes(), settings, table, out)
    return out


def dominant_scripts(text: PackedText) -> tuple[Integers, Floats]:
    """Return the number in `SCRIPT_NAMES` of the script of most letters, and its share: [n]."""
    data, offsets = _on_host(text)
    tally = np.empty(len(SCRIPT_NAMES) + 1, np.int64)
    number, share = np.empty(len(text), np.int32), np.empty(len(text), np.float32)
    _dominant((data, offsets), scripts(), tally, number, share)
    return number, share


def _on_host(text: PackedText) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the buffers of texts in the host's memory; a GPU's are copied."""
    data: Any = text.data
    offsets: Any = text.offsets
    if not isinstance(data, np.ndarray):
        first, last = int(offsets[0]), int(offsets[-1])
        data, offsets = data[first:last].get(), offsets.get() - first
    return data, np.ascontiguousarray(offsets, np.int64)
