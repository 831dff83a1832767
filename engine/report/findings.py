"""`Findings`: everything that a report says, as numbers and names; not how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any

from ...storage.corpus.index import CorpusIndex
from ...storage.store.dataset import StoredArrays
from ...storage.store.history import Timeline, read_timeline
from ...storage.store.lifecycle import Summary, read_summary
from ...storage.store.manifest import Manifest, read_index, require_manifest
from ...storage.store.shards import done_shards
from ...storage.targets.open import open_target
from ..results.overview import Ranked, Status, ranked, status_of
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
    status = status_of(results, storage_options)
    target = open_target(results, storage_options)
    manifest = require_manifest(target)
    index = read_index(target, manifest)
    markers = done_shards(target, manifest.layout(index))
    arrays = StoredArrays(target)
    reading = read(arrays, manifest, index, by, done=sorted(markers))
    runs = range(len(manifest.runs))
    lines = {run: read_timeline(target, run) for run in runs[-LINES:]}
    return Findings(
        status,
        read_summary(target),
        manifest,
        index,
        sum(marker.text_bytes for marker in markers.values()),
        {run: line for run, line in lines.items() if line},
        reading,
        ranked(reading.highest, index, arrays, storage_options),
        ranked(reading.lowest, index, arrays, storage_options),
        set_aside(target, markers, complete=status.complete),
        datetime.now(UTC),
    )
