"""The life of a results store: begun, resumed, extended or discarded, and finished.

The order of the writes makes a stop at any moment harmless: metadata, then the manifest, then
shards with their markers, then the quarantine, then the mark on the root that the store is
complete. Which runs may write to a store is decided in `extension`; how a shard is written is in
`shards`, and how a store is read in `reader`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from .encoding import new_chunk_bytes
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
from .stages.record import StageRecord, Stages, is_listed
from .stages.reductions import reduction_metadata

_PACKAGES = ("dask", "distributed", "numpy", "pyarrow", "zarr", "numba")


@dataclass(frozen=True, kw_only=True)
class OpenStore:
    """A store that a run may write to."""

    target: Target
    manifest: Manifest
    index: CorpusIndex
    layout: StoreLayout  # of the first stage, or of a later pass
    done: Mapping[int, Marker]
    root: bytes  # the root's metadata while the store is not complete
    stages: Stages  # the later ones


def begin(
    target: Target,
    corpus: Corpus,
    *,
    facts: Mapping[str, Any],
    computed: Sequence[Field],
    later: Sequence[Field] = (),
    sharding: Sharding,
    ticket: LeaseTicket,
    existing: Existing,
) -> OpenStore:
    """Begin a store, or open the existing one; the caller holds the lease of `ticket`.

    Parameters
    ----------
    computed : sequence of Field
        The fields of the first stage, with their labels.
    later : sequence of Field
        The fields of later stages, with their labels.

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
        _write_extension(target, known, manifest, (computed, later), ticket)
        corpus, _ = recognized_corpus(corpus, facts, manifest, known)
    index = _located(target, manifest, known, corpus)
    return _resume(target, manifest, index, (computed, later))


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
        chunk_bytes=new_chunk_bytes(fields),
    )


def _begin_new(
    target: Target,
    index: CorpusIndex,
    manifest: Manifest,
    computed: Sequence[Field],
    ticket: LeaseTicket,
) -> OpenStore:
    stages = Stages(manifest, ())
    objects = _metadata(target, stages, index, (computed, ()))
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
        stages=stages,
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
    if manifest:
        known |= {name for record in Stages.read(target, manifest) for name in record.names}
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
    fields: tuple[Sequence[Field], Sequence[Field]],
    ticket: LeaseTicket,
) -> None:
    """Write the metadata, index and manifest of a store whose corpus has grown.

    Until the manifest is written, this is still the old store. Its results stay readable
    throughout.
    """
    ticket.check(target)
    write_index(target, manifest, index)
    objects = _metadata(target, Stages.read(target, manifest), index, fields)
    target.put(ROOT_KEY, objects.pop(ROOT_KEY))  # first: from here on it is not complete
    _write_changed(target, objects)
    replace_manifest(target, manifest.to_json())


def _resume(
    target: Target,
    manifest: Manifest,
    index: CorpusIndex,
    fields: tuple[Sequence[Field], Sequence[Field]],
) -> OpenStore:
    layout = manifest.layout(index)
    markers = done_shards(target, layout)
    done = {shard: marker for shard, marker in markers.items() if not marker.provisional}
    stages = Stages.read(target, manifest)
    objects = _metadata(target, stages, index, fields)
    root = objects.pop(ROOT_KEY)
    if len(done) < layout.shards or read_summary(target) is None:
        target.put(ROOT_KEY, root)  # before anything is deleted: a damaged store is not complete
    _write_changed(target, objects)
    target.delete([*stale_indexes(target, manifest), *leftovers(target, layout, done)])
    return OpenStore(
        target=target,
        manifest=manifest,
        index=index,
        layout=layout,
        done=done,
        root=root,
        stages=stages,
    )


def _write_changed(target: Target, objects: Mapping[str, bytes]) -> None:
    """Write the objects that differ from those in the store."""
    for key, data in objects.items():
        if target.get(key) != data:
            target.put(key, data)


def _metadata(
    target: Target,
    stages: Stages,
    index: CorpusIndex,
    fields: tuple[Sequence[Field], Sequence[Field]],
    listed: Sequence[StageRecord] | None = None,
) -> dict[str, bytes]:
    """Return the store's metadata objects, not marked as complete.

    Parameters
    ----------
    fields : tuple of sequence of Field
        Of the first stage, and of later ones, with their labels.
    listed : sequence of StageRecord, optional
        The later stages to list; by default those that are listed already.
    """
    computed, later = fields
    manifest = stages.manifest
    shown = [one for one in stages if is_listed(target, one)] if listed is None else listed
    reductions: dict[str, bytes] = {}
    for one in shown:
        if one.is_reduction:
            reductions |= reduction_metadata(target, one.name)
    attributes = manifest.attributes
    if reductions:
        attributes["reductions"] = [one.name for one in shown if one.is_reduction]
    own = (*stored_fields(index.id, index.keep, computed), *mark_fields(index.cleaning))
    return metadata(
        [(one, manifest.shard_rows, manifest.chunk_bytes) for one in own]
        + [array for one in shown for array in labelled_arrays(one, later)],
        manifest.rows,
        attributes,
        reductions,
    )


def labelled_arrays(record: StageRecord, later: Sequence[Field]) -> list[tuple[Field, int, int]]:
    """Return the arrays of a later pass, with their labels, as `metadata` takes them."""
    known = {array.name: array for one in later for array in one.arrays}
    return [
        (known.get(one.name, one), record.shard_rows, record.chunk_bytes) for one in record.arrays
    ]


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
        With the layout of the first stage.
    fields : tuple of sequence of Field, optional
        Of the first stage and of later ones, with their labels, if there are later ones to list.
    known : Summary, optional
        That of the first stage, if it was complete before.
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
        objects = _metadata(target, store.stages, store.index, fields, store.stages.records)
        root = objects.pop(ROOT_KEY)
        _write_changed(target, objects)
    target.put(ROOT_KEY, with_attributes(root, complete=True, summary=counts))
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
    """Return how many texts blocks with a condition ran for, and how many later passes lack.

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
