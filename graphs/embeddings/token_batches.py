"""`token_batches`: groups texts of one length in tokens into batches of at most a number of tokens.

Texts of one length need no padding, so nothing is computed in vain and no text depends on another's
length. How texts become tokens is in `tokenizing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def token_batches(
    texts: Sequence[Ids], budget: int, multiple: int = 1, most_rows: int | None = None
) -> Iterator[tuple[npt.NDArray[np.int64], Ids, Ids]]:
    """Yield batches of texts, longest first.

    Parameters
    ----------
    texts : sequence of array of int64 [m]
        The tokens of each text.
    budget : int
        Most tokens of a batch, padding included, but at least one text.
    multiple : int
        Lengths are padded to a multiple of it, and to no other: so the shape in which a text is
        computed depends on that text alone.
    most_rows : int, optional
        Most texts of a batch.

    Yields
    ------
    rows : array of int64 [b]
        Which texts these are.
    ids : array of int64 [b, m]
        Their tokens, padded with zeros.
    mask : array of int64 [b, m]
        1 for a token, 0 for padding.

    Examples
    --------
    >>> texts = [np.arange(length) + 1 for length in (2, 3, 2, 2)]
    >>> [(rows.tolist(), ids.tolist()) for rows, ids, _ in token_batches(texts, budget=4)]
    [([1], [[1, 2, 3]]), ([0, 2], [[1, 2], [1, 2]]), ([3], [[1, 2]])]
    >>> [ids.shape for _, ids, _ in token_batches(texts, budget=16, multiple=4)]
    [(4, 4)]
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    padded = -(-lengths // multiple) * multiple
    order = np.argsort(-padded, kind="stable")
    starts = np.flatnonzero(np.diff(padded[order], prepend=-1))
    for group in np.split(order, starts[1:]) if len(order) else ():
        length = int(padded[group[0]])
        size = max(1, budget // max(length, 1))
        size = min(size, most_rows or size)
        for start in range(0, len(group), size):
            rows = group[start : start + size]
            ids, mask = np.zeros((2, len(rows), length), np.int64)
            for at, row in enumerate(rows):
                ids[at, : lengths[row]] = texts[row]
                mask[at, : lengths[row]] = 1
            yield rows, ids, mask
