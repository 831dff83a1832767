"""Texts of a block that repeat a signature very often, and `Repeated`, which pairs them.

They are taken together as a block is read, so that a text that is repeated millions of times fills
neither a partition nor memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .key_blocks import KeyBlock, KeyBlocks

REPEATS = 64
"""Number of texts with equal keys in a block above which equal signatures are merged at once."""

Rows = npt.NDArray[np.int64]


def repeats_of(blocks: KeyBlocks, block: KeyBlock) -> tuple[Rows, Rows]:
    """Return the rows of a block that repeat a signature very often, and the first row with it.

    Rows are those of the store; the first row itself is not listed.
    """
    whole = np.zeros(len(block.keys), np.uint64)
    for keys in block.keys.T:
        whole = (whole ^ keys) * np.uint64(0x9E3779B97F4A7C15)
        whole ^= whole >> np.uint64(29)
    _, first, which, counts = np.unique(
        whole, return_index=True, return_inverse=True, return_counts=True
    )
    rows = np.flatnonzero((counts[which] >= REPEATS) & (block.keys[:, 0] != 0))
    if not len(rows):
        return rows, rows
    signatures = blocks.signatures(rows + block.start)
    leading = first[which[rows]]
    own = np.searchsorted(rows, leading)  # the first text is among the rows
    equal = (signatures == signatures[own]).all(axis=1) & (leading != rows)
    return rows[equal] + block.start, leading[equal] + block.start


def others(block: KeyBlock, repeats: Rows) -> Rows:
    """Return the rows of a block, from 0, that are not among repeats."""
    kept = np.ones(len(block.keys), bool)
    kept[repeats - block.start] = False
    return np.flatnonzero(kept)


class Repeated:
    """Rows that repeat the signature of an earlier row: 16 bytes for each.

    Blocks are added in order. That the first rows of several blocks have equal signatures is found
    later; then `lead` says so.
    """

    def __init__(self) -> None:
        self._rows: list[Rows] = []
        self._leading: list[Rows] = []
        self._earlier: dict[int, int] = {}

    def add(self, rows: Rows, leading: Rows) -> None:
        """Add rows of a block, each with the first row of the block that has its signature."""
        self._rows.append(rows)
        self._leading.append(leading)
        self._earlier.update((row, row) for row in np.unique(leading).tolist())

    def lead(self, rows: Rows, leading: Rows) -> None:
        """Record the first rows of the store that have the signatures of rows."""
        for row, first in zip(rows.tolist(), leading.tolist(), strict=True):
            if row in self._earlier:
                self._earlier[row] = first

    def pairs(self, most: int) -> Iterator[tuple[Rows, Rows]]:
        """Yield each row, after the first row of the store that has its signature."""
        for rows, leading in zip(self._rows, self._leading, strict=True):
            block_first, which = np.unique(leading, return_inverse=True)
            first = np.array([self._earlier[row] for row in block_first.tolist()], np.int64)
            for start in range(0, len(rows), most):
                part = slice(start, start + most)
                yield first[which[part]], rows[part]
