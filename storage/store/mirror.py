"""A second place that holds what a store holds: whole shards, verified, in the order of a store.

So at any moment a mirror is a store itself, of as many shards as have come over, and a run can go
on from it alone. Nothing here knows of time or threads; `engine.mirroring` does.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..errors import ResultsMismatch, RunFailed
from ..filesystems.retry import retried
from ..targets.local import is_temporary
from ..targets.target import Target
from .keys import (
    DONE,
    MANIFEST_KEY,
    QUARANTINE_KEY,
    ROOT_KEY,
    SPARE_MANIFEST_KEY,
    is_lease,
    is_ours,
    marker_key,
    shard_of,
    timeline_key,
)
from .layout import with_attributes
from .lease import LeaseTicket
from .lifecycle import Existing, OpenStore, refuse_mismatch
from .manifest import read_index, read_manifest, replace_manifest, settle_manifest, stale_indexes
from .shards import StoreLayout, done_shards, leftovers, read_marker

_log = logging.getLogger(__name__)

COPIES = 4
"""Shards that are copied at once."""


def refuse_other_mirror(
    mirror: Target,
    target: Target,
    facts: Mapping[str, Any],
    size: int | None,
    existing: Existing,
) -> None:
    """Raise `ResultsMismatch` where a mirror holds something else than the store or its past."""
    manifest, there = read_manifest(target), read_manifest(mirror)
    if manifest and there:
        stages = (stage.fingerprint for stage in manifest.stages)
        if there.fingerprint in (manifest.fingerprint, *stages):
            return
    refuse_mismatch(mirror, facts, size, existing)


def restore(mirror: Target, target: Target, ticket: LeaseTicket) -> int:
    """Bring over what a mirror has and a store has not; return how many shards that were.

    A store of something else, or of another stage of the same corpus, is left alone. A shard that
    is damaged in the mirror counts as not finished there from now on, and is computed again.

    Raises
    ------
    LeaseLost
        Another driver took the store over; `ticket` is for it.
    """
    settle_manifest(mirror)
    manifest, there = read_manifest(mirror), read_manifest(target)
    if manifest is None or (there is not None and there.fingerprint != manifest.fingerprint):
        return 0
    if there is None or len(manifest.runs) > len(there.runs):
        # The manifest before the shards: stopped in between, it is a store that has some of them.
        _copy(mirror, target, manifest.index_key)
        for key in map(timeline_key, range(len(manifest.runs))):
            if mirror.get(key) is not None:  # a run can be done without its timeline
                _copy(mirror, target, key)
        _copy(mirror, target, MANIFEST_KEY)
    layout = manifest.layout(read_index(mirror, manifest))
    missing = sorted(set(done_shards(mirror, layout)) - set(done_shards(target, layout)))
    with ThreadPoolExecutor(COPIES, "paninifs-restore") as pool:
        return sum(pool.map(partial(_restored, mirror, target, layout, ticket), missing))


def _restored(
    mirror: Target, target: Target, layout: StoreLayout, ticket: LeaseTicket, shard: int
) -> bool:
    ticket.check(target)
    try:
        copy_shard(mirror, target, layout, shard)
    except RunFailed as error:
        _log.warning("shard %d is computed again: %s", shard, error)
        mirror.delete([marker_key(shard)])
        return False
    return True


def follow(store: OpenStore, mirror: Target, ticket: LeaseTicket) -> list[int]:
    """Make a mirror a store of the same manifest; return the finished shards that it lacks.

    What is finished there, and not in the store, stays.

    Raises
    ------
    ResultsMismatch
        It holds the results of another run.
    LeaseLost
        Another driver took the mirror over; `ticket` is for it.
    """
    layout, there = store.layout, read_manifest(mirror)
    if there is not None and there.fingerprint not in (layout.fingerprint, *layout.earlier):
        raise ResultsMismatch(
            f"{mirror.url} holds the results of another run ({there.rows:,} texts, "
            f"{there.shard_rows} rows a shard; {store.target.url} has {layout.rows:,} and "
            f"{layout.shard_rows}); mirror to another place, or start over with --fresh"
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
    """Copy a finished shard, its marker last.

    Raises
    ------
    RunFailed
        It is not what was written there: its bytes have another digest than its marker says.
    """
    marker = read_marker(source, layout, shard)
    if marker is None:
        raise RunFailed(f"{source.url}/{marker_key(shard)} is gone; run again to compute the shard")
    for key, (_, digest) in marker.objects.items():
        _copy(source, target, key, digest)
    _copy(source, target, marker_key(shard))


def complete(store: OpenStore, mirror: Target, ticket: LeaseTicket) -> None:
    """Copy what a finished store has beside its shards, and last that it is complete.

    Raises
    ------
    RunFailed
        Shards are missing: somebody has removed them meanwhile.
    """
    _copy_metadata(store, mirror)
    ticket.check(mirror)
    if store.target.get(QUARANTINE_KEY) is None:
        mirror.delete([QUARANTINE_KEY])  # of rows that were set aside until this run
    missing = set(range(store.layout.shards)) - set(done_shards(mirror, store.layout))
    if missing:
        raise RunFailed(f"{mirror.url} lacks shards {sorted(missing)[:5]}; run again to copy them")
    _copy(store.target, mirror, ROOT_KEY)


def _copy_metadata(store: OpenStore, mirror: Target) -> None:
    """Copy whatever is of the whole store, the manifest last, without the root."""
    fields = {field.name for field in store.layout.fields}
    for key in sorted(store.target.sizes(), key=lambda key: (key == MANIFEST_KEY, key)):
        left = key in (ROOT_KEY, SPARE_MANIFEST_KEY) or is_lease(key) or is_temporary(key)
        if is_ours(key) and not left and shard_of(key, fields) is None:
            _copy(store.target, mirror, key)


def _copy(source: Target, target: Target, key: str, digest: str | None = None) -> None:
    """Copy an object where it is not there as it is here, and read it back."""
    data = source.get(key)
    if data is None or (digest and hashlib.sha256(data).hexdigest() != digest):
        raise RunFailed(
            f"{source.url}/{key} is not what was written (paninifs verify finds all that is not); "
            f"remove its marker below {DONE}, and run again to compute the shard anew"
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
