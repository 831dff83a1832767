"""The life of a results store: begun, resumed, extended or discarded, and taken up again.

The order of the writes makes a stop at any moment harmless: metadata, then the manifest, then
shards with their markers, then the quarantine, then the mark on the root that the store is
complete. Which runs may write to a store is decided in `extension`; how a shard is written is in
`shards`, how later stages follow and a store is finished in `stages`, and how it is read in
`reader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
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
from .encoding import new_chunk_bytes
from .extension import (
    Existing,
    added_files,
    extend_manifest,
    recognized_corpus,
    refuse_mismatch,
)
from .keys import (
    MANIFEST_KEY,
    ROOT_KEY,
    SPARE_MANIFEST_KEY,
    is_index,
    is_lease,
    is_part,
)
from .layout import stored_fields, with_attributes
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
from .shards import Marker, StoreLayout, done_shards, leftovers
from .stages.record import Stages
from .stages.store_metadata import store_metadata, write_changed

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
    objects = store_metadata(target, stages, index, (computed, ()))
    ticket.check(target)  # counting may have taken a while
    discard(target, manifest)
    root = objects.pop(ROOT_KEY)
    target.put_all(objects, {ROOT_KEY: root})
    write_index(target, manifest, index)
    target.put(MANIFEST_KEY, manifest.to_json())
    return OpenStore(
        target=target,
        manifest=manifest,
        index=index,
        layout=manifest.layout(index),
        done={},
        root=root,
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
    objects = store_metadata(target, Stages.read(target, manifest), index, fields)
    target.put(ROOT_KEY, objects.pop(ROOT_KEY))  # first: from here on it is not complete
    write_changed(target, objects)
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
    objects = store_metadata(target, stages, index, fields)
    root = objects.pop(ROOT_KEY)
    if len(done) < layout.shards or read_summary(target) is None:
        target.put(ROOT_KEY, root)  # before anything is deleted: a damaged store is not complete
    write_changed(target, objects)
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


def reopen(target: Target) -> None:
    """Mark a store as not complete, if it was; the caller holds its lease."""
    root = target.get(ROOT_KEY)
    if root is not None:
        target.put(ROOT_KEY, with_attributes(root, complete=False))
