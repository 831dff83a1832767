"""`token_batches`: groups texts of one length in tokens into batches of at most a number of tokens.

Texts of one length need no padding, so nothing is computed in vain and no text depends on another's
length. How texts become tokens is in `tokenizing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


SHORTEST = 8
"""Tokens to which shorter texts are padded: libraries multiply matrices of fewer rows in another
way, so that a short text alone would have other bits than in company (torch 2.13, 2 and 3 tokens).
"""


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
        Lengths are padded to a multiple of it, at least `SHORTEST`, and to no other: so the length
        at which a text is computed depends on that text alone.
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
    >>> texts = [np.arange(length) for length in (8, 9, 8, 8, 5)]
    >>> [(rows.tolist(), ids.shape) for rows, ids, _ in token_batches(texts, budget=16)]
    [([1], (1, 9)), ([0, 2], (2, 8)), ([3, 4], (2, 8))]
    >>> [ids.shape for _, ids, _ in token_batches(texts, budget=100, multiple=4)]
    [(1, 12), (4, 8)]
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    padded = -(-np.maximum(lengths, SHORTEST) // multiple) * multiple
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
