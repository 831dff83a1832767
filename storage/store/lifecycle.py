"""The life of a results store: begun, resumed, extended or discarded, and finished.

The order of the writes makes a stop at any moment harmless: metadata, then the manifest, then
shards with their markers, then the quarantine, then the mark on the root that the store is
complete. Which runs may write to a store is decided in `extension`; how a shard is written is in
`shards`, and how a store is read in `reader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from typing import Any

from ... import __version__
from ..corpus.corpus import Corpus
from ..corpus.counting import with_digests
from ..corpus.index import CorpusIndex
from ..corpus.partition import Sharding
from ..errors import ResultsMismatch
from ..field import Field
from ..targets.target import Target
from .dataset import read_summary
from .duplicates import count_repeated_ids, mark_duplicates, mark_fields
from .extension import (
    Existing,
    added_files,
    extend_manifest,
    recognized_corpus,
    refuse_mismatch,
)
from .history import RunRecord, Summary, Timeline
from .keys import (
    MANIFEST_KEY,
    QUARANTINE_KEY,
    ROOT_KEY,
    SPARE_MANIFEST_KEY,
    is_index,
    is_lease,
    is_part,
    quarantine_key,
    timeline_key,
)
from .layout import metadata, stored_fields, with_attributes
from .leases.lease import LeaseTicket
from .manifest import (
    Manifest,
    file_facts,
    finish_replacement,
    read_index,
    read_manifest,
    replace_manifest,
    stale_indexes,
    with_files,
    write_index,
)
from .quarantine import join, to_parquet, unread_files
from .shards import Marker, StoreLayout, done_shards, forms_found, leftovers

_PACKAGES = ("dask", "distributed", "numpy", "pyarrow", "zarr", "numba")


@dataclass(frozen=True, kw_only=True)
class OpenStore:
    """A store that a run may write to."""

    target: Target
    manifest: Manifest
    index: CorpusIndex
    layout: StoreLayout
    done: Mapping[int, Marker]
    root: bytes  # the root's metadata while the store is not complete


def begin(
    target: Target,
    corpus: Corpus,
    *,
    facts: Mapping[str, Any],
    computed: Sequence[Field],
    sharding: Sharding,
    ticket: LeaseTicket,
    existing: Existing,
) -> OpenStore:
    """Begin a store, or open the existing one; the caller holds the lease of `ticket`.

    Parameters
    ----------
    computed : sequence of Field
        The graph's fields, with their labels.

    Raises
    ------
    ResultsMismatch
        See `refuse_mismatch`.
    LeaseLost
        Another driver took over the store.
    ColumnNotFound, CorpusEmpty
        See `Corpus.index`; nothing has been written.
    """
    # Checked again: without the lease, another driver could have begun a store in the meantime.
    manifest = None if existing == "discard" else read_manifest(target)
    if manifest is not None:
        known = read_index(target, manifest)
        corpus, facts = recognized_corpus(corpus, facts, manifest, known)
    refuse_mismatch(target, facts, sharding.rows, existing)
    if manifest is None:
        manifest = _plan(corpus, facts, computed, sharding)
        return _begin_new(target, corpus.index, manifest, computed, ticket)
    ticket.check(target)  # restoring shards from a mirror may have taken a while
    finish_replacement(target)
    if existing == "extend" and added_files(manifest, facts):
        manifest, known = extend_manifest(manifest, known, corpus, facts)
        _write_extension(target, known, manifest, computed, ticket)
        corpus, _ = recognized_corpus(corpus, facts, manifest, known)
    return _resume(target, manifest, _located(target, manifest, known, corpus), computed)


def _located(target: Target, manifest: Manifest, known: CorpusIndex, corpus: Corpus) -> CorpusIndex:
    """Return a store's index with its files where they are now, and write it if they moved."""
    index = known.moved_to(with_digests(corpus.files, corpus.opener))
    if index.to_json() != known.to_json():
        write_index(target, manifest, index)
    return index


def _plan(
    corpus: Corpus, facts: Mapping[str, Any], computed: Sequence[Field], sharding: Sharding
) -> Manifest:
    index = corpus.index
    fields = stored_fields(index.id, index.keep, computed)
    row_bytes = sum(field.row_bytes for field in fields)
    return Manifest(
        facts=with_files(facts, file_facts([one.file for one in index.files])),
        fields=tuple(computed),
        shard_rows=sharding.choose(index.rows, row_bytes),
        rows=index.rows,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"paninifs": __version__, **{name: version(name) for name in _PACKAGES}},
        index_digest=index.digest,
    )


def _begin_new(
    target: Target,
    index: CorpusIndex,
    manifest: Manifest,
    computed: Sequence[Field],
    ticket: LeaseTicket,
) -> OpenStore:
    objects = _metadata(manifest, index, computed)
    ticket.check(target)  # counting may have taken a while
    discard(target, manifest)
    for key, data in objects.items():
        target.put(key, data)
    write_index(target, manifest, index)
    target.put(MANIFEST_KEY, manifest.to_json())
    return OpenStore(
        target=target,
        manifest=manifest,
        index=index,
        layout=manifest.layout(index),
        done={},
        root=objects[ROOT_KEY],
    )


