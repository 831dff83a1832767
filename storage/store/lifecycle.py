"""The life of a results store: refused, begun or gone on with, and finished.

The order of the writes is what makes a stop at any moment harmless: metadata, then the manifest,
then shards with their markers, then the quarantine, then the success mark on the root.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ... import __version__
from ..cleaning.normal_forms import NormalForms
from ..corpus.corpus import Corpus
from ..corpus.index import CorpusIndex
from ..corpus.partition import Sharding
from ..errors import ResultsMismatch
from ..field import Field
from ..targets.target import Target
from .dataset import StoredArrays, read_attributes
from .duplicates import mark_duplicates, mark_fields
from .extension import added_files, extended, refuse_unasked_extension, require_extension
from .history import Timeline
from .keys import (
    MANIFEST_KEY,
    QUARANTINE_KEY,
    ROOT_KEY,
    RUN_FOLDER,
    SPARE_MANIFEST_KEY,
    is_lease,
    is_ours,
    quarantine_key,
    timeline_key,
)
from .layout import metadata, stored_fields, with_attributes
from .lease import LeaseTicket
from .manifest import (
    Manifest,
    read_index,
    read_manifest,
    replace_manifest,
    require_same,
    settle_manifest,
    stale_indexes,
    write_index,
)
from .quarantine import QuarantinedRows, join, to_parquet
from .run_record import RunRecord
from .shards import Marker, StoreLayout, done_shards, leftovers, met_forms

_PACKAGES = ("dask", "distributed", "numpy", "pyarrow", "zarr", "numba")
_IDS_READ = 131_072
"""Ids that are read at once: small shards one by one would take longer than the run did."""


@dataclass(frozen=True)
class Summary:
    """What a finished store holds. ``rows == done + quarantined``."""

    results: str
    rows: int  # of the corpus
    done: int
    quarantined: int
    files_unread: int  # whose rows could not even be counted
    null_ids: int  # computed rows without an id
    repeated_ids: int  # computed rows whose id an earlier one has too
    shards: int
    text_bytes: int
    duplicates: int | None = None  # computed rows whose text came before; None: not asked for
    not_nfc: int | None = None  # a row whose text NFC would change, if such a one was met
    not_nfd: int | None = None

    def _repr_html_(self) -> str:
        """Return it for notebooks: what is zero, or was not asked for, has no line."""
        told = {
            "results": self.results,
            "texts done": f"{self.done:,} of {self.rows:,}, {self.text_bytes:,} bytes",
            "set aside": self.quarantined and f"{self.quarantined:,}, see quarantine.parquet there",
            "files that could not be read": self.files_unread and f"{self.files_unread:,}",
            "ids that are missing": self.null_ids and f"{self.null_ids:,}",
            "ids that came before": self.repeated_ids and f"{self.repeated_ids:,}",
            "texts that came before": self.duplicates and f"{self.duplicates:,}",
            "note": NormalForms(self.not_nfc, self.not_nfd).warning,
        }
        lines = (
            f'<tr><th scope="row" style="text-align:left">{name}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in told.items()
            if value
        )
        return f"<table>{''.join(lines)}</table>"


@dataclass(frozen=True)
class OpenStore:
    """A store that a run may write to."""

    target: Target
    manifest: Manifest
    index: CorpusIndex
    layout: StoreLayout
    done: Mapping[int, Marker]
    root: bytes  # the root's metadata of a store that is not complete


Existing = Literal["resume", "extend", "discard"]
"""What becomes of a store that is there already."""


def refuse_mismatch(
    target: Target, facts: Mapping[str, Any], size: int | None, existing: Existing
) -> None:
    """Raise `ResultsMismatch` where a run may not write; read only what is cheap to read.

    Parameters
    ----------
    facts : mapping
        See `manifest.facts_of`.
    size : int or None
        Rows a shard, where the user asked for a number.
    existing : str
        Whether a store of this engine is gone on with, has files appended, or is discarded;
        anything else never is.
    """
    manifest = read_manifest(target)
    if manifest is None:
        keys = target.sizes()
        begun = any(
            key.startswith(f"{RUN_FOLDER}/") for key in keys
        )  # else: somebody's own Zarr store
        foreign = [key for key in keys if not (begun and is_ours(key))]
        if foreign:
            raise ResultsMismatch(
                f"{target.url} exists and is no results store of this engine (it holds "
                f"{min(foreign)}); choose another place"
            )
    elif existing != "discard":
        if existing == "extend":
            require_extension(target, manifest, facts)
        else:
            refuse_unasked_extension(target, manifest, facts)
            require_same(target, manifest, facts)
        if size not in (None, manifest.shard_rows):
            raise ResultsMismatch(
                f"{target.url} was begun with {manifest.shard_rows} rows a shard, not {size}; "
                "leave --shard-rows (shard_rows=) out, or start over with --fresh (fresh=True)"
            )


def begin(
    target: Target,
    corpus: Corpus,
    facts: Mapping[str, Any],
    computed: Sequence[Field],
    sharding: Sharding,
    ticket: LeaseTicket,
    existing: Existing,
) -> OpenStore:
    """Begin a store, or open the one that is there; the caller holds its lease, by `ticket`.

    Raises
    ------
    ResultsMismatch
        See `refuse_mismatch`.
    LeaseLost
        Another driver took the store over.
    ColumnNotFound, CorpusEmpty
        See `Corpus.index`; nothing has been written then.
    """
    refuse_mismatch(target, facts, sharding.rows, existing)  # again: now nobody else can begin it
    manifest = None if existing == "discard" else read_manifest(target)
    if manifest is None:
        return _begun(target, corpus, facts, computed, sharding, ticket)
    ticket.check(target)  # bringing shards back from a mirror may have taken long
    settle_manifest(target)
    if existing == "extend" and added_files(manifest, facts):
        manifest = _extended(target, corpus, facts, manifest, computed, ticket)
    return _resumed(target, corpus, manifest, computed)


def _begun(
    target: Target,
    corpus: Corpus,
    facts: Mapping[str, Any],
    computed: Sequence[Field],
    sharding: Sharding,
    ticket: LeaseTicket,
) -> OpenStore:
    index = corpus.index
    fields = stored_fields(index.id, index.keep, computed)
    row_bytes = sum(field.row_bytes for field in fields)
    manifest = Manifest(
        facts,
        tuple(computed),
        sharding.choose(index.rows, row_bytes),
        index.rows,
        datetime.now(UTC).isoformat(timespec="seconds"),
        {"paninifs": __version__, **{name: version(name) for name in _PACKAGES}},
        index_digest=index.digest,
    )
    objects = _metadata(manifest, index, computed)
    ticket.check(target)  # counting may have taken long
    discard(target)
    for key, data in objects.items():
        target.put(key, data)
    write_index(target, manifest, index)
    target.put(MANIFEST_KEY, manifest.to_json())
    return OpenStore(target, manifest, index, manifest.layout(index), {}, objects[ROOT_KEY])


def discard(target: Target) -> None:
    """Remove a store, but for the lease; the caller holds it.

    The manifest goes first, as it comes last: without one there is no store to go on with.
    """
    target.delete([SPARE_MANIFEST_KEY])
    target.delete([MANIFEST_KEY])
    keys = [key for key in target.sizes() if is_ours(key)]
    target.delete(key for key in keys if not is_lease(key))


def _extended(
    target: Target,
    corpus: Corpus,
    facts: Mapping[str, Any],
    manifest: Manifest,
    computed: Sequence[Field],
    ticket: LeaseTicket,
) -> Manifest:
    """Append a corpus's new files to a store; return its manifest from now on.

    Until that is written the store is what it was; and what it holds stays readable throughout.
    """
    manifest, index = extended(manifest, read_index(target, manifest), corpus, facts)
    ticket.check(target)
    write_index(target, manifest, index)
    objects = _metadata(manifest, index, computed)
    target.put(ROOT_KEY, objects.pop(ROOT_KEY))  # first: from here on it is not complete
    _renew(target, objects)
    replace_manifest(target, manifest.to_json())
    return manifest


def _resumed(
    target: Target, corpus: Corpus, manifest: Manifest, computed: Sequence[Field]
) -> OpenStore:
    index = read_index(target, manifest).at(corpus.files)
    layout = manifest.layout(index)
    markers = done_shards(target, layout)
    done = {shard: marker for shard, marker in markers.items() if not marker.provisional}
    objects = _metadata(manifest, index, computed)
    root = objects.pop(ROOT_KEY)
    if len(done) < layout.shards or read_summary(target) is None:
        target.put(ROOT_KEY, root)  # before anything goes: a damaged store is not complete
    _renew(target, objects)
    target.delete([*stale_indexes(target, manifest), *leftovers(target, layout, done)])
    return OpenStore(target, manifest, index, layout, done, root)


def _renew(target: Target, objects: Mapping[str, bytes]) -> None:
    """Write those objects that are not what they should be."""
    for key, data in objects.items():
        if target.get(key) != data:
            target.put(key, data)


def _metadata(
    manifest: Manifest, index: CorpusIndex, computed: Sequence[Field]
) -> dict[str, bytes]:
    """Return the store's metadata; `computed` are the graph's fields, with their labels."""
    layout = manifest.layout(index)
    attributes = {
        "complete": False,
        "created": manifest.created,
        "fingerprint": manifest.fingerprint,
        "rows": manifest.rows,
        "shards": layout.shards,
        "versions": dict(manifest.versions),
    }
    fields = (*stored_fields(index.id, index.keep, computed), *mark_fields(index.cleaning))
    return metadata(fields, manifest.rows, manifest.shard_rows, attributes)


def finish(
    store: OpenStore, ticket: LeaseTicket, told: tuple[RunRecord, Timeline] | None = None
) -> Summary:
    """Gather the quarantine, count, check, and mark the store complete.

    Parameters
    ----------
    told : tuple of RunRecord and Timeline, optional
        What the run that finishes it tells of itself; None where it had nothing to compute.

    Raises
    ------
    LeaseLost
        Another driver took the store over.
    RuntimeError
        Shards are missing, or the counts do not add up: a defect of the engine.
    """
    target, layout = store.target, store.layout
    markers = done_shards(target, layout)
    if len(markers) != layout.shards or sum(m.rows for m in markers.values()) != layout.rows:
        missing = sorted(set(range(layout.shards)) - set(markers))
        raise RuntimeError(f"{target.url}: shards {missing[:5]} are not done, yet no task failed")
    quarantined = sum(marker.quarantined for marker in markers.values())
    forms = met_forms(markers)
    summary = Summary(
        target.url,
        layout.rows,
        layout.rows - quarantined,
        quarantined,
        len(store.index.uncounted),
        sum(marker.null_ids for marker in markers.values()),
        _repeated_ids(store, markers) if store.index.id else 0,
        layout.shards,
        sum(marker.text_bytes for marker in markers.values()),
        mark_duplicates(target, layout) if store.index.cleaning.duplicates else None,
        forms.not_nfc,
        forms.not_nfd,
    )
    if quarantined or store.index.uncounted:
        target.put(QUARANTINE_KEY, join(_quarantined(store, markers)))
    else:
        target.delete([QUARANTINE_KEY])  # of an earlier run, which had set rows aside for now
    ticket.check(target)
    if told and told[0].retries:  # a worker that died may have left a file that has no name yet
        target.delete(leftovers(target, layout, markers))
    counts = asdict(summary)
    del counts["results"]
    _remember(store, counts, told)
    target.put(ROOT_KEY, with_attributes(store.root, complete=True, summary=counts))
    return summary


def _remember(
    store: OpenStore, counts: Mapping[str, Any], told: tuple[RunRecord, Timeline] | None
) -> None:
    """Keep what the store holds, and what the run told of itself, with the manifest."""
    manifest = replace(store.manifest, summary=counts)
    if told is not None:
        record, timeline = told
        store.target.put(timeline_key(len(manifest.runs)), timeline.to_json())
        manifest = replace(manifest, runs=(*manifest.runs, record))
    if manifest != store.manifest:
        replace_manifest(store.target, manifest.to_json())


def read_summary(target: Target) -> Summary | None:
    """Return what a store holds, or None where it is not complete."""
    attributes = read_attributes(target) or {}
    if not attributes.get("complete"):
        return None
    return Summary(results=target.url, **attributes["summary"])


def _quarantined(store: OpenStore, markers: Mapping[int, Marker]) -> Iterator[bytes]:
    unlisted = [
        QuarantinedRows(None, 0, file.file.name, None, str(file.problem))
        for file in store.index.uncounted
    ]
    yield to_parquet(unlisted)
    for shard, marker in sorted(markers.items()):
        if marker.quarantined:
            data = store.target.get(quarantine_key(shard))
            yield data or b""


def _repeated_ids(store: OpenStore, markers: Mapping[int, Marker]) -> int:
    """Count rows whose id came before; holds eight bytes a row, unless ids ascend throughout."""
    ends = [marker.ascending for _, marker in sorted(markers.items())]
    if all(ends) and all(a[1] < b[0] for a, b in pairwise(end for end in ends if end)):
        return 0
    arrays = StoredArrays(store.target)
    every = np.empty(store.layout.rows, np.int64)
    count = 0
    size = store.layout.shard_rows
    step = size * max(1, _IDS_READ // size)
    for start in range(0, store.layout.rows, step):
        stop = min(start + step, store.layout.rows)
        ids = np.asarray(arrays["id"][start:stop])
        known = np.asarray(arrays["id_valid"][start:stop]) & np.asarray(arrays["valid"][start:stop])
        if ids.dtype != np.int64:
            ids = np.fromiter(map(hash, ids.tolist()), np.int64, len(ids))
        ids = ids[known]
        every[count : count + len(ids)] = ids
        count += len(ids)
    every = every[:count]
    every.sort()  # in place: np.unique holds the ids three times
    return int(np.count_nonzero(every[1:] == every[:-1]))
