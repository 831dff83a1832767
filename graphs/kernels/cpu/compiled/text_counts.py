"""The loop that counts characters, words, sentences and lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...characters import CLOSER, PUNCTUATION, SOLO, SPACE
from ..text_measures import FULL_WIDTH_ENDS, SENTENCE_ENDS
from .numba_compiler import inlined, loop
from .text_words import begins_word, rest_of_word
from .utf8 import decoded, looked_up

_NEWLINE = 0x0A
_NO_HASH = np.uint64(0)


@inlined
def _among(codes: Any, code: Any) -> Any:
    found = False
    for one in codes:
        found |= one == code
    return found


@loop
def counts(data: Any, offsets: Any, classes: Any, out: Any, lengths: Any) -> None:
    """Write characters, words, sentences and lines [4, n], and the mean length of words [n]."""
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        characters = words = sentences = lines = letters = np.int64(0)
        begun = ended = False  # of a sentence: a word was seen; what may be its end was seen
        blank = True  # the line so far
        code = np.int64(_NEWLINE)
        while at < end:
            code, size = decoded(data, at, end)
            kind = looked_up(classes, code)
            at += size
            characters += 1
            if begins_word(kind):
                words += 1
                letters += 1
                begun, ended, blank = True, False, False
                if not kind & SOLO:
                    at, more, of_these, _ = rest_of_word(data, at, end, classes, _NO_HASH)
                    characters += more
                    letters += of_these
            elif kind & SPACE:
                if code == _NEWLINE:
                    lines += 1
                    ended |= blank
                    blank = True
                sentences += np.int64(ended and begun)
                begun, ended = begun and not ended, False
            else:
                blank = False
                if kind & PUNCTUATION and _among(FULL_WIDTH_ENDS, code):
                    sentences += np.int64(begun)
                    begun = ended = False
                elif kind & PUNCTUATION and _among(SENTENCE_ENDS, code):
                    ended = True
                elif not kind & CLOSER:
                    ended = False
        out[0, row], out[1, row] = characters, words
        out[2, row] = sentences + np.int64(begun)
        out[3, row] = lines + np.int64(at > offsets[row] and data[at - 1] != _NEWLINE)
        lengths[row] = np.float32(np.float64(letters) / np.float64(max(words, np.int64(1))))
