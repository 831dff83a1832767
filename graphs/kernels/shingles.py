"""Definition of MinHash signatures: shingles, their hashes, and the permutations.

The functions here are the definition, in plain Python; backends compute the same numbers. A
signature equals that of ``datasketch.MinHash`` (2.0, scheme ``affine32``) whose ``hashfunc`` is
`murmur3` and which is updated with the bytes of `shingles_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

KINDS = ("words", "characters")
"""What shingles consist of."""

LONGEST = 32
"""Maximum number of words or characters per shingle."""

EMPTY = 0xFFFFFFFF
"""Every value of the signature of a text without shingles."""

LETTERS = np.array(
    [
        byte + 32 if 65 <= byte <= 90 else byte if chr(byte).isalnum() or byte >= 128 else 0
        for byte in range(256)
    ],
    np.uint8,
)
"""Normal form of each byte: lower case for A to Z; 0 for separators of words; other ASCII letters,
digits and bytes of non-ASCII characters unchanged."""

_MASK = 0xFFFFFFFF

Words32 = npt.NDArray[np.uint32]
Words64 = npt.NDArray[np.int64]


def normalised(text: bytes) -> bytes:
    """Return the words of a text in lower case, separated by one space.

    Only ASCII is interpreted: every other character counts as a letter and keeps its case.

    >>> normalised("Le «mot», le MOT-clé...".encode()).decode()
    'le «mot» le mot clé'
    """
    spaced = text.translate(bytes(byte or 32 for byte in LETTERS))
    return b" ".join(part for part in spaced.split(b" ") if part)


def shingles_of(text: bytes, kind: str, size: int) -> list[bytes]:
    """Return the shingles of a text: `size` consecutive words or characters of its `normalised`.

    A text that is shorter than one shingle is one shingle; one without letters has none. The
    characters are those of UTF-8.

    >>> shingles_of(b"Le mot, le mot juste", "words", 2)
    [b'le mot', b'mot le', b'le mot', b'mot juste']
    >>> shingles_of("été".encode(), "characters", 2) == ["ét".encode(), "té".encode()]
    True
    """
    whole = normalised(text)
    if not whole:
        return []
    if kind == "words":
        units = whole.split(b" ")
    else:
        starts = [at for at, byte in enumerate(whole) if at == 0 or byte & 0xC0 != 0x80]
        units = [whole[a:b] for a, b in zip(starts, [*starts[1:], len(whole)], strict=True)]
    between = b" " if kind == "words" else b""
    return [
        between.join(units[first : first + size]) for first in range(max(1, len(units) - size + 1))
    ]


def murmur3(data: bytes) -> int:
    """Return the 32-bit MurmurHash3 (x86 variant, seed 0) of bytes.

    >>> hex(murmur3(b"")), hex(murmur3(b"test")), hex(murmur3(b"Hello, world!"))
    ('0x0', '0xba6bd213', '0xc0363e43')
    """
    state, whole = 0, len(data) & ~3
    for at in range(0, whole, 4):
        state ^= _scrambled(int.from_bytes(data[at : at + 4], "little"))
        state = (state << 13 | state >> 19) & _MASK
        state = (state * 5 + 0xE6546B64) & _MASK
    if len(data) > whole:
        state ^= _scrambled(int.from_bytes(data[whole:], "little"))
    return finished(state ^ len(data))


def _scrambled(block: int) -> int:
    block = block * 0xCC9E2D51 & _MASK
    block = (block << 15 | block >> 17) & _MASK
    return block * 0x1B873593 & _MASK


def finished(state: int) -> int:
    """Return the finalizer of MurmurHash3, a bijection of 32-bit numbers.

    >>> finished(1)
    1364076727
    """
    state ^= state >> 16
    state = state * 0x85EBCA6B & _MASK
    state ^= state >> 13
    state = state * 0xC2B2AE35 & _MASK
    return state ^ state >> 16


@lru_cache(maxsize=8)
def permutations_of(count: int, seed: int) -> tuple[Words32, Words32]:
    """Return a and b of the permutations h → (a · h + b) mod 2³²: uint32 [count] each, a odd.

    They are drawn from NumPy's ``RandomState``, whose numbers never change.
    """
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, count, dtype=np.uint32)
    return a, b


_FEW = 16
"""Shingles of one length below which their hashes are computed one by one."""


def hashes_of(shingles: Sequence[bytes]) -> Words32:
    """Return the finalizer of the `murmur3` of every shingle: uint32 [n].

    Shingles of equal length are hashed together.

    >>> int(hashes_of([b"le mot"] * 20)[19]) == finished(murmur3(b"le mot"))
    True
    """
    made = np.empty(len(shingles), np.uint32)
    lengths = np.fromiter(map(len, shingles), np.int64, len(shingles))
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order]) != 0) + 1
    for group in np.split(order, edges):
        some = [shingles[at] for at in group.tolist()]
        if len(some) < _FEW or not some[0]:
            made[group] = [murmur3(one) for one in some]
        else:
            made[group] = _murmur3_of_equal_lengths(some)
    return _finished(made)


def _murmur3_of_equal_lengths(some: Sequence[bytes]) -> Words32:
    length = len(some[0])
    padded = np.zeros((len(some), -(-length // 4) * 4), np.uint8)
    padded[:, :length] = np.frombuffer(b"".join(some), np.uint8).reshape(len(some), length)
    blocks = padded.view("<u4").astype(np.uint32) * np.uint32(0xCC9E2D51)
    blocks = _rotated(blocks, 15) * np.uint32(0x1B873593)
    state = np.zeros(len(some), np.uint32)
    for at in range(length // 4):
        state = _rotated(state ^ blocks[:, at], 13) * np.uint32(5) + np.uint32(0xE6546B64)
    if length % 4:
        state = state ^ blocks[:, -1]
    return _finished(state ^ np.uint32(length))


def _rotated(words: Words32, bits: int) -> Words32:
    return words << np.uint32(bits) | words >> np.uint32(32 - bits)


def _finished(state: Words32) -> Words32:
    """Return `finished` of every number."""
    state = (state ^ state >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    state = (state ^ state >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return state ^ state >> np.uint32(16)


def signatures_of(hashes: Words32, counts: Words64, permutations: int, seed: int) -> Words32:
    """Return MinHash signatures: for each text and permutation the least value, uint32 [n, P].

    Parameters
    ----------
    hashes : uint32 array
        Hashes of the shingles of all texts, text by text.
    counts : int64 array, shape (n,)
        Number of shingles of each text.
    permutations, seed : int

    Examples
    --------
    >>> signatures_of(hashes_of([b"le mot", b"mot juste"]), np.array([2, 0]), 3, 1).tolist()
    [[1937817379, 3519147942, 1943177426], [4294967295, 4294967295, 4294967295]]
    """
    made = np.full((len(counts), permutations), EMPTY, np.uint32)
    starts = (np.cumsum(counts) - counts)[counts > 0]
    if len(starts):
        for k, (a, b) in enumerate(zip(*permutations_of(permutations, seed), strict=True)):
            made[counts > 0, k] = np.minimum.reduceat(hashes * a + b, starts)
    return made
