"""`Buckets`: groups of texts with an equal key in one band, which are candidates for duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...graphs.kernels.cpu.buckets import roots_of
from .key_partitions import Entries, Partitions

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Buckets:
    """Groups of two or more rows: group i is ``rows[starts[i]:starts[i + 1]]``."""

    rows: Rows
    starts: Rows

    @classmethod
    def of(cls, entries: Entries, first_new: int = 0) -> Buckets:
        """Return the groups of entries with equal keys, with at least one row from a first one on.

        Examples
        --------
        >>> from .key_partitions import ENTRY
        >>> found = Buckets.of(np.array([(7, 0), (9, 1), (7, 2), (9, 3), (8, 4)], ENTRY), 3)
        >>> found.rows.tolist(), found.starts.tolist()
        ([1, 3], [0, 2])
        """
        order = np.argsort(entries["key"])
        keys, rows = entries["key"][order], entries["row"][order]
        edges = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        sizes = np.diff(edges, append=len(keys))
        if not len(keys):
            return cls(rows, np.zeros(1, np.int64))
        wanted = (sizes > 1) & (np.maximum.reduceat(rows, edges) >= first_new)
        return cls(rows, edges)._chosen(sizes, wanted)

    def _chosen(self, sizes: Rows, wanted: npt.NDArray[np.bool_]) -> Buckets:
        rows = self.rows[np.repeat(wanted, sizes)]
        return Buckets(rows, np.concatenate([[0], np.cumsum(sizes[wanted])]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def unconnected(self, parents: Rows) -> Buckets:
        """Return the groups whose rows are not yet all in one tree of a forest."""
        if not len(self):
            return self
        roots, starts = roots_of(self.rows, parents), self.starts[:-1]
        apart = np.minimum.reduceat(roots, starts) != np.maximum.reduceat(roots, starts)
        return self._chosen(np.diff(self.starts), apart)

    def by_tree(self, parents: Rows) -> tuple[Buckets, Buckets]:
        """Return the groups with one row per tree, and those groups that had more rows.

        Examples
        --------
        >>> groups = Buckets(np.array([4, 1, 0, 5, 3]), np.array([0, 3, 5]))
        >>> ones, more = groups.by_tree(np.array([0, 0, 2, 3, 4, 5]))
        >>> ones.rows.tolist(), ones.starts.tolist(), more.rows.tolist()
        ([0, 4, 3, 5], [0, 2, 4], [4, 1, 0])
        """
        sizes = np.diff(self.starts)
        group = np.repeat(np.arange(len(self)), sizes)
        roots = roots_of(self.rows, parents)
        order = np.lexsort((self.rows, roots, group))
        first = np.diff(roots[order], prepend=-1) != 0
        first |= np.diff(group[order], prepend=-1) != 0
        ones = np.bincount(group[order][first], minlength=len(self))
        starts = np.concatenate([[0], np.cumsum(ones)]).astype(np.int64)
        return Buckets(self.rows[order][first], starts), self._chosen(sizes, ones < sizes)

    def batches(self, rows: int) -> Iterator[Buckets]:
        """Yield the groups in batches of about `rows` rows; a larger group is on its own."""
        start = 0
        while start < len(self):
            most = self.starts[start] + rows
            stop = int(np.searchsorted(self.starts, most, "right")) - 1
            stop = max(stop, start + 1)
            first, last = self.starts[start], self.starts[stop]
            yield Buckets(self.rows[first:last], self.starts[start : stop + 1] - first)
            start = stop


def gathered(found: Iterable[Buckets], rows: int) -> Iterator[Buckets]:
    """Join buckets into fewer objects, each of at least `rows` rows except the last."""
    held: list[Buckets] = []
    for one in found:
        held.append(one)
        if sum(len(other.rows) for other in held) >= rows:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(parts: Sequence[Buckets]) -> Buckets:
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Buckets(np.concatenate([part.rows for part in parts]), starts)


def buckets_of_band(partitions: Partitions, band: int, first_new: int = 0) -> Iterator[Buckets]:
    """Yield the buckets of a band, partition by partition; the entries are dropped."""
    for part in range(partitions.parts):
        found = Buckets.of(partitions.take(band, part), first_new)
        if len(found):
            yield found
