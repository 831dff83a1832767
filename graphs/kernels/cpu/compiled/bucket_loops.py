"""Loops that connect near-duplicates in a union-find forest whose roots are the lowest rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .numba_compiler import inlined, loop


@inlined
def _root(parents: Any, row: Any) -> Any:
    """Return the root of a row, and halve the path to it."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@inlined
def _unite(parents: Any, one: Any, other: Any) -> None:
    """Put two trees together under the lower one of two roots."""
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@inlined
def _agreeing(signatures: Any, one: Any, other: Any) -> Any:
    """Return in how many values two signatures agree."""
    agreeing = 0
    for k in range(signatures.shape[1]):
        agreeing += signatures[one, k] == signatures[other, k]
    return agreeing


@loop
def connect_similar(signatures: Any, buckets: Any, least: int, scratch: Any, parents: Any) -> None:
    """Connect the similar texts of each bucket; see `kernels.cpu.buckets`.

    Within a bucket, a search goes from text to text. `waiting` holds the texts that are not
    connected yet; those that are found go to `found`, and the search continues from each of them.
    """
    rows, members, starts = buckets
    waiting, found = scratch[0], scratch[1]
    for bucket in range(len(starts) - 1):
        left = starts[bucket + 1] - starts[bucket]
        for i in range(left):
            waiting[i] = members[starts[bucket + 1] - 1 - i]
        while left > 1:
            left -= 1
            found[0] = waiting[left]
            begun, ended = 0, 1
            while begun < ended and left > 0:
                here = found[begun]
                begun += 1
                kept = 0
                for i in range(left):
                    there = waiting[i]
                    one, other = _root(parents, rows[here]), _root(parents, rows[there])
                    if one == other or _agreeing(signatures, here, there) >= least:
                        if one != other:
                            _unite(parents, one, other)
                        found[ended] = there
                        ended += 1
                    else:
                        waiting[kept] = there
                        kept += 1
                left = kept


@loop
def join(one: Any, other: Any, parents: Any) -> None:
    """Connect pairs of rows."""
    for i in range(len(one)):
        first, second = _root(parents, one[i]), _root(parents, other[i])
        if first != second:
            _unite(parents, first, second)


@loop
def roots(rows: Any, parents: Any, found: Any) -> None:
    """Write the root of each row."""
    for i in range(len(rows)):
        found[i] = _root(parents, rows[i])


@loop
def settle(parents: Any) -> None:
    """Replace each parent by its root: a parent is a lower row, so its own is settled already."""
    for row in range(len(parents)):
        parents[row] = parents[parents[row]]


@loop
def mark(keys: Any, bits: Any) -> None:
    """Set the bit of each key; its lowest bits are the position."""
    mask = np.uint64(64 * len(bits) - 1)
    for i in range(keys.shape[0]):
        for band in range(keys.shape[1]):
            at = keys[i, band] & mask
            bits[at >> np.uint64(6)] |= np.uint64(1) << (at & np.uint64(63))


@loop
def marked(keys: Any, bits: Any, found: Any) -> None:
    """Write whether the bit of each key is set; never for the key 0."""
    mask = np.uint64(64 * len(bits) - 1)
    for i in range(keys.shape[0]):
        for band in range(keys.shape[1]):
            at = keys[i, band] & mask
            bit = bits[at >> np.uint64(6)] >> (at & np.uint64(63))
            found[band, i] = (bit & np.uint64(1)) != 0 and keys[i, band] != 0
