"""`count_quarantined`: quarantined rows counted by reason, for finished and unfinished stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...storage.store.quarantine import QuarantinedRows
from ...storage.store.reader import ResultsStore
from ..results.quarantine import quarantine_batches

MAX_ENTRIES = 20
"""Maximum number of entries that a report shows."""

MAX_REASONS = 1_000
"""Maximum number of reasons counted separately: some contain a number that differs per row."""


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
    for batch in quarantine_batches(store):
        for row in batch.to_pylist():
            if row["row"] is not None:  # None: a whole file, whose rows were never counted
                yield QuarantinedRows(**row)
