"""What the compiled ways to SHA-256 share with what calls them: their arguments, and slots.

A text is *staged* in a slot, between zeros and its padding, where every block of a short one, and
the first and the last of a long one, can be read as it stands; all other blocks are read where the
text lies. So nothing outside the text is ever read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from ..chains import BLOCK, Chain

PREFIX_LIMIT = BLOCK - 1
"""Bytes of the longest prefix: the first block of a message holds all of it."""

Weights = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint8]


class HashTexts(Protocol):
    """What every path offers: one for each kind of processor."""

    def __call__(
        self, text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
    ) -> None:
        """Fill weights int32 [n, columns] and, where a chain wants it, digests uint8 [n, 32]."""


def overlays_of(chains: Sequence[Chain]) -> npt.NDArray[np.uint32]:
    """Return every prefix as the first sixteen words of a message, zeros behind: uint32 [k, 16]."""
    padded = b"".join(chain.prefix.ljust(BLOCK, b"\0") for chain in chains)
    return np.frombuffer(padded, ">u4").reshape(len(chains), 16).astype(np.uint32)


def addressed(text: PackedText) -> tuple[np.uint64, npt.NDArray[np.int64]]:
    """Return the address of a text's bytes and its offsets, in the one form that is compiled."""
    return np.uint64(text.data.ctypes.data), text.offsets.astype(np.int64)


HEAD = 64
WHOLE = 192
TAIL = 128
"""A slot holds HEAD zeros, then a text of up to WHOLE bytes, or the first 64 and the last TAIL of a
longer one, then its padding: 0x80 and zeros, as many as a block that begins inside may reach."""
SLOT = HEAD + WHOLE + 144
