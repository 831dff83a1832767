"""The data behind the commands ``status`` and ``show``, read from a store without a cluster.

`climbs_in` lists a store's climbs for its report; `engine.climbing.pages` has all about them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ...storage.corpus.relocation import CorpusLocation
from ...storage.errors import ColumnNotFound
from ...storage.field import Field
from ...storage.store.duplicates import mark_fields
from ...storage.store.history import Summary
from ...storage.store.keys import CLIMBS, ROOT_KEY
from ...storage.store.leases.lease import current_owner
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import done_shards, forms_found
from ...storage.store.stages.record import StageRecord
from ...storage.store.stages.reductions import read_reduction_marker
from ...storage.targets.target import Target
from .extremes import Extremes
from .located import Located, located

RANKED_BY = "ambiguity_normalised"
"""The array that texts are ranked by, in stores that have it."""

ROWS_READ = 131_072
"""Rows read at once; a store is never held in memory as a whole."""


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """How much of a later stage is done."""

    name: str
    blocks: tuple[str, ...]
    is_reduction: bool
    listed: bool  # whether readers see it
    shards: int
    shards_done: int
    quarantined: int  # rows that it failed for


@dataclass(frozen=True, kw_only=True)
class Status:
    """How much of a store is done, and who is writing it."""

    results: str
    complete: bool
    rows: int
    shards: int
    shard_rows: int
    shards_done: int
    rows_done: int  # computed
    quarantined: int  # rows of finished shards
    files_unread: int
    writer: str | None  # the process that is writing it now
    created: str
    fingerprint: str
    not_nfc: int | None  # a row whose text NFC would change, if one was found
    not_nfd: int | None
    stages: tuple[StageStatus, ...] = ()  # the later ones


@dataclass(frozen=True)
class Ranked(Located):
    """A text with the value that it is ranked by."""

    value: float


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The contents of a store, and its highest-ranked texts."""

    status: Status
    summary: Summary | None
    arrays: dict[str, str]  # name to dtype and shape
    blocks: dict[str, list[str]]  # name to fields
    ranked_by: str | None  # None: no array has one number per text
    ranked: list[Ranked]


def status_of(
    results: str | PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Status:
    """Return how much of a store is done. Raises `ResultsNotFound`."""
    return read_status(ResultsStore.open(results, storage_options))


def read_status(store: ResultsStore) -> Status:
    """Return how much of an open store is done."""
    manifest, layout = store.manifest, store.layout
    markers, forms = store.done.values(), forms_found(store.done)
    owner = current_owner(store.target)
    return Status(
        results=store.url,
        complete=store.summary is not None,
        rows=manifest.rows,
        shards=layout.shards,
        shard_rows=manifest.shard_rows,
        shards_done=len(markers),
        rows_done=sum(marker.rows - marker.quarantined for marker in markers),
        quarantined=sum(marker.quarantined for marker in markers),
        files_unread=len(store.index.uncounted),
        writer=f"process {owner.pid} on {owner.host.split(' ')[0]}" if owner else None,
        created=manifest.created,
        fingerprint=manifest.fingerprint,
        not_nfc=forms.not_nfc,
        not_nfd=forms.not_nfd,
        stages=tuple(_stage_status(store, record) for record in store.stages),
    )


def _stage_status(store: ResultsStore, record: StageRecord) -> StageStatus:
    if record.is_reduction:
        fingerprint = store.stages.fingerprint(record)
        done = read_reduction_marker(store.target, record.name, fingerprint) is not None
        shards, shards_done, quarantined = 1, int(done), 0
    else:
        layout = store.stages.layout(record)
        markers = done_shards(store.target, layout)
        shards, shards_done = layout.shards, len(markers)
        quarantined = sum(marker.quarantined for marker in markers.values())
    return StageStatus(
        name=record.name,
        blocks=tuple(record.blocks),
        is_reduction=record.is_reduction,
        listed=record in store.listed,
        shards=shards,
        shards_done=shards_done,
        quarantined=quarantined,
    )


def overview(
    results: str | PathLike[str],
    *,
    by: str | None = None,
    top: int = 10,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Overview:
    """Return a store's schema and counts, and the `top` texts with the largest `by`.

    By default, texts are ranked by `RANKED_BY` or, in a store of other blocks, by the first array
    with one number per text, if there is one. The texts are read from `corpus`, if it is not where
    the last run found it.

    Raises
    ------
    ResultsNotFound
    ColumnNotFound
        `by` is not an array with one number per text.
    """
    store = ResultsStore.open(results, storage_options, corpus)
    status = read_status(store)
    manifest = store.manifest
    by = _ranked_by(store, by)
    ranking = next((field for field in store.computed if field.name == by), None)
    highest = _highest(store, ranking, top) if ranking else []
    fields = (*store.fields, *mark_fields(store.index.cleaning))
    graph = store.blocks.items()
    return Overview(
        status=status,
        summary=store.summary,
        arrays={f.name: f"{f.type_name} {[manifest.rows, *f.shape]}" for f in fields},
        blocks={name: list(block.get("fields", ())) for name, block in graph},
        ranked_by=by,
        ranked=ranked(store, highest),
    )


def _ranked_by(store: ResultsStore, by: str | None) -> str | None:
    numeric = [f.name for f in store.computed if not f.shape and f.is_number]
    if by is None:
        return RANKED_BY if RANKED_BY in numeric else next(iter(numeric), None)
    if by not in numeric:
        choice = f"choose one of: {', '.join(numeric)}" if numeric else "no array has such numbers"
        raise ColumnNotFound(f"no array {by!r} with one number per text to rank by; {choice}")
    return by


def _highest(store: ResultsStore, by: Field, top: int) -> list[tuple[int, float]]:
    extremes, arrays = Extremes(top), store.arrays
    for start in range(0, store.manifest.rows, ROWS_READ):
        stop = min(start + ROWS_READ, store.manifest.rows)
        rows = start + np.flatnonzero(arrays[store.mask_of(by.name)][start:stop])
        extremes.add(rows, arrays.numbers(by, start, stop)[rows - start])
    return extremes.highest


def ranked(store: ResultsStore, rows: Sequence[tuple[int, float]]) -> list[Ranked]:
    """Return the texts of some rows, each with the value that it is ranked by; see `located`."""
    found = located(store, [row for row, _ in rows])
    return [Ranked(**vars(one), value=value) for one, (_, value) in zip(found, rows, strict=True)]


@dataclass(frozen=True)
class StoredClimb:
    """A climb: its name, its best score if there is one, and how many candidates it evaluated."""

    name: str
    score: float | None
    evaluations: int


def climbs_in(target: Target) -> tuple[StoredClimb, ...]:
    """Return the climbs of a store, by name; those that cannot be read are left out."""
    keys = (key.split("/") for key in target.sizes(CLIMBS))
    names = sorted(parts[1] for parts in keys if len(parts) == 3 and parts[2] == ROOT_KEY)
    found = (_climb(target, name) for name in names)
    return tuple(one for one in found if one is not None)


def _climb(target: Target, name: str) -> StoredClimb | None:
    try:
        known = json.loads(target.get(f"{CLIMBS}/{name}/{ROOT_KEY}") or b"")["attributes"]
        return StoredClimb(name, known["best"]["score"], int(known["evaluations"]))
    except (ValueError, KeyError, TypeError):
        return None
