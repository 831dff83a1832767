"""Connecting near-duplicates on the host: arguments of the loops in `compiled.bucket_loops`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .machine_code import Loop

Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

_connect = Loop("bucket_loops", "connect_similar")
_join = Loop("bucket_loops", "join")
_roots = Loop("bucket_loops", "roots")
_settle = Loop("bucket_loops", "settle")
_mark = Loop("bucket_loops", "mark")
_marked = Loop("bucket_loops", "marked")


def connect_similar(
    signatures: npt.NDArray[np.uint32],
    rows: Rows,
    members: Rows,
    starts: Rows,
    least: int,
    parents: Rows,
) -> None:
    """Connect the texts of each bucket whose signatures agree in enough values.

    All pairs of a bucket count, but a pair that is connected already is not compared: a bucket of
    m similar texts takes m comparisons, and one of m dissimilar texts m² / 2.

    Parameters
    ----------
    signatures : uint32 array, shape (texts, permutations)
    rows : int64 array, shape (texts,)
        The row of each signature.
    members : int64 array, shape (members,)
        Bucket after bucket, the positions of its texts in `signatures`.
    starts : int64 array, shape (buckets + 1,)
        Where each bucket begins in `members`.
    least : int
        Number of values in which signatures agree.
    parents : int64 array, shape (rows of the store,)
        A union-find forest, which is changed: the root of a tree is its lowest row.
    """
    largest = int(np.diff(starts).max(initial=0))
    scratch = np.empty((2, largest), np.int64)
    _connect(signatures, (rows, members, starts), least, scratch, parents)


def join(one: Rows, other: Rows, parents: Rows) -> None:
    """Connect pairs of rows in a union-find forest, which is changed."""
    _join(np.ascontiguousarray(one), np.ascontiguousarray(other), parents)


def roots_of(rows: Rows, parents: Rows) -> Rows:
    """Return the roots of rows in a union-find forest, and shorten the paths to them."""
    found = np.empty(len(rows), np.int64)
    _roots(np.ascontiguousarray(rows), parents, found)
    return found


def settle(parents: Rows) -> None:
    """Replace each row's parent by the root of its tree: the lowest row connected to it."""
    _settle(parents)


def mark(keys: Keys, bits: Keys) -> None:
    """Set the bit of each key, uint64 [n, bands], in a table, uint64 [a power of two]."""
    _mark(np.ascontiguousarray(keys), bits)


def marked(keys: Keys, bits: Keys) -> npt.NDArray[np.bool_]:
    """Return whether the bit of each key, uint64 [n, bands], is set: bool [bands, n].

    It is never set for the key 0 of texts without shingles.
    """
    found = np.empty(keys.shape[::-1], np.uint8)
    _marked(np.ascontiguousarray(keys), bits, found)
    return found.view(np.bool_)