def discard(target: Target, successor: Manifest) -> None:
    """Remove a store to make room for another, except its lease; the caller holds it.

    Arrays that neither of the two has are the user's own, and stay. The root goes first, so that
    what is left is not complete. Manifest and index go last: as long as anything else is there,
    they tell whose it is.

    Raises
    ------
    ResultsMismatch
        The user's own array has the name of one that the successor needs; nothing was removed.
    """
    manifest = read_manifest(target)
    there = target.sizes()
    known = manifest.arrays if manifest else successor.arrays
    for name in sorted(successor.arrays - known):
        if f"{name}/{ROOT_KEY}" in there:
            raise ResultsMismatch(
                f"{target.url} holds an array {name!r} that no run has written, and the new "
                "results need the name: rename or remove the array, or write elsewhere"
            )
    arrays = successor.arrays | known
    target.delete([ROOT_KEY])
    keys = [key for key in there if is_part(key, arrays) and not is_lease(key) and key != ROOT_KEY]
    last = [key for key in keys if key in (MANIFEST_KEY, SPARE_MANIFEST_KEY) or is_index(key)]
    target.delete(sorted(set(keys) - set(last)))
    target.delete([SPARE_MANIFEST_KEY])
    target.delete([MANIFEST_KEY])
    target.delete(last)


def _write_extension(
    target: Target,
    index: CorpusIndex,
    manifest: Manifest,
    computed: Sequence[Field],
    ticket: LeaseTicket,
) -> None:
    """Write the metadata, index and manifest of a store whose corpus has grown.

    Until the manifest is written, this is still the old store. Its results stay readable
    throughout.
    """
    ticket.check(target)
    write_index(target, manifest, index)
    objects = _metadata(manifest, index, computed)
    target.put(ROOT_KEY, objects.pop(ROOT_KEY))  # first: from here on it is not complete
    _write_changed(target, objects)
    replace_manifest(target, manifest.to_json())


def _resume(
    target: Target, manifest: Manifest, index: CorpusIndex, computed: Sequence[Field]
) -> OpenStore:
    layout = manifest.layout(index)
    markers = done_shards(target, layout)
    done = {shard: marker for shard, marker in markers.items() if not marker.provisional}
    objects = _metadata(manifest, index, computed)
    root = objects.pop(ROOT_KEY)
    if len(done) < layout.shards or read_summary(target) is None:
        target.put(ROOT_KEY, root)  # before anything is deleted: a damaged store is not complete
    _write_changed(target, objects)
    target.delete([*stale_indexes(target, manifest), *leftovers(target, layout, done)])
    return OpenStore(
        target=target, manifest=manifest, index=index, layout=layout, done=done, root=root
    )


def _write_changed(target: Target, objects: Mapping[str, bytes]) -> None:
    """Write the objects that differ from those in the store."""
    for key, data in objects.items():
        if target.get(key) != data:
            target.put(key, data)


def _metadata(
    manifest: Manifest, index: CorpusIndex, computed: Sequence[Field]
) -> dict[str, bytes]:
    """Return the store's metadata objects, not marked as complete."""
    fields = (*stored_fields(index.id, index.keep, computed), *mark_fields(index.cleaning))
    return metadata(fields, manifest.rows, manifest.shard_rows, manifest.attributes)


def finish(
    store: OpenStore, ticket: LeaseTicket, history: tuple[RunRecord, Timeline] | None = None
) -> Summary:
    """Check and count the shards, write the quarantine, and mark the store complete.

    Parameters
    ----------
    history : tuple of RunRecord and Timeline, optional
        Those of the run that finishes the store; None if it had nothing to compute.

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
    summary = _summary(store, markers)
    if summary.quarantined or store.index.uncounted:
        shards = [shard for shard, marker in sorted(markers.items()) if marker.quarantined]
        parts = (target.get(quarantine_key(shard)) or b"" for shard in shards)
        target.put(QUARANTINE_KEY, join(chain([to_parquet(unread_files(store.index))], parts)))
    else:
        target.delete([QUARANTINE_KEY])  # of an earlier run whose quarantine was provisional
    ticket.check(target)
    if history and history[0].retries:  # a worker that died may have left a temporary file
        target.delete(leftovers(target, layout, markers))
    counts = asdict(summary)
    del counts["results"]
    _record_history(store, counts, history)
    target.put(ROOT_KEY, with_attributes(store.root, complete=True, summary=counts))
    return summary


def reopen(target: Target) -> None:
    """Mark a store as not complete, if it was; the caller holds its lease."""
    root = target.get(ROOT_KEY)
    if root is not None:
        target.put(ROOT_KEY, with_attributes(root, complete=False))


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
