"""`clusters_of`: the connected components of similar texts, from band keys and signatures.

Keys are sorted band after band, by partitions that fit into the memory budget. Texts with equal
keys are compared by their signatures, unless they are connected already.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...graphs.kernels.cpu.buckets import join, mark, marked, settle
from .buckets import Buckets, buckets_of_band, gathered
from .key_blocks import KeyBlock, KeyBlocks, KnownBlock
from .key_partitions import Partitions
from .repeats import others, repeats_of
from .state import Clusters

_FILTER_BITS = 32
"""Bits per new key in the bit table that excludes most of the former keys."""

_GATHERED = 4
"""Divisor of the number of texts: buckets of so many are gathered from several bands before their
signatures are read. With fewer, most signatures would be read once per band."""

_log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]


class Verifier(Protocol):
    """Connects the texts of buckets that are similar enough."""

    rows: int
    """Maximum number of texts that are compared at once."""

    def connect(self, buckets: Buckets, parents: Rows) -> None:
        """Connect similar texts in a union-find forest over all rows, in place."""


class OutdatedClusters(Exception):
    """The keys of the store are no longer those from which its clusters were computed."""


def clusters_of(
    blocks: KeyBlocks,
    verifier: Verifier,
    settings: Mapping[str, Any],
    former: Clusters | None,
    memory: int,
    scratch: str | None = None,
) -> Clusters:
    """Return the clusters of all rows; only new rows are compared if there are former clusters.

    Parameters
    ----------
    memory : int
        Bytes for keys, signatures and the forest; see `near_duplicates`. A quarter each is for keys
        that are not in files yet, keys that are being sorted, the forest, and signatures.
    scratch : str, optional
        Folder for scratch files.
    """
    if former is not None and former.texts <= blocks.rows:
        try:
            return _clustered(blocks, verifier, former, memory, scratch)
        except OutdatedClusters:
            _log.warning("rows of the store have changed, so all of them are clustered anew")
    none = np.empty(0, np.int64)
    begun = Clusters(settings, (), none, none)
    return _clustered(blocks, verifier, begun, memory, scratch)


def _clustered(
    blocks: KeyBlocks, verifier: Verifier, former: Clusters, memory: int, scratch: str | None
) -> Clusters:
    if blocks.rows == former.texts:
        _require_unchanged(blocks, former)
        return former
    first_new = former.texts
    with tempfile.TemporaryDirectory(prefix="paninifs-", dir=scratch) as folder:
        parents = _forest(blocks.rows, former, memory, folder)
        with Partitions(blocks.bands, blocks.rows, memory // 2, folder) as partitions:
            known = _partition(blocks, former.known, partitions, parents, memory)
            _connect(partitions, verifier, parents, first_new)
        settle(parents)
        rows, clusters = _duplicates(parents)
        del parents  # before its file is removed
    return Clusters(former.settings, (*former.known, *known), rows, clusters)


def _connect(partitions: Partitions, verifier: Verifier, parents: Rows, first_new: int) -> None:
    """Connect the texts of all buckets.

    Of former clusters, one text each is compared first. The others are only compared, in the end,
    where this has not connected the whole bucket.
    """
    several: list[Buckets] = []

    def apart() -> Iterator[Buckets]:
        for band in range(partitions.bands):
            for found in buckets_of_band(partitions, band, first_new):
                left = found.unconnected(parents)
                if first_new:
                    left, more = left.by_tree(parents)
                    several.append(more)
                yield left

    enough = min(verifier.rows, max(len(parents) // _GATHERED, 1))
    for found in gathered(apart(), enough):
        verifier.connect(found.unconnected(parents), parents)
        several[:] = (left for more in several if len(left := more.unconnected(parents)))
        if sum(len(more.rows) for more in several) >= verifier.rows:
            _connect_gathered(several, verifier, parents)
            several.clear()
    _connect_gathered(several, verifier, parents)


def _connect_gathered(several: Sequence[Buckets], verifier: Verifier, parents: Rows) -> None:
    for found in gathered(several, verifier.rows):
        verifier.connect(found.unconnected(parents), parents)


def _require_unchanged(blocks: KeyBlocks, former: Clusters) -> None:
    spans = [(one.start, one.stop) for one in former.known]
    for block, expected in zip(blocks.read(spans), former.known, strict=True):
        _require_same(block, expected)


def _require_same(block: KeyBlock, expected: KnownBlock) -> None:
    if block.known != expected:
        raise OutdatedClusters


def _forest(rows: int, former: Clusters, memory: int, folder: str) -> Rows:
    """Return a union-find forest of the former clusters, in a file if it does not fit in memory."""
    if rows * 8 <= memory // 4:
        parents: Rows = np.arange(rows, dtype=np.int64)
    else:
        parents = np.memmap(f"{folder}/forest", np.int64, "w+", shape=(rows,))
        for start in range(0, rows, 1 << 20):
            parents[start : start + (1 << 20)] = np.arange(start, min(start + (1 << 20), rows))
    parents[former.rows] = former.clusters
    return parents


def _duplicates(parents: Rows) -> tuple[Rows, Rows]:
    """Return the rows of a settled forest that are not roots, and their roots."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(parents), 1 << 20):
        part = parents[start : start + (1 << 20)]
        found.append(start + np.flatnonzero(part != np.arange(start, start + len(part))))
    rows = np.concatenate(found)
    return rows, np.asarray(parents[rows])


# --- partitioning ---------------------------------------------------------------------------------


def _partition(
    blocks: KeyBlocks,
    known: Sequence[KnownBlock],
    partitions: Partitions,
    parents: Rows,
    memory: int,
) -> list[KnownBlock]:
    """Add to the partitions the keys of new rows, and former keys that may equal them.

    Returns
    -------
    list of KnownBlock
        The blocks of the new rows.

    Raises
    ------
    OutdatedClusters
        The keys of known blocks have changed.
    """
    new_spans = blocks.spans(known[-1].stop if known else 0)
    made = []
    table = _table(memory, sum(stop - start for start, stop in new_spans) * blocks.bands)
    for block in blocks.read(new_spans):
        made.append(block.known)
        repeats, leading = repeats_of(blocks, block)
        join(repeats, leading, parents)
        rows = others(block, repeats)
        if known:
            mark(block.keys[rows], table)
        for band, keys in enumerate(block.keys[rows].T):
            partitions.add(band, *_filled(keys, rows + block.start))
    spans = [(one.start, one.stop) for one in known]
    for block, expected in zip(blocks.read(spans), known, strict=True):
        _require_same(block, expected)
        for band, hits in enumerate(marked(block.keys, table)):
            rows = np.flatnonzero(hits)
            partitions.add(band, block.keys[rows, band], rows + block.start)
    return made


def _table(memory: int, keys: int) -> npt.NDArray[np.uint64]:
    """Return an empty table of bits, by which keys that were not added are excluded."""
    words = 1 << max(keys * _FILTER_BITS // 64 - 1, 1).bit_length()
    while words * 8 > max(memory // 4, 1 << 10):
        words //= 2
    return np.zeros(words, np.uint64)


def _filled(keys: npt.NDArray[np.uint64], rows: Rows) -> tuple[npt.NDArray[np.uint64], Rows]:
    """Leave out texts without shingles, and rows that have no results."""
    there = keys != 0
    return keys[there], rows[there]
