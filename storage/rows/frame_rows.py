"""`FrameRows`: the rows of a partition of a dask frame, and `FrameContent`, which brings them.

A partition is a file of a corpus that is on no filesystem: a task that reads it has received it
from dask. How frames become such files is in `corpus.tables.frame_parts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

SCHEME = "frame"
"""Prefix of the URLs of partitions, which no filesystem has."""


@dataclass(frozen=True)
class FrameRows:
    """The rows of a partition: the columns that a run reads, and the digest of their values."""

    table: pa.Table
    digest: str
    nbytes: int  # of the values


class FrameContent:
    """Where this process finds the rows of a partition.

    It is not pickled with its file, because every process finds the rows in a way of its own.

    Parameters
    ----------
    load : callable
        Returns the rows. Called whenever they are read.
    """

    def __init__(self, load: Callable[[], FrameRows]) -> None:
        self._load = load

    def rows(self) -> FrameRows:
        """Return the rows, which may be computed for it."""
        return self._load()

    def __reduce__(self) -> tuple[object, ...]:
        return _elsewhere, ()


def _elsewhere() -> None:
    """Return what another process knows of the rows: nothing."""
