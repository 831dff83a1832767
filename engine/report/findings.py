"""`Findings`: the contents of a report as numbers and names; `wording` and `page` present them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any

from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.relocation import CorpusLocation
from ...storage.field import Field
from ...storage.store.history import Summary, Timeline, read_timeline
from ...storage.store.manifest import Manifest
from ...storage.store.reader import ResultsStore
from ..results.overview import Ranked, Status, StoredClimb, climbs_in, ranked, read_status
from .quarantined import Quarantined, count_quarantined
from .reading import Reading, read

MAX_TIMELINES = 4
"""Maximum number of runs whose timelines are drawn; the last ones are."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Statistics of a store, and the records of its runs."""

    status: Status
    summary: Summary | None  # None: the store is not complete
    manifest: Manifest
    blocks: Mapping[str, Any]  # descriptions of the graph's blocks, by name
    fields: tuple[Field, ...]  # every array that was written shard by shard
    index: CorpusIndex
    text_bytes: int  # of the texts in finished shards
    timelines: Mapping[int, Timeline]  # by number of the run, from 0; only runs that have one
    reading: Reading
    highest: list[Ranked]  # by `Reading.ranked_by`
    lowest: list[Ranked]
    quarantined: Quarantined
    climbs: tuple[StoredClimb, ...]
    made: datetime  # when the report was made, UTC


def find(
    results: str | PathLike[str],
    by: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    corpus: CorpusLocation | None = None,
) -> Findings:
    """Gather the contents of a report about a store.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    ColumnNotFound, UsageError
        See `reading.read`.
    """
    store = ResultsStore.open(results, storage_options, corpus)
    status = read_status(store)
    reading = read(store, by)
    runs = range(len(store.manifest.runs))
    timelines = {run: read_timeline(store.target, run) for run in runs[-MAX_TIMELINES:]}
    return Findings(
        status=status,
        summary=store.summary,
        manifest=store.manifest,
        blocks=store.blocks,
        fields=store.fields,
        index=store.index,
        text_bytes=sum(marker.text_bytes for marker in store.done.values()),
        timelines={run: timeline for run, timeline in timelines.items() if timeline},
        reading=reading,
        highest=ranked(store, reading.highest),
        lowest=ranked(store, reading.lowest),
        quarantined=count_quarantined(store),
        climbs=climbs_in(store.target),
        made=datetime.now(UTC),
    )
