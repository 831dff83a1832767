"""What `status` and `show` tell of a store: plain data, read without a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ...storage.errors import ColumnNotFound
from ...storage.store.duplicates import mark_fields
from ...storage.store.lease import current_owner
from ...storage.store.lifecycle import Summary
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import met_forms
from .extremes import Extremes
from .located import Located, located

ROWS_READ = 131_072
"""At once: no store is held as a whole."""


@dataclass(frozen=True)
class Status:
    """How far a store is."""

    results: str
    complete: bool
    rows: int
    shards: int
    shard_rows: int
    shards_done: int
    rows_done: int  # computed
    quarantined: int  # rows, of the shards that are done
    files_unread: int
    writer: str | None  # who writes it now
    created: str
    fingerprint: str
    not_nfc: int | None  # a row whose text NFC would change, if such a one was met
    not_nfd: int | None


@dataclass(frozen=True)
class Ranked(Located):
    """A text, and why it is shown."""

    value: float


@dataclass(frozen=True)
class Overview:
    """What is in a store."""

    status: Status
    summary: Summary | None
    arrays: dict[str, str]  # name to dtype and shape
    blocks: dict[str, list[str]]  # name to fields
    ranked_by: str
    ranked: list[Ranked]


def status_of(
    results: str | PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Status:
    """Return how much of a store is done. Raises `ResultsNotFound`."""
    return read_status(ResultsStore.open(results, storage_options))


def read_status(store: ResultsStore) -> Status:
    """Return how much of an open store is done."""
    manifest, layout = store.manifest, store.layout
    markers, forms = store.done.values(), met_forms(store.done)
    owner = current_owner(store.target)
    return Status(
        store.url,
        store.summary is not None,
        manifest.rows,
        layout.shards,
        manifest.shard_rows,
        len(markers),
        sum(marker.rows - marker.quarantined for marker in markers),
        sum(marker.quarantined for marker in markers),
        len(store.index.unlisted),
        f"process {owner.pid} on {owner.host.split(' ')[0]}" if owner else None,
        manifest.created,
        manifest.fingerprint,
        forms.not_nfc,
        forms.not_nfd,
    )


def overview(
    results: str | PathLike[str],
    *,
    by: str = "ambiguity_normalised",
    top: int = 10,
    storage_options: Mapping[str, Any] | None = None,
) -> Overview:
    """Return a store's schema, counts, and the `top` texts with the largest `by`.

    Raises
    ------
    ResultsNotFound
    ColumnNotFound
        `by` is no array with one number a text.
    """
    store = ResultsStore.open(results, storage_options)
    status = read_status(store)
    manifest, arrays = store.manifest, store.arrays
    numeric = [f.name for f in manifest.fields if not f.shape and f.dtype != "string"]
    if by not in numeric:
        raise ColumnNotFound(f"no array {by!r} to rank by; there are: {', '.join(numeric)}")
    extremes = Extremes(top)
    for start in range(0, manifest.rows, ROWS_READ):
        stop = min(start + ROWS_READ, manifest.rows)
        rows = start + np.flatnonzero(arrays["valid"][start:stop])
        extremes.add(rows, np.asarray(arrays[by][start:stop])[rows - start])
    fields = (*store.layout.fields, *mark_fields(store.index.cleaning))
    return Overview(
        status,
        store.summary,
        {f.name: f"{f.dtype} {[manifest.rows, *f.shape]}" for f in fields},
        {name: list(block["fields"]) for name, block in manifest.facts["graph"].items()},
        by,
        ranked(store, extremes.highest),
    )


def ranked(store: ResultsStore, rows: Sequence[tuple[int, float]]) -> list[Ranked]:
    """Return the texts of some rows, each with the value that it is ranked by; see `located`."""
    found = located(store, [row for row, _ in rows])
    return [Ranked(**vars(one), value=value) for one, (_, value) in zip(found, rows, strict=True)]
