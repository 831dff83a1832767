"""Loops for MinHash: shingles, their hashes, permutations, and band keys.

A text is copied into scratch memory in its normal form, word by word, and each shingle is hashed
there as soon as it ends. Four hashes are permuted at once, so that LLVM keeps the signature in
vector registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...band_hashes import MULTIPLIER
from ...shingles import EMPTY
from ..minhashes import RING, TOGETHER
from .numba_compiler import inlined, loop

_LAST = RING - 1
_SPACE = 32


@inlined
def _word(text: Any, at: Any) -> Any:
    """Return the four bytes from a position as a little-endian number."""
    low = np.uint32(text[at]) | np.uint32(np.uint32(text[at + 1]) << np.uint32(8))
    high = np.uint32(text[at + 2]) | np.uint32(np.uint32(text[at + 3]) << np.uint32(8))
    return np.uint32(low | np.uint32(high << np.uint32(16)))


@inlined
def _scrambled(block: Any) -> Any:
    block = np.uint32(block * np.uint32(0xCC9E2D51))
    block = np.uint32(np.uint32(block << np.uint32(15)) | np.uint32(block >> np.uint32(17)))
    return np.uint32(block * np.uint32(0x1B873593))


@inlined
def _finished(state: Any) -> Any:
    state = np.uint32(state ^ np.uint32(state >> np.uint32(16)))
    state = np.uint32(state * np.uint32(0x85EBCA6B))
    state = np.uint32(state ^ np.uint32(state >> np.uint32(13)))
    state = np.uint32(state * np.uint32(0xC2B2AE35))
    return np.uint32(state ^ np.uint32(state >> np.uint32(16)))


@inlined
def _hash(text: Any, start: Any, stop: Any) -> Any:
    """Return the finished MurmurHash3 of some bytes; up to three bytes after them are read."""
    state = np.uint32(0)
    at = np.uint64(start)
    end = np.uint64(stop)
    while at + np.uint64(4) <= end:
        state = np.uint32(state ^ _scrambled(_word(text, at)))
        state = np.uint32(np.uint32(state << np.uint32(13)) | np.uint32(state >> np.uint32(19)))
        state = np.uint32(np.uint32(state * np.uint32(5)) + np.uint32(0xE6546B64))
        at += np.uint64(4)
    rest = end - at
    if rest > 0:
        kept = np.uint32((np.uint64(1) << (np.uint64(8) * rest)) - np.uint64(1))
        state = np.uint32(state ^ _scrambled(np.uint32(_word(text, at) & kept)))
    return _finished(_finished(np.uint32(state ^ np.uint32(stop - start))))


@loop
def _permute(functions: Any, hashes: Any, out: Any) -> None:
    """Lower a signature to the least value of each permutation over four hashes."""
    a, b = functions
    h0, h1, h2, h3 = hashes[0], hashes[1], hashes[2], hashes[3]
    for k in range(len(out)):
        one = min(np.uint32(a[k] * h0 + b[k]), np.uint32(a[k] * h1 + b[k]))
        other = min(np.uint32(a[k] * h2 + b[k]), np.uint32(a[k] * h3 + b[k]))
        out[k] = min(out[k], one, other)


@inlined
def _add(hashed: Any, pending: Any, functions: Any, hashes: Any, out: Any) -> Any:
    """Keep a hash until there are four; return how many there are."""
    hashes[pending] = hashed
    pending += 1
    if pending == TOGETHER:
        _permute(functions, hashes, out)
        pending = 0
    return pending


@inlined
def _flush(pending: Any, functions: Any, hashes: Any, out: Any) -> None:
    """Permute the last hashes; a repeated one does not change a minimum."""
    if pending > 0:
        for more in range(pending, TOGETHER):
            hashes[more] = hashes[pending - 1]
        _permute(functions, hashes, out)


@loop
def of_words(texts: Any, shingling: Any, functions: Any, scratch: Any, out: Any) -> None:
    """Write the signatures of texts, with shingles of words; `out` is filled with `EMPTY`.

    `texts` are the bytes and their offsets; `shingling` the table of letters, and the size of a
    shingle.
    """
    data, offsets = texts
    letters, size = shingling
    text, starts, hashes = scratch
    for row in range(len(out)):
        length = units = pending = 0
        inside = False
        for at in range(offsets[row], offsets[row + 1]):
            letter = letters[data[at]]
            if letter == 0:
                inside = False
                continue
            if not inside:
                inside = True
                if units >= size:
                    hashed = _hash(text, starts[(units - size) & _LAST], length)
                    pending = _add(hashed, pending, functions, hashes, out[row])
                if units > 0:
                    text[length] = _SPACE
                    length += 1
                starts[units & _LAST] = length
                units += 1
            text[length] = letter
            length += 1
        if units > 0:
            first = starts[(units - size) & _LAST] if units >= size else 0
            hashed = _hash(text, first, length)
            pending = _add(hashed, pending, functions, hashes, out[row])
            _flush(pending, functions, hashes, out[row])


@loop
def of_characters(texts: Any, shingling: Any, functions: Any, scratch: Any, out: Any) -> None:
    """Write the signatures of texts, with shingles of characters; see `of_words`."""
    data, offsets = texts
    letters, size = shingling
    text, starts, hashes = scratch
    for row in range(len(out)):
        length = units = pending = 0
        gap = False
        for at in range(offsets[row], offsets[row + 1]):
            letter = letters[data[at]]
            if letter == 0:
                gap = length > 0
                continue
            for turn in range(2):  # the space before a word is a character, too
                if turn == 0 and not gap:
                    continue
                value = _SPACE if turn == 0 else letter
                if length == 0 or (value & 0xC0) != 0x80:
                    if units >= size:
                        hashed = _hash(text, starts[(units - size) & _LAST], length)
                        pending = _add(hashed, pending, functions, hashes, out[row])
                    starts[units & _LAST] = length
                    units += 1
                text[length] = value
                length += 1
            gap = False
        if units > 0:
            first = starts[(units - size) & _LAST] if units >= size else 0
            hashed = _hash(text, first, length)
            pending = _add(hashed, pending, functions, hashes, out[row])
            _flush(pending, functions, hashes, out[row])


@loop
def band_keys(signatures: Any, rows: int, keys: Any) -> None:
    """Write the key of each band of signatures; see `kernels.band_hashes`."""
    bands = keys.shape[1]
    for text in range(len(keys)):
        signature = signatures[text]
        known = False
        for k in range(len(signature)):
            known |= signature[k] != EMPTY
        for band in range(bands):
            key = np.uint64(MULTIPLIER)
            for row in range(rows):
                key = (key ^ np.uint64(signature[band * rows + row])) * np.uint64(MULTIPLIER)
                key ^= key >> np.uint64(32)
            key = np.uint64(1) if key == 0 else key
            keys[text, band] = key if known else np.uint64(0)
