"""Marking texts that came before: by the whole digest, in bounded memory, when all are computed.

A mark depends on every row before it, so no task can make one: the array `duplicate` is written at
the end of a run, from the array `digest`, and each time anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ..cleaning.steps import Cleaning
from ..errors import UsageError
from ..field import Field
from ..targets.target import Target
from .dataset import StoredArrays
from .encoding import encode_shard
from .keys import shard_key
from .shards import StoreLayout

DIGEST = "digest"
DUPLICATE = Field("duplicate", "bool", description="whether an earlier text has the same digest")

ROWS_A_PASS = 1 << 24
"""Rows that are compared at once, at about 90 bytes each: 1.4 GiB. Beside them a byte a row.
A store that has more is read several times, and each time a share of the digests is compared."""

_ROWS_READ = 131_072
_WRITERS = 16


def mark_fields(cleaning: Cleaning) -> tuple[Field, ...]:
    """Return the arrays that are written at the end of a run."""
    return (DUPLICATE,) if cleaning.duplicates else ()


def require_digest(cleaning: Cleaning, keep: Sequence[str], computed: Sequence[Field]) -> None:
    """Raise `UsageError` where duplicates are to be marked and cannot be."""
    if not cleaning.duplicates:
        return
    found = next((field for field in computed if field.name == DIGEST), None)
    if found is None or (found.dtype, found.shape) != ("uint8", (32,)):
        raise UsageError(
            "duplicates are marked by the array 'digest', uint8 [n, 32], which no block of this "
            "graph computes: add paninifs.digest(), or leave --mark-duplicates (duplicates=) out"
        )
    if DUPLICATE.name in (*keep, *(field.name for field in computed)):
        raise UsageError(
            "two arrays of the results would be called 'duplicate': rename the column or field, or "
            "leave --mark-duplicates (duplicates=) out"
        )


def find_duplicates(stored: StoredArrays, layout: StoreLayout) -> npt.NDArray[np.bool_]:
    """Return which valid rows have the digest of an earlier valid row: bool [n]."""
    marks = np.zeros(layout.rows, np.bool_)
    passes = -(-layout.rows // ROWS_A_PASS)
    for number in range(passes):
        rows, words = map(np.concatenate, zip(*_share(stored, layout, number, passes), strict=True))
        marks[rows[_repeated(words)]] = True
    return marks


def mark_duplicates(target: Target, layout: StoreLayout) -> int:
    """Write a store's array `duplicate`, once all shards are done; return how many it marks."""
    marks = find_duplicates(StoredArrays(target), layout)

    def put(shard: int) -> None:
        start, stop = layout.bounds(shard)
        values = encode_shard(DUPLICATE, marks[start:stop], layout.shard_rows)
        target.put(shard_key(DUPLICATE, shard), values)

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(put, range(layout.shards)))
    return int(np.count_nonzero(marks))


Words = npt.NDArray[np.uint64]  # [n, 4]: a digest as four numbers


def _share(
    stored: StoredArrays, layout: StoreLayout, number: int, passes: int
) -> Iterator[tuple[npt.NDArray[np.int64], Words]]:
    """Yield rows and digests of the valid rows whose digest falls to a pass, by its first word."""
    step = layout.shard_rows * max(1, _ROWS_READ // layout.shard_rows)
    for start in range(0, layout.rows, step):
        stop = min(start + step, layout.rows)
        words = np.asarray(stored[DIGEST][start:stop]).view(">u8").astype(np.uint64)
        falls_to = (words[:, 0] >> np.uint64(32)) * np.uint64(passes) >> np.uint64(32)
        here = np.asarray(stored["valid"][start:stop]) & (falls_to == number)
        yield start + np.flatnonzero(here), words[here]


def _repeated(words: Words) -> npt.NDArray[np.int64]:
    """Return the places of the digests that stand further up already."""
    order = np.argsort(words[:, 0])
    alike = np.flatnonzero(words[order[1:], 0] == words[order[:-1], 0])
    is_suspect = np.zeros(len(words), np.bool_)
    is_suspect[order[alike]] = is_suspect[order[alike + 1]] = True
    # Few, as a rule: these alone are compared whole, with equal ones in the order of their rows.
    suspects = np.flatnonzero(is_suspect)
    suspects = suspects[np.lexsort(words[suspects].T)]
    sorted_ = words[suspects]
    repeated: npt.NDArray[np.int64] = suspects[1:][(sorted_[1:] == sorted_[:-1]).all(axis=1)]
    return repeated
