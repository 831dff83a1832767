"""Shards: written and marked done by `commit_shards`, and found again by their markers.

A shard is the part of every array that belongs to the same rows. Its objects are written whole,
`valid` last; then its quarantine; and last its marker, which names every object with size and
digest. Of shards written together, no marker is visible or durable before the objects of all are
durable. A shard without a valid marker does not exist. How values become bytes is in `encoding`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..cleaning.normal_forms import NO_FORMS, NormalForms
from ..corpus.partition import shard_bounds
from ..field import Field
from ..targets.local import is_temporary
from ..targets.target import Target
from .digests import digest, is_unchanged
from .encoding import encode_shard
from .keys import done_folder, is_lease, marker_key, quarantine_key, shard_key, shard_of
from .layout import VALID
from .quarantine import QuarantinedRows, from_parquet, to_parquet

_READERS = 16
"""Number of markers read at the same time."""

_RANGE_ROWS = 131_072
_RANGE_BYTES = 64 << 20
"""Maximum rows and bytes read at once. Reading small shards one by one would take too long."""


@dataclass(frozen=True, kw_only=True)
class StoreLayout:
    """How a store is divided into shards: all that a worker needs to write a shard."""

    fields: tuple[Field, ...] = field(kw_only=False)  # in the order of writing
    rows: int = field(kw_only=False)  # of the corpus
    shard_rows: int = field(kw_only=False)
    fingerprint: str = field(kw_only=False)  # of the manifest; markers of others do not count
    # Rows before each extension, by the fingerprint before it.
    earlier: Mapping[str, int] = field(default_factory=dict)
    stage: str = ""  # the name of a later stage; the first one has none
    chunk_bytes: int = 0  # see `encoding.chunk_rows`

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.shard_rows)

    @property
    def shard_bytes(self) -> int:
        """Bytes of a shard's values, before compression."""
        return self.shard_rows * sum(field.row_bytes for field in self.fields)

    def bounds(self, shard: int) -> tuple[int, int]:
        """Return the rows of a shard, ``[start, stop)``."""
        return shard_bounds(shard, self.rows, self.shard_rows)

    def read_ranges(self, row_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield ``[start, stop)`` of whole shards to read at once, if a row takes `row_bytes`."""
        rows = min(_RANGE_ROWS, _RANGE_BYTES // max(1, row_bytes))
        step = self.shard_rows * max(1, rows // self.shard_rows)
        for start in range(0, self.rows, step):
            yield start, min(start + step, self.rows)

    def accepts(self, marker: Marker) -> bool:
        """Return whether a marker is current, or belongs to a shard full before an extension."""
        start, stop = self.bounds(marker.shard)
        rows = self.rows if marker.fingerprint == self.fingerprint else 0
        full = stop <= self.earlier.get(marker.fingerprint, rows)
        return full and marker.rows == stop - start

    @property
    def growing(self) -> int | None:
        """The shard that the last extension found partly full; it is replaced, never removed."""
        rows = max(self.earlier.values(), default=0)
        return rows // self.shard_rows if rows % self.shard_rows else None


@dataclass(frozen=True, kw_only=True)
class Marker:
    """The contents of a finished shard, in numbers."""

    shard: int
    rows: int
    quarantined: int  # rows
    null_ids: int  # computed rows without an id
    ascending: tuple[int, int] | None  # first and last id, if ids are strictly ascending
    text_bytes: int
    objects: Mapping[str, tuple[int, str]]  # key to bytes and digest
    fingerprint: str
    not_nfc: int | None = None  # a row whose text NFC would change, if its task found one
    not_nfd: int | None = None
    provisional: bool = False  # its rows are quarantined until a later run tries them again
    ran: Mapping[str, int] = field(default_factory=dict)  # texts, by block with a condition

    def to_json(self) -> bytes:
        """Encode the marker."""
        values = dict(vars(self))
        if not self.ran:
            del values["ran"]
        return json.dumps(values).encode()

    @property
    def forms(self) -> NormalForms:
        """The normal forms met, if cleaning does not convert texts to one."""
        return NormalForms(self.not_nfc, self.not_nfd)


@dataclass(frozen=True, kw_only=True)
class ShardContents:
    """What is written of a shard."""

    shard: int
    arrays: Mapping[str, Any]  # values by field name: NumPy arrays, or Arrow arrays of strings
    quarantined: Sequence[QuarantinedRows]
    text_bytes: int
    forms: NormalForms = NO_FORMS
    provisional: bool = False
    ran: Mapping[str, int] = field(default_factory=dict)


def commit_shards(
    target: Target, layout: StoreLayout, shards: Sequence[ShardContents]
) -> list[Marker]:
    """Write shards together and mark them done; return their markers."""
    values: dict[str, bytes] = {}
    valid: dict[str, bytes] = {}  # and quarantines
    markers = {}
    for contents in shards:
        objects = _objects(layout, contents)
        named = {key: (len(data), digest(data)) for key, data in objects.items()}
        own = {shard_key(one, contents.shard) for one in layout.fields if one.name != VALID.name}
        for key, data in objects.items():
            (values if key in own else valid)[key] = data
        markers[contents.shard] = _marker(layout, contents, named)
    marks = {marker_key(n, layout.stage): marker.to_json() for n, marker in markers.items()}
    target.put_all(values, valid, marks)
    return list(markers.values())


def _objects(layout: StoreLayout, contents: ShardContents) -> dict[str, bytes]:
    """Encode the objects of a shard, in the order of writing."""
    objects = {}
    for one in layout.fields:
        values = contents.arrays[one.name]
        key = shard_key(one, contents.shard)
        objects[key] = encode_shard(one, values, layout.shard_rows, layout.chunk_bytes)
    if contents.quarantined:
        key = quarantine_key(contents.shard, layout.stage)
        objects[key] = to_parquet(contents.quarantined)
    return objects


def _marker(
    layout: StoreLayout, contents: ShardContents, objects: Mapping[str, tuple[int, str]]
) -> Marker:
    start, stop = layout.bounds(contents.shard)
    return Marker(
        shard=contents.shard,
        rows=stop - start,
        quarantined=sum(entry.rows for entry in contents.quarantined),
        null_ids=_null_ids(contents.arrays),
        ascending=_ascending(contents.arrays),
        text_bytes=contents.text_bytes,
        objects=objects,
        fingerprint=layout.fingerprint,
        not_nfc=contents.forms.not_nfc,
        not_nfd=contents.forms.not_nfd,
        provisional=contents.provisional,
        ran=dict(contents.ran),
    )


def _null_ids(arrays: Mapping[str, Any]) -> int:
    """Count computed rows without an id."""
    if "id_valid" not in arrays:
        return 0
    return int(np.count_nonzero(arrays["valid"] & ~arrays["id_valid"]))


def _ascending(arrays: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the first and last id if all rows have ids and these strictly ascend, else None."""
    ids = arrays.get("id")
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or not arrays["valid"].all():
        return None
    if "id_valid" in arrays and not arrays["id_valid"].all():
        return None
    return (int(ids[0]), int(ids[-1])) if (ids[1:] > ids[:-1]).all() else None


def quarantined_of(target: Target, shard: int, stage: str = "") -> list[QuarantinedRows]:
    """Return the rows of a shard that a stage has quarantined, also during a run."""
    data = target.get(quarantine_key(shard, stage))
    return from_parquet(data) if data else []


def read_marker(target: Target, layout: StoreLayout, shard: int) -> Marker | None:
    """Return a shard's marker, or None if it is missing, torn, or not of this store.

    A marker that names other objects than the shard's own was not written by this engine.
    """
    data = target.get(marker_key(shard, layout.stage))
    try:
        values = json.loads(data or b"")
        objects = {key: (int(size), str(text)) for key, (size, text) in values["objects"].items()}
        ends = values["ascending"]
        if ends is not None:
            first, last = ends
            ends = int(first), int(last)
        marker = Marker(**{**values, "objects": objects, "ascending": ends})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    own = {shard_key(field_, shard) for field_ in layout.fields}
    if set(objects) - {quarantine_key(shard, layout.stage)} != own:
        return None
    return marker if marker.shard == shard and layout.accepts(marker) else None


def is_intact(target: Target, objects: Mapping[str, tuple[int, str]]) -> bool:
    """Return whether all objects of a marker are in the store as they were written."""
    return all(is_unchanged(target.get(key), *expected) for key, expected in objects.items())


def marked_shards(target: Target, layout: StoreLayout) -> dict[int, Marker]:
    """Return every valid marker by shard, without checking the objects that it names."""
    keys = target.sizes(done_folder(layout.stage))
    marked = [shard for shard in range(layout.shards) if marker_key(shard, layout.stage) in keys]
    with ThreadPoolExecutor(_READERS) as pool:
        markers = pool.map(lambda shard: read_marker(target, layout, shard), marked)
        return {marker.shard: marker for marker in markers if marker}


def done_shards(target: Target, layout: StoreLayout) -> dict[int, Marker]:
    """Return the markers of the shards whose objects all exist with the right sizes."""
    sizes = target.sizes()
    return {
        shard: marker
        for shard, marker in marked_shards(target, layout).items()
        if all(sizes.get(key) == size for key, (size, _) in marker.objects.items())
    }


def forms_found(markers: Mapping[int, Marker]) -> NormalForms:
    """Return the normal forms met in all given shards together."""
    return NormalForms.joined(markers[shard].forms for shard in sorted(markers))


def leftovers(target: Target, layout: StoreLayout, done: Iterable[int]) -> list[str]:
    """Return the keys that a stopped run left: objects of unmarked shards, temporary files."""
    kept = {*done, layout.growing}  # rows of a growing shard must stay readable
    names = {field_.name for field_ in layout.fields}
    stale = []
    for key in target.sizes():
        if is_lease(key):
            continue  # it may belong to another driver that is being refused at this moment
        shard = shard_of(key, names, layout.stage)
        if is_temporary(key) or (shard is not None and not _is_in(shard, kept)):
            stale.append(key)
    return stale


def _is_in(shard: str, kept: set[int | None]) -> bool:
    return shard.isdigit() and int(shard) in kept
