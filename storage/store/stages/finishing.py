"""`finish`: checks and counts what a run has made, and shows it to readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ...field import Field
from ..duplicates import count_repeated_ids, mark_duplicates
from ..history import RunRecord, Summary, Timeline
from ..keys import QUARANTINE_KEY, ROOT_KEY, quarantine_key, timeline_key
from ..layout import with_attributes
from ..leases.lease import LeaseTicket
from ..lifecycle import OpenStore
from ..manifest import replace_manifest
from ..quarantine import join, to_parquet, unread_files
from ..shards import Marker, done_shards, forms_found, leftovers
from .store_metadata import store_metadata, write_changed


def finish(
    store: OpenStore,
    ticket: LeaseTicket,
    history: tuple[RunRecord, Timeline] | None = None,
    fields: tuple[Sequence[Field], Sequence[Field]] | None = None,
    known: Summary | None = None,
) -> Summary:
    """Check and count the shards, write the quarantine, and mark the store complete.

    Until then, readers see none of the stages that the run has added.

    Parameters
    ----------
    store : OpenStore
        The store, with the layout of the first stage.
    fields : tuple of sequence of Field, optional
        Fields of the first stage and of later ones, with their labels, if any are to be listed.
    known : Summary, optional
        Summary of the first stage, if it was complete before.
    history : tuple of RunRecord and Timeline, optional
        Record and timeline of the run that finishes the store; None if it had nothing to compute.

    Raises
    ------
    LeaseLost
        Another driver took over the store.
    RuntimeError
        Shards are missing, or the counts do not add up: a bug in the engine.
    """
    target, layout = store.target, store.layout
    markers = done_shards(target, layout)
    if len(markers) != layout.shards or sum(m.rows for m in markers.values()) != layout.rows:
        missing = sorted(set(range(layout.shards)) - set(markers))
        raise RuntimeError(
            f"{target.url}: shards {missing[:5]} are missing, or rows are, although no task "
            "failed; this is a bug in the engine"
        )
    summary = known or _summary(store, markers)
    if known is None:
        _write_quarantine(store, markers)
    ran, lacking = _counts_of_later(store, markers)
    summary = replace(summary, ran=ran, missing=lacking)
    ticket.check(target)
    if history and history[0].retries:  # a worker that died may have left a temporary file
        target.delete(leftovers(target, layout, markers))
    counts = summary.to_json()
    _record_history(store, counts, history)
    root = store.root
    if fields is not None and store.stages.records:
        objects = store_metadata(target, store.stages, store.index, fields, store.stages.records)
        root = objects.pop(ROOT_KEY)
        write_changed(target, objects)
    target.put(ROOT_KEY, with_attributes(root, complete=True, summary=counts))
    return summary


def _summary(store: OpenStore, markers: Mapping[int, Marker]) -> Summary:
    """Count what the shards hold; write the array of duplicates, if it is requested."""
    target, layout, index = store.target, store.layout, store.index
    quarantined = sum(marker.quarantined for marker in markers.values())
    forms = forms_found(markers)
    return Summary(
        results=target.url,
        rows=layout.rows,
        done=layout.rows - quarantined,
        quarantined=quarantined,
        files_unread=len(index.uncounted),
        null_ids=sum(marker.null_ids for marker in markers.values()),
        repeated_ids=count_repeated_ids(target, layout, markers) if index.id else 0,
        shards=layout.shards,
        text_bytes=sum(marker.text_bytes for marker in markers.values()),
        duplicates=mark_duplicates(target, layout) if index.cleaning.duplicates else None,
        not_nfc=forms.not_nfc,
        not_nfd=forms.not_nfd,
    )


def _write_quarantine(store: OpenStore, markers: Mapping[int, Marker]) -> None:
    """Write the rows that the first stage has quarantined, or remove the object if it has none."""
    target = store.target
    if any(marker.quarantined for marker in markers.values()) or store.index.uncounted:
        shards = [shard for shard, marker in sorted(markers.items()) if marker.quarantined]
        parts = (target.get(quarantine_key(shard)) or b"" for shard in shards)
        target.put(QUARANTINE_KEY, join(chain([to_parquet(unread_files(store.index))], parts)))
    else:
        target.delete([QUARANTINE_KEY])  # of an earlier run whose quarantine was provisional


def _counts_of_later(
    store: OpenStore, markers: Mapping[int, Marker]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of texts that conditional blocks ran for, and that later passes lack.

    Raises
    ------
    RuntimeError
        Shards of a later pass are missing: a bug in the engine.
    """
    ran: Counter[str] = Counter()
    missing = {}
    for marker in markers.values():
        ran.update(marker.ran)
    for record in store.stages:
        if record.is_reduction:
            continue
        layout = store.stages.layout(record)
        later = done_shards(store.target, layout)
        if len(later) != layout.shards:
            raise RuntimeError(
                f"{store.target.url}: shards of the stage {record.name!r} are missing, although no "
                "task failed; this is a bug in the engine"
            )
        for marker in later.values():
            ran.update(marker.ran)
        if lacking := sum(marker.quarantined for marker in later.values()):
            missing[record.name] = lacking
    return dict(ran), missing


def _record_history(
    store: OpenStore, counts: Mapping[str, Any], history: tuple[RunRecord, Timeline] | None
) -> None:
    """Write the counts and the run's record to the manifest, and its timeline beside it."""
    manifest = replace(store.manifest, summary=counts)
    if history is not None:
        record, timeline = history
        store.target.put(timeline_key(len(manifest.runs)), timeline.to_json())
        manifest = replace(manifest, runs=(*manifest.runs, record))
    if manifest != store.manifest:
        replace_manifest(store.target, manifest.to_json())
