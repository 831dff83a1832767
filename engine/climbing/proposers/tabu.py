"""`Tabu`: the hashes of the candidates that a climber proposed lately."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def hashes_of(states: npt.NDArray[Any]) -> Hashes:
    """Return a hash of every row: uint64 [k]. Rows with equal bytes have equal hashes.

    Examples
    --------
    >>> one, other, same = hashes_of(np.array([[0, 1], [1, 0], [0, 1]], np.uint8)).tolist()
    >>> one == same, one == other
    (True, False)
    """
    rows = np.ascontiguousarray(states).view(np.uint8).reshape(len(states), -1)
    missing = -rows.shape[1] % 8
    if missing:
        rows = np.pad(rows, [(0, 0), (0, missing)])
    words = rows.view(np.uint64)
    mixed: Hashes = words * _odd_numbers(words.shape[1])
    mixed ^= mixed >> np.uint64(32)
    hashed: Hashes = (mixed * _odd_numbers(words.shape[1])).sum(axis=1, dtype=np.uint64)
    return hashed


@cache
def _odd_numbers(count: int) -> Hashes:
    drawn = np.random.Generator(np.random.Philox(0)).integers(2**63, size=count, dtype=np.uint64)
    odd: Hashes = 2 * drawn + 1
    return odd


class Tabu:
    """The last hashes, in a ring.

    Parameters
    ----------
    size : int
        Maximum number of hashes.
    """

    def __init__(self, size: int) -> None:
        self.ring = np.zeros(size, np.uint64)
        self.added = 0

    def has(self, states: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return for every row whether it was added lately."""
        if not self.ring.size or not self.added:
            return np.zeros(len(states), bool)
        return np.isin(hashes_of(states), self.ring[: self.added])

    def add(self, states: npt.NDArray[Any]) -> None:
        """Add rows, in place of the oldest ones."""
        if not self.ring.size:
            return
        new = hashes_of(states)[-self.ring.size :]
        self.ring[np.arange(self.added, self.added + len(new)) % self.ring.size] = new
        self.added += len(new)
