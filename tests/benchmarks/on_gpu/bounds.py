"""The speed that a GPU allows: of its integer ALU, of its float64 units, and of the bus.

The instructions were counted in the machine code (see `sass.executed`; a test counts them again).
Hashes and statistics run side by side, so the slowest of the three units is the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALU_LANES = 64
"""Integer instructions per clock and multiprocessor."""

FIRST, MIDDLE, LAST = 989, 749, 782
"""ALU instructions of a block hashed after a dhātu: the mean of the nine, for the block in which
the text begins, for whole blocks of text, and for the block in which the text ends."""

DIGEST_MIDDLE, DIGEST_LAST = 966, 1067
"""The same for the digest, which shares its schedule with no other hash and has no prefix."""

FLOAT64 = 839
"""Float64 instructions for the statistics of a text, with conversions."""

FLOAT64_LANES = {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}
FEW_LANES = 2
"""Float64 results per clock and multiprocessor, by compute capability; graphics cards, which are
not listed, have two. From the table of throughputs in NVIDIA's CUDA C++ Programming Guide."""

RESULT_BYTES = 32 + 36 + 40 + 16
"""Bytes of results per text: digest, dhātu, prime base, the four parts of ambiguity."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What bounds a device: multiprocessors, compute capability, clock in Hz."""

    processors: int
    capability: tuple[int, int]
    clock: float

    @property
    def float64_lanes(self) -> int:
        """Float64 results per clock and multiprocessor."""
        return FLOAT64_LANES.get(self.capability, FEW_LANES)

    def alu(self, instructions: float) -> float:
        """Return the seconds that the integer ALU takes for instructions."""
        return instructions / (self.processors * ALU_LANES * self.clock)

    def float64(self, instructions: float) -> float:
        """Return the seconds that the float64 units take for instructions."""
        return instructions / (self.processors * self.float64_lanes * self.clock)


def hashed_blocks(lengths: np.ndarray, prefixes: Sequence[bytes]) -> int:
    """Count the blocks of texts of these lengths in bytes, hashed after every prefix.

    >>> hashed_blocks(np.array([100]), [b"RELATE::"])
    2
    """
    return int(sum(_blocks(lengths, prefix).sum() for prefix in prefixes))


def hashing(lengths: np.ndarray, prefixes: Sequence[bytes]) -> int:
    """Return the ALU instructions of texts hashed after every prefix.

    >>> hashing(np.array([10, 100, 200]), [b"RELATE::"]) == 3 * FIRST + 2 * LAST + 2 * MIDDLE
    True
    """
    total = 0
    for prefix in prefixes:
        blocks = _blocks(lengths, prefix)
        middle = int(np.maximum(blocks - 2, 0).sum())
        total += len(blocks) * FIRST + int((blocks > 1).sum()) * LAST + middle * MIDDLE
    return total


def digesting(lengths: np.ndarray) -> int:
    """Return the ALU instructions of texts hashed without a prefix."""
    blocks = _blocks(lengths, b"")
    return len(blocks) * DIGEST_LAST + int((blocks - 1).sum()) * DIGEST_MIDDLE


def _blocks(lengths: np.ndarray, prefix: bytes) -> np.ndarray:
    return (len(prefix) + lengths + 72) >> 6


def copying(lengths: np.ndarray, offset_bytes: int, bytes_per_second: float) -> float:
    """Return the seconds on the bus, for the direction that takes longer: texts or results."""
    there = int(lengths.sum()) + offset_bytes * (len(lengths) + 1)
    return max(there, RESULT_BYTES * len(lengths)) / bytes_per_second
