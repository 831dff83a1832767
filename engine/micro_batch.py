"""`MicroBatch`: how much a kernel holds on its device at once. It never changes a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..storage.errors import UsageError
from ..storage.text import PackedText


@dataclass(frozen=True)
class MicroBatch:
    """A budget for one call of a map-block.

    Parameters
    ----------
    rows : int
        At most this many texts.
    text_bytes : int
        At most this many bytes of text, or one text where that alone is longer.

    Examples
    --------
    >>> text = PackedText.from_strings(["aa", "b", "cccc", ""])
    >>> list(MicroBatch(rows=3, text_bytes=4).bounds(text))
    [(0, 2), (2, 4)]
    """

    rows: int = 16_384
    text_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        if self.rows < 1 or self.text_bytes < 1:
            raise UsageError(f"a micro-batch holds at least a row and a byte: {self}")

    def bounds(self, text: PackedText) -> Iterator[tuple[int, int]]:
        """Yield runs of consecutive texts, ``[start, stop)``, that each fit the budget."""
        start = 0
        while start < len(text):
            limit = int(text.offsets[start]) + self.text_bytes
            fitting = int(np.searchsorted(text.offsets, limit, side="right")) - 1
            stop = min(max(fitting, start + 1), start + self.rows, len(text))
            yield start, stop
            start = stop
