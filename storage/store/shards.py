"""Writing one shard: the one place where results become bytes in a store, and are marked done.

A shard is every array's slot for the same rows. Its objects are written whole, `valid` last; then
its quarantine; then, last of all, its marker, which names every object with size and digest. A
shard without a valid marker does not exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..cleaning.normal_forms import NONE_MET, NormalForms
from ..corpus.partition import shard_bounds
from ..field import Field
from ..targets.local import is_temporary
from ..targets.target import Target
from .encoding import encode_shard
from .keys import DONE, is_lease, marker_key, quarantine_key, shard_key, shard_of
from .quarantine import QuarantinedRows, from_parquet, to_parquet

_READERS = 16
_RUN_ROWS = 131_072
_RUN_BYTES = 64 << 20
"""How much of a store is read at once; small shards one by one would take long."""


@dataclass(frozen=True)
class StoreLayout:
    """How a store is cut: what a worker has to know to write a shard of it."""

    fields: tuple[Field, ...]  # in the order of writing
    rows: int  # of the corpus
    shard_rows: int
    fingerprint: str  # of the run; markers of another run do not count
    earlier: Mapping[str, int] = field(default_factory=dict)  # before extensions: to rows then

    @property
    def shards(self) -> int:
        """Shards of the store."""
        return -(-self.rows // self.shard_rows)

    @property
    def shard_bytes(self) -> int:
        """Bytes of a shard's values, before compression."""
        return self.shard_rows * sum(field.row_bytes for field in self.fields)

    def bounds(self, shard: int) -> tuple[int, int]:
        """Return the rows of a shard."""
        return shard_bounds(shard, self.rows, self.shard_rows)

    def runs(self, row_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield runs of whole shards, as rows, that are read at once: of so many bytes a row."""
        rows = min(_RUN_ROWS, _RUN_BYTES // max(1, row_bytes))
        step = self.shard_rows * max(1, rows // self.shard_rows)
        for start in range(0, self.rows, step):
            yield start, min(start + step, self.rows)

    def counts(self, marker: Marker) -> bool:
        """Whether a marker is this run's, or of a shard that was full before it was extended."""
        start, stop = self.bounds(marker.shard)
        rows = self.rows if marker.fingerprint == self.fingerprint else 0
        full = stop <= self.earlier.get(marker.fingerprint, rows)
        return full and marker.rows == stop - start

    @property
    def growing(self) -> int | None:
        """The shard that the last extension found half full: it is replaced, never removed."""
        rows = max(self.earlier.values(), default=0)
        return rows // self.shard_rows if rows % self.shard_rows else None


@dataclass(frozen=True)
class Marker:
    """What is known of a finished shard."""

    shard: int
    rows: int
    quarantined: int  # rows
    null_ids: int  # rows that are computed and have no id
    ascending: tuple[int, int] | None  # first and last id, if each is larger than the one before
    text_bytes: int
    objects: Mapping[str, tuple[int, str]]  # key to bytes and SHA-256
    fingerprint: str
    not_nfc: int | None = None  # a row whose text NFC would change, if one was met in its task
    not_nfd: int | None = None
    provisional: bool = False  # its rows are set aside until a later run tries them again

    @property
    def forms(self) -> NormalForms:
        """The normal forms that were met, where texts were not brought into one."""
        return NormalForms(self.not_nfc, self.not_nfd)


def commit(
    target: Target,
    layout: StoreLayout,
    shard: int,
    arrays: Mapping[str, Any],
    quarantined: Sequence[QuarantinedRows],
    text_bytes: int,
    forms: NormalForms = NONE_MET,
    provisional: bool = False,
) -> Marker:
    """Write a shard and mark it done; return its marker."""
    start, stop = layout.bounds(shard)

    objects = {}
    for one in layout.fields:
        key = shard_key(one, shard)
        objects[key] = _put(target, key, encode_shard(one, arrays[one.name], layout.shard_rows))
    if quarantined:
        key = quarantine_key(shard)
        objects[key] = _put(target, key, to_parquet(quarantined))
    marker = Marker(
        shard,
        stop - start,
        sum(row.rows for row in quarantined),
        int(np.count_nonzero(arrays["valid"] & ~arrays["id_valid"])) if "id_valid" in arrays else 0,
        _ascending(arrays),
        text_bytes,
        objects,
        layout.fingerprint,
        forms.not_nfc,
        forms.not_nfd,
        provisional,
    )
    target.put(marker_key(shard), json.dumps(asdict(marker)).encode())
    return marker


def _ascending(arrays: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the first and the last id of a shard whose ids, all known, ascend; else None."""
    ids = arrays["id"]
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or not arrays["valid"].all():
        return None
    if "id_valid" in arrays and not arrays["id_valid"].all():
        return None
    return (int(ids[0]), int(ids[-1])) if (ids[1:] > ids[:-1]).all() else None


def _put(target: Target, key: str, data: bytes) -> tuple[int, str]:
    """Write an object; return its size and digest."""
    target.put(key, data)
    return len(data), hashlib.sha256(data).hexdigest()


def quarantined_of(target: Target, shard: int) -> list[QuarantinedRows]:
    """Return what was set aside of a shard, of a run that goes on as well."""
    data = target.get(quarantine_key(shard))
    return from_parquet(data) if data else []


def read_marker(target: Target, layout: StoreLayout, shard: int) -> Marker | None:
    """Return a shard's marker, or None where it is missing, torn, another run's or nobody's.

    What names other objects than the shard's own was not written by this engine.
    """
    data = target.get(marker_key(shard))
    try:
        values = json.loads(data or b"")
        objects = {key: (int(size), str(sha)) for key, (size, sha) in values["objects"].items()}
        ends = values["ascending"]
        if ends is not None:
            first, last = ends
            ends = int(first), int(last)
        marker = Marker(**{**values, "objects": objects, "ascending": ends})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    own = {shard_key(one, shard) for one in layout.fields}
    if set(objects) - {quarantine_key(shard)} != own:
        return None
    return marker if marker.shard == shard and layout.counts(marker) else None


def is_intact(target: Target, marker: Marker) -> bool:
    """Whether every object that a marker names is there, as it was written."""
    for key, (size, sha) in marker.objects.items():
        data = target.get(key)
        if data is None or len(data) != size or hashlib.sha256(data).hexdigest() != sha:
            return False
    return True


def marked_shards(target: Target, layout: StoreLayout) -> dict[int, Marker]:
    """Return every valid marker, whatever has become of the objects that it names."""
    keys = target.sizes(DONE)
    marked = [shard for shard in range(layout.shards) if marker_key(shard) in keys]
    with ThreadPoolExecutor(_READERS) as pool:
        markers = pool.map(lambda shard: read_marker(target, layout, shard), marked)
        return {marker.shard: marker for marker in markers if marker}


def done_shards(target: Target, layout: StoreLayout) -> dict[int, Marker]:
    """Return the markers of the shards whose objects are all there in their full size."""
    sizes = target.sizes()
    return {
        shard: marker
        for shard, marker in marked_shards(target, layout).items()
        if all(sizes.get(key) == size for key, (size, _) in marker.objects.items())
    }


def met_forms(markers: Mapping[int, Marker]) -> NormalForms:
    """Return the normal forms that were met in some shards."""
    return NormalForms.joined(markers[shard].forms for shard in sorted(markers))


def leftovers(target: Target, layout: StoreLayout, done: Iterable[int]) -> list[str]:
    """Return the keys that a stopped run left: objects of unmarked shards, temporary files."""
    kept = {*done, layout.growing}  # its rows from before must stay readable
    names = {one.name for one in layout.fields}
    stale = []
    for key in target.sizes():
        if is_lease(key):
            continue  # perhaps another driver's, which is being refused at this moment
        shard = shard_of(key, names)
        if is_temporary(key) or (shard is not None and not _is_in(shard, kept)):
            stale.append(key)
    return stale


def _is_in(shard: str, kept: set[int | None]) -> bool:
    return shard.isdigit() and int(shard) in kept
