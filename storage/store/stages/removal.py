"""`remove_stage`: removes a later stage from a store, which stays valid if this is interrupted."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...targets.target import Target
from ..keys import REDUCTIONS, ROOT_KEY, reduction_folder, stage_folder, stage_key
from ..leases.lease import LeaseTicket
from ..manifest import read_manifest, replace_manifest
from .record import StageRecord


def remove_stage(
    target: Target, record: StageRecord, others: Container[str], ticket: LeaseTicket
) -> None:
    """Remove a later stage; readers stop seeing it first, and its record goes last.

    Parameters
    ----------
    others : container of str
        Names of arrays that other stages have, such as the labels of a shared dimension.

    Raises
    ------
    LeaseLost
        Another process took over the store; `ticket` is that of its lease.
    """
    folder = reduction_folder(record.name)
    names = record.names - {name for name in record.names if name in others}
    members = {folder} if record.is_reduction else names
    ticket.check(target)
    root = target.get(ROOT_KEY)
    if root is not None:
        target.put(ROOT_KEY, _without(root, members, record))
    manifest = read_manifest(target)
    if manifest is not None and manifest.summary is not None:
        summary = _counts_without(manifest.summary, record)
        if summary != manifest.summary:
            replace_manifest(target, replace(manifest, summary=summary).to_json())
    ticket.check(target)
    target.delete([record.listing_key])
    keys = [key for name in sorted(members) for key in target.sizes(name)]
    own = [key for key in target.sizes(stage_folder(record.name)) if key != stage_key(record.name)]
    target.delete(own)  # a shard without its marker does not exist
    target.delete(keys)
    target.delete([stage_key(record.name)])


def _without(root: bytes, members: Container[str], record: StageRecord) -> bytes:
    """Return the root's metadata without some arrays and groups, and without their counts."""
    document = json.loads(root)
    consolidated = document.get("consolidated_metadata") or {}
    consolidated["metadata"] = {
        key: value
        for key, value in (consolidated.get("metadata") or {}).items()
        if not any(name in members for name in _prefixes(key))
    }
    attributes = document["attributes"]
    left = [name for name in attributes.get(REDUCTIONS, ()) if name != record.name]
    if left:
        attributes[REDUCTIONS] = left
    elif attributes.pop(REDUCTIONS, None) is not None:
        consolidated["metadata"].pop(REDUCTIONS, None)
    if isinstance(attributes.get("summary"), dict):
        attributes["summary"] = _counts_without(attributes["summary"], record)
    return json.dumps(document, indent=2).encode()


def _prefixes(key: str) -> Iterator[str]:
    parts = key.split("/")
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])


def _counts_without(counts: Mapping[str, Any], record: StageRecord) -> dict[str, Any]:
    """Return the counts of a store without those of a stage."""
    left = dict(counts)
    for name, gone in (("ran", record.blocks), ("missing", {record.name})):
        known = {key: value for key, value in left.get(name, {}).items() if key not in gone}
        if known:
            left[name] = known
        else:
            left.pop(name, None)
    return left
