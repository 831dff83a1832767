"""Later stages of an open store: begun or resumed, and what their tasks read and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...field import Field
from ...targets.target import Target
from ..keys import ROOT_KEY, stage_key
from ..layout import metadata
from ..leases.lease import LeaseTicket
from ..lifecycle import OpenStore
from ..shards import done_shards, leftovers
from .record import StageRecord, Stages, is_listed
from .reductions import has_all_objects, read_reduction_marker
from .store_metadata import labelled_arrays


def at_stage(store: OpenStore, record: StageRecord) -> OpenStore:
    """Return a store with the layout and the finished shards of a later stage; write nothing."""
    stages = store.stages.including(record)
    if record.is_reduction:
        return replace(store, stages=stages)
    layout = stages.layout(record)
    markers = done_shards(store.target, layout)
    done = {shard: marker for shard, marker in markers.items() if not marker.provisional}
    return replace(store, stages=stages, layout=layout, done=done)


def begin_stage(store: OpenStore, record: StageRecord, ticket: LeaseTicket) -> None:
    """Write what a later stage is computed from, unless the store has it, and remove leftovers.

    From then on, its blocks may not change. So it is called once they have worked.

    Parameters
    ----------
    store : OpenStore
        As `at_stage` returns it.

    Raises
    ------
    LeaseLost
        Another driver took over the store; `ticket` is that of its lease.
    """
    target, data = store.target, record.to_json()
    ticket.check(target)
    if target.get(stage_key(record.name)) != data:
        target.put(stage_key(record.name), data)
    if not record.is_reduction:
        target.delete(leftovers(target, store.layout, store.done))


def is_done(store: OpenStore, record: StageRecord) -> bool:
    """Return whether all objects of a stage exist, with the right sizes."""
    if record.is_reduction:
        marker = read_reduction_marker(store.target, record.name, store.stages.fingerprint(record))
        return marker is not None and has_all_objects(store.target, record.name, marker)
    layout = store.stages.layout(record)
    markers = done_shards(store.target, layout)
    return len(markers) == layout.shards and not any(one.provisional for one in markers.values())


def unlisted_metadata(target: Target, stages: Stages, names: Sequence[str]) -> dict[str, bytes]:
    """Return the metadata of the later passes of these names that are not listed, by key."""
    objects: dict[str, bytes] = {}
    for name in names:
        record = stages[name]
        if not record.is_reduction and not is_listed(target, record):
            objects |= array_metadata(record, (), stages.manifest.rows)
    return objects


def array_metadata(
    record: StageRecord, labelled: Sequence[Field], rows: int
) -> Mapping[str, bytes]:
    """Return the metadata of the arrays of a pass, by key."""
    made = metadata(labelled_arrays(record, labelled), rows, {})
    return {key: data for key, data in made.items() if key != ROOT_KEY}
