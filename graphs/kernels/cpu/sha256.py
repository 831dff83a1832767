"""Argument types, and slots for texts, that the compiled SHA-256 loops share with their callers.

A text is *staged* (copied) into a slot, between zeros and its padding. All blocks of a short text,
and the first and last blocks of a long one, are read from the slot; the other blocks are read from
the text itself. So bytes outside the text are never read. The loops are in `compiled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from ..chains import BLOCK, Chain

PREFIX_LIMIT = BLOCK - 1
"""Bytes of the longest prefix, so that the first block of a message holds all of it."""

Weights = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint8]


class HashTexts(Protocol):
    """The function of a SHA-256 path."""

    def __call__(
        self, text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
    ) -> None:
        """Fill weights int32 [n, columns] and, for a digest chain, digests uint8 [n, 32]."""


def overlays_of(chains: Sequence[Chain]) -> npt.NDArray[np.uint32]:
    """Return every prefix as sixteen words of a message, padded with zeros: uint32 [k, 16]."""
    padded = b"".join(chain.prefix.ljust(BLOCK, b"\0") for chain in chains)
    return np.frombuffer(padded, ">u4").reshape(len(chains), 16).astype(np.uint32)


def address_and_offsets(text: PackedText) -> tuple[np.uint64, npt.NDArray[np.int64]]:
    """Return the address of the texts' bytes, and their offsets, in the types that loops take."""
    return np.uint64(text.data.ctypes.data), text.offsets.astype(np.int64)


HEAD = 64
WHOLE = 192
TAIL = 128
"""Bytes of the parts of a slot. HEAD zeros come first, then a text of up to WHOLE bytes (or
the first 64 and last TAIL bytes of a longer one), then its padding: 0x80, and zeros up to the end
of the last block that begins inside."""
SLOT = HEAD + WHOLE + 144
