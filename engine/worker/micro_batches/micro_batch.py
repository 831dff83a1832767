"""`MicroBatch`: the maximum size of one call of a block. It never changes a result.

Choosing a size is in `adaptive_size`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....storage.errors import UsageError
from ....storage.text import PackedText


@dataclass(frozen=True)
class MicroBatch:
    """The size limit of one call of a map-block.

    Parameters
    ----------
    rows : int
        Maximum number of texts.
    text_bytes : int
        Maximum number of bytes of text; a single text may be longer.

    Examples
    --------
    >>> text = PackedText.from_strings(["aa", "b", "cccc", ""])
    >>> size = MicroBatch(rows=3, text_bytes=4)
    >>> size.stop(text, 0), size.stop(text, 2)
    (2, 4)
    """

    rows: int = 16_384
    text_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for limit in (self.rows, self.text_bytes):
            if not isinstance(limit, int) or limit < 1:
                raise UsageError(
                    "a micro-batch must hold a whole number of rows and bytes, at least one: "
                    f"{self}"
                )

    def stop(self, text: PackedText, start: int) -> int:
        """Return the end of the longest run of texts from `start` that fits."""
        limit = int(text.offsets[start]) + self.text_bytes
        fitting = int(np.searchsorted(text.offsets, limit, side="right")) - 1
        return min(max(fitting, start + 1), start + self.rows, len(text))

    def times(self, factor: float) -> MicroBatch:
        """Return a multiple of this size, at least one text.

        >>> MicroBatch(rows=8, text_bytes=100).times(0.1)
        MicroBatch(rows=1, text_bytes=10)
        """
        return MicroBatch(max(1, int(factor * self.rows)), max(1, int(factor * self.text_bytes)))
