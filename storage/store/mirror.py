"""A mirror: a second target to which the shards of a store are copied, verified and in order.

So at any moment a mirror is itself a store, with the shards copied so far, and a run can resume
from it alone. When shards are copied, and by which threads, is decided in `engine.run.mirroring`.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..corpus.corpus import Corpus
from ..errors import ResultsMismatch, RunFailed
from ..filesystems.retry import retried
from ..targets.local import is_temporary
from ..targets.target import Target
from .digests import is_unchanged
from .extension import Existing, in_known_terms, refuse_mismatch
from .keys import (
    MANIFEST_KEY,
    QUARANTINE_KEY,
    ROOT_KEY,
    SPARE_MANIFEST_KEY,
    is_lease,
    is_ours,
    marker_key,
    shard_of,
    stage_key,
    timeline_key,
)
from .layout import with_attributes
from .leases.lease import LeaseTicket
from .lifecycle import OpenStore
from .manifest import finish_replacement, read_index, read_manifest, replace_manifest, stale_indexes
from .shards import StoreLayout, done_shards, leftovers, read_marker
from .stages.record import StageRecord, Stages
from .stages.reductions import read_reduction_marker

_log = logging.getLogger(__name__)

COPIES = 4
"""Number of shards copied at the same time."""


def refuse_other_mirror(
    mirror: Target,
    target: Target,
    *,
    corpus: Corpus,
    facts: Mapping[str, Any],
    shard_rows: int | None,
    existing: Existing,
) -> None:
    """Raise `ResultsMismatch` unless a mirror holds the store, or an earlier stage of it."""
    manifest, mirrored = read_manifest(target), read_manifest(mirror)
    if manifest and mirrored:
        stages = (stage.fingerprint for stage in manifest.stages)
        if mirrored.fingerprint in (manifest.fingerprint, *stages):
            return
    if mirrored and existing != "discard":
        _, facts = in_known_terms(mirror, mirrored, corpus, facts)
    refuse_mismatch(mirror, facts, shard_rows, existing)


def restore(mirror: Target, target: Target, ticket: LeaseTicket) -> int:
    """Copy the shards that a store lacks from its mirror; return their number.

    A target that holds other results, or another stage of the same corpus, is left alone. A shard
    that is damaged in the mirror loses its marker there, and is computed again.

    Raises
    ------
    LeaseLost
        Another driver took over the store; `ticket` is that of the store's lease.
    """
    finish_replacement(mirror)
    manifest, own = read_manifest(mirror), read_manifest(target)
    if manifest is None or (own is not None and own.fingerprint != manifest.fingerprint):
        return 0
    if own is None or len(manifest.runs) > len(own.runs):
        # The manifest comes before the shards: a stop in between leaves a store with some of them.
        _copy(mirror, target, manifest.index_key)
        for key in map(timeline_key, range(len(manifest.runs))):
            if mirror.get(key) is not None:  # a finished run may lack its timeline
                _copy(mirror, target, key)
        _copy(mirror, target, MANIFEST_KEY)
    layout = manifest.layout(read_index(mirror, manifest))
    missing = sorted(set(done_shards(mirror, layout)) - set(done_shards(target, layout)))
    with ThreadPoolExecutor(COPIES, "paninifs-restore") as pool:
        restored = sum(pool.map(partial(_restore_shard, mirror, target, layout, ticket), missing))
    for record in Stages.read(mirror, manifest):
        restored += _restore_stage(mirror, target, Stages.read(mirror, manifest), record, ticket)
    return restored


def _restore_stage(
    mirror: Target, target: Target, stages: Stages, record: StageRecord, ticket: LeaseTicket
) -> int:
    """Copy what a target lacks of a later stage; return the number of its shards."""
    ticket.check(target)
    if target.get(stage_key(record.name)) is None:
        _copy(mirror, target, stage_key(record.name))
    if target.get(stage_key(record.name)) != record.to_json():
        return 0  # it was computed from something else since
    if record.is_reduction:
        marker = read_reduction_marker(mirror, record.name)
        if marker is None or read_reduction_marker(target, record.name) is not None:
            return 0
        for key, expected in marker.objects.items():
            _copy(mirror, target, key, expected)
        _copy(mirror, target, marker_key(0, record.name))
        return 1
    layout = stages.layout(record)
    missing = sorted(set(done_shards(mirror, layout)) - set(done_shards(target, layout)))
    with ThreadPoolExecutor(COPIES, "paninifs-restore") as pool:
        return sum(pool.map(partial(_restore_shard, mirror, target, layout, ticket), missing))


def _restore_shard(
    mirror: Target, target: Target, layout: StoreLayout, ticket: LeaseTicket, shard: int
) -> bool:
    ticket.check(target)
    try:
        copy_shard(mirror, target, layout, shard)
    except RunFailed as error:
        _log.warning("shard %d will be computed again: %s", shard, error)
        mirror.delete([marker_key(shard, layout.stage)])
        return False
    return True


def follow(store: OpenStore, mirror: Target, ticket: LeaseTicket) -> list[int]:
    """Make a mirror a store of the same manifest; return the finished shards that it lacks.

    Shards that are finished only in the mirror are kept.

    Raises
    ------
    ResultsMismatch
        The mirror holds the results of another run.
    LeaseLost
        Another driver took over the mirror; `ticket` is that of the mirror's lease.
    """
    layout, other = store.layout, read_manifest(mirror)
    if other is not None and other.fingerprint not in (layout.fingerprint, *layout.earlier):
        raise ResultsMismatch(
            f"{mirror.url} holds the results of another run ({other.rows:,} texts, "
            f"{other.shard_rows} rows per shard; {store.target.url} has {layout.rows:,} and "
            f"{layout.shard_rows}); mirror to another path, or start over with --fresh"
        )
    mirrored = done_shards(mirror, layout)
    equal = [shard for shard, marker in store.done.items() if mirrored.get(shard) == marker]
    missing = sorted(set(store.done) - set(equal))
    if len(equal) == layout.shards and mirror.get(ROOT_KEY) == store.target.get(ROOT_KEY):
        return []
    ticket.check(mirror)
    mirror.put(ROOT_KEY, with_attributes(store.root, complete=False))
    _copy_metadata(store, mirror)
    stale = stale_indexes(mirror, store.manifest)
    mirror.delete([*stale, *leftovers(mirror, layout, mirrored)])
    return missing


def copy_shard(source: Target, target: Target, layout: StoreLayout, shard: int) -> None:
    """Copy a finished shard, with its marker last.

    Raises
    ------
    RunFailed
        The shard is damaged: a digest differs from the one in its marker.
    """
    marker = read_marker(source, layout, shard)
    if marker is None:
        raise RunFailed(
            f"{source.url}/{marker_key(shard, layout.stage)} is missing; run again to compute the "
            "shard"
        )
    if layout.stage:
        _copy(source, target, stage_key(layout.stage))
    for key, expected in marker.objects.items():
        _copy(source, target, key, expected)
    _copy(source, target, marker_key(shard, layout.stage))


def complete(store: OpenStore, mirror: Target, ticket: LeaseTicket) -> None:
    """Copy the rest of a finished store; the mark that it is complete comes last.

    Raises
    ------
    RunFailed
        Shards are missing: they were removed in the meantime.
    """
    _copy_metadata(store, mirror)
    ticket.check(mirror)
    if store.target.get(QUARANTINE_KEY) is None:
        mirror.delete([QUARANTINE_KEY])  # of an earlier run whose quarantine was provisional
    missing = set(range(store.layout.shards)) - set(done_shards(mirror, store.layout))
    if missing:
        raise RunFailed(f"{mirror.url} lacks shards {sorted(missing)[:5]}; run again to copy them")
    _copy(store.target, mirror, ROOT_KEY)


def _copy_metadata(store: OpenStore, mirror: Target) -> None:
    """Copy all objects that belong to no single shard, except the root; the manifest last."""
    fields = {field.name for field in store.layout.fields}
    for key in sorted(store.target.sizes(), key=lambda key: (key == MANIFEST_KEY, key)):
        skipped = key in (ROOT_KEY, SPARE_MANIFEST_KEY) or is_lease(key) or is_temporary(key)
        if is_ours(key) and not skipped and shard_of(key, fields) is None:
            _copy(store.target, mirror, key)


def _copy(
    source: Target, target: Target, key: str, expected: tuple[int, str] | None = None
) -> None:
    """Copy an object unless the target has the same bytes, and read it back.

    `expected` is the size and digest in its marker, if a marker names it.
    """
    data = source.get(key)
    if data is None or (expected and not is_unchanged(data, *expected)):
        raise RunFailed(
            f"{source.url}/{key} is missing or damaged (`paninifs verify` lists all such objects); "
            f"`paninifs repair {source.url}`, and run again to compute its shard"
        )

    def verified() -> None:
        if target.get(key) != data:
            if key == MANIFEST_KEY:
                replace_manifest(target, data)
            else:
                target.put(key, data)
            if target.get(key) != data:
                raise OSError(errno.EIO, f"{target.url}/{key} is not what was written")

    retried(f"copying to {target.url}/{key}", verified)
