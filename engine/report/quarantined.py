"""`count_quarantined`: quarantined rows counted by reason, for finished and unfinished stores."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from ...storage.store.keys import QUARANTINE_KEY, quarantine_key
from ...storage.store.quarantine import QuarantinedRows
from ...storage.store.reader import ResultsStore

MAX_ENTRIES = 20
"""Maximum number of entries that a report shows."""

MAX_REASONS = 1_000
"""Maximum number of reasons counted separately: some contain a number that differs per row."""

_ENTRIES_READ = 65_536


@dataclass(frozen=True)
class Quarantined:
    """Rows for which no result was computed."""

    rows: int
    reasons: tuple[tuple[str, int], ...]  # reason and rows, the most frequent first
    rest: int  # rows whose reason was found after `MAX_REASONS` others
    first: tuple[QuarantinedRows, ...]


def count_quarantined(store: ResultsStore) -> Quarantined:
    """Count the quarantined rows of a store, reading one entry at a time."""
    counts: Counter[str] = Counter()
    first: list[QuarantinedRows] = []
    rest = 0
    for entry in _entries(store):
        if len(first) < MAX_ENTRIES:
            first.append(entry)
        if entry.reason in counts or len(counts) < MAX_REASONS:
            counts[entry.reason] += entry.rows
        else:
            rest += entry.rows
    return Quarantined(counts.total() + rest, tuple(counts.most_common()), rest, tuple(first))


def _entries(store: ResultsStore) -> Iterator[QuarantinedRows]:
    # Only a complete store has all entries in one object that is up to date.
    done = sorted(store.done.items())
    keys = [quarantine_key(shard) for shard, marker in done if marker.quarantined]
    for data in map(store.target.get, [QUARANTINE_KEY] if store.summary else keys):
        if not data:
            continue
        for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(_ENTRIES_READ):
            for row in batch.to_pylist():
                if row["row"] is not None:  # None: a whole file, whose rows were never counted
                    yield QuarantinedRows(**row)
