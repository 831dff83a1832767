"""What was set aside, counted by its reason: of a store that is finished, or of one that is not."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow.parquet as pq

from ...storage.store.keys import QUARANTINE_KEY, quarantine_key
from ...storage.store.quarantine import QuarantinedRows
from ...storage.store.shards import Marker
from ...storage.targets.target import Target

FIRST = 20
"""Entries that are shown."""

REASONS = 1_000
"""Reasons that are told apart: some name a number, and each row has another."""

_ENTRIES_READ = 65_536


@dataclass(frozen=True)
class SetAside:
    """Rows that no result was computed for."""

    rows: int
    reasons: tuple[tuple[str, int], ...]  # and rows, the most frequent first
    rest: int  # rows whose reason came after `REASONS` others
    first: tuple[QuarantinedRows, ...]


def set_aside(target: Target, markers: Mapping[int, Marker], *, complete: bool) -> SetAside:
    """Count the rows that were set aside, an entry at a time.

    Parameters
    ----------
    markers : mapping
        Of the shards that are done.
    complete : bool
        Whether the store is: only then its quarantine is gathered in one place, and up to date.
    """
    counts: Counter[str] = Counter()
    first: list[QuarantinedRows] = []
    rest = 0
    for entry in _entries(target, markers, complete):
        if len(first) < FIRST:
            first.append(entry)
        if entry.reason in counts or len(counts) < REASONS:
            counts[entry.reason] += entry.rows
        else:
            rest += entry.rows
    return SetAside(counts.total() + rest, tuple(counts.most_common()), rest, tuple(first))


def _entries(
    target: Target, markers: Mapping[int, Marker], complete: bool
) -> Iterator[QuarantinedRows]:
    keys = [quarantine_key(shard) for shard, one in sorted(markers.items()) if one.quarantined]
    for data in map(target.get, [QUARANTINE_KEY] if complete else keys):
        if not data:
            continue
        for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(_ENTRIES_READ):
            for row in batch.to_pylist():
                if row["row"] is not None:  # else a whole file, whose rows nobody counted
                    yield QuarantinedRows(**row)
