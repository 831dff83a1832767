"""Texts and ids that occur more than once in a store, found when all rows are computed.

Texts are compared by their whole digest, in bounded memory. A mark depends on every row before it,
so tasks cannot make marks: the array `duplicate` is written anew at the end of each run, from the
array `digest`. Repeated ids are only counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..cleaning.steps import Cleaning
from ..errors import UsageError
from ..field import Field
from ..targets.target import Target
from .dataset import StoredArrays
from .encoding import encode_shard
from .keys import shard_key
from .layout import DUPLICATE
from .shards import Marker, StoreLayout

DIGEST = "digest"

ROWS_PER_PASS = 1 << 24
"""Rows compared at once, at about 90 bytes each: 1.4 GiB. All rows take one more byte each. A store
with more rows is read in several passes, each of which compares a share of the digests."""

_ROWS_READ = 131_072
"""Rows read at once: reading small shards one by one would take longer than the run did."""
_WRITERS = 16


def mark_fields(cleaning: Cleaning) -> tuple[Field, ...]:
    """Return the fields whose arrays are written at the end of a run, not shard by shard."""
    return (DUPLICATE,) if cleaning.duplicates else ()


def require_digest(cleaning: Cleaning, keep: Sequence[str], computed: Sequence[Field]) -> None:
    """Raise `UsageError` if duplicates are to be marked, but cannot be."""
    if not cleaning.duplicates:
        return
    digest = next((field for field in computed if field.name == DIGEST), None)
    if digest is None or (digest.dtype, digest.shape) != ("uint8", (32,)):
        raise UsageError(
            "duplicates are found by the array 'digest', uint8 [n, 32], which no block of this "
            "graph computes: add paninifs.digest(), or leave out --mark-duplicates (duplicates=)"
        )
    if DUPLICATE.name in (*keep, *(field.name for field in computed)):
        raise UsageError(
            "two arrays of the results would be called 'duplicate': rename the column or field, or "
            "leave out --mark-duplicates (duplicates=)"
        )


def find_duplicates(stored: StoredArrays, layout: StoreLayout) -> npt.NDArray[np.bool_]:
    """Return which valid rows have the digest of an earlier valid row: bool [n]."""
    marks = np.zeros(layout.rows, np.bool_)
    passes = -(-layout.rows // ROWS_PER_PASS)
    for number in range(passes):
        rows, words = map(np.concatenate, zip(*_share(stored, layout, number, passes), strict=True))
        marks[rows[_repeated(words)]] = True
    return marks


def mark_duplicates(target: Target, layout: StoreLayout) -> int:
    """Write the array `duplicate` of a store whose shards are done; return the number of marks."""
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
    """Yield row numbers and digests of the valid rows whose first word belongs to a pass."""
    step = layout.shard_rows * max(1, _ROWS_READ // layout.shard_rows)
    for start in range(0, layout.rows, step):
        stop = min(start + step, layout.rows)
        words = np.asarray(stored[DIGEST][start:stop]).view(">u8").astype(np.uint64)
        pass_of = (words[:, 0] >> np.uint64(32)) * np.uint64(passes) >> np.uint64(32)
        selected = np.asarray(stored["valid"][start:stop]) & (pass_of == number)
        yield start + np.flatnonzero(selected), words[selected]


def _repeated(words: Words) -> npt.NDArray[np.int64]:
    """Return the positions of the digests that also occur earlier."""
    order = np.argsort(words[:, 0])
    alike = np.flatnonzero(words[order[1:], 0] == words[order[:-1], 0])
    is_suspect = np.zeros(len(words), np.bool_)
    is_suspect[order[alike]] = is_suspect[order[alike + 1]] = True
    # Usually few: only these are compared whole. Equal ones stay in the order of their rows.
    suspects = np.flatnonzero(is_suspect)
    suspects = suspects[np.lexsort(words[suspects].T)]
    sorted_ = words[suspects]
    repeated: npt.NDArray[np.int64] = suspects[1:][(sorted_[1:] == sorted_[:-1]).all(axis=1)]
    return repeated


def count_repeated_ids(target: Target, layout: StoreLayout, markers: Mapping[int, Marker]) -> int:
    """Count computed rows that have the same id as an earlier one.

    It takes eight bytes of memory per row, unless the ids ascend throughout.
    """
    ends = [marker.ascending for _, marker in sorted(markers.items())]
    if all(ends) and all(a[1] < b[0] for a, b in pairwise(end for end in ends if end)):
        return 0
    arrays = StoredArrays(target)
    ids = np.empty(layout.rows, np.int64)
    count = 0
    step = layout.shard_rows * max(1, _ROWS_READ // layout.shard_rows)
    for start in range(0, layout.rows, step):
        stop = min(start + step, layout.rows)
        read = np.asarray(arrays["id"][start:stop])
        known = np.asarray(arrays["id_valid"][start:stop]) & np.asarray(arrays["valid"][start:stop])
        if read.dtype != np.int64:
            read = np.fromiter(map(hash, read.tolist()), np.int64, len(read))
        read = read[known]
        ids[count : count + len(read)] = read
        count += len(read)
    ids = ids[:count]
    ids.sort()  # in place: np.unique holds the ids three times
    return int(np.count_nonzero(ids[1:] == ids[:-1]))
