"""`Findings`: everything that a report says, as numbers and names; not how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any

from ...storage.corpus.index import CorpusIndex
from ...storage.store.history import Timeline, read_timeline
from ...storage.store.lifecycle import Summary
from ...storage.store.manifest import Manifest
from ...storage.store.reader import ResultsStore
from ..results.overview import Ranked, Status, ranked, read_status
from .quarantined import SetAside, set_aside
from .reading import Reading, read

LINES = 4
"""Runs that are drawn, at most: the last ones."""


@dataclass(frozen=True)
class Findings:
    """What a store holds, and what it remembers of its runs."""

    status: Status
    summary: Summary | None  # None: it is not complete
    manifest: Manifest
    index: CorpusIndex
    text_bytes: int  # of the texts of the shards that are done
    timelines: Mapping[int, Timeline]  # by run, counted from 0; of those that have one
    reading: Reading
    highest: list[Ranked]  # the most ambiguous texts
    lowest: list[Ranked]
    set_aside: SetAside
    made: datetime  # the report, UTC


def find(
    results: str | PathLike[str],
    by: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Findings:
    """Gather what a report of a store says.

    Raises
    ------
    ResultsNotFound
    ColumnNotFound, UsageError
        See `reading.read`.
    """
    store = ResultsStore.open(results, storage_options)
    status = read_status(store)
    reading = read(store, by)
    runs = range(len(store.manifest.runs))
    lines = {run: read_timeline(store.target, run) for run in runs[-LINES:]}
    return Findings(
        status,
        store.summary,
        store.manifest,
        store.index,
        sum(marker.text_bytes for marker in store.done.values()),
        {run: line for run, line in lines.items() if line},
        reading,
        ranked(store, reading.highest),
        ranked(store, reading.lowest),
        set_aside(store.target, store.done, complete=status.complete),
        datetime.now(UTC),
    )
