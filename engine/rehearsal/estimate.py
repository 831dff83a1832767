"""`store_bytes`: how large a store will be, by a small one of the same corpus and fields."""

from __future__ import annotations

from collections.abc import Mapping

from ...storage.field import Field
from ...storage.store.duplicates import DUPLICATE
from ...storage.store.encoding import chunk_rows
from ...storage.store.keys import DONE, QUARANTINE_KEY, QUARANTINE_PARTS
from ...storage.store.lifecycle import Summary
from ...storage.store.shards import StoreLayout

_ENTRY = 16  # of a shard's index, for a chunk
_CHECKSUM = 4


def store_bytes(layout: StoreLayout, sizes: Mapping[str, int], summary: Summary) -> int:
    """Return the bytes that a store will have.

    Values that are not compressed are known to the byte; the others take as much a text as they do
    in the small store, and what is of the whole store as much as there.

    Parameters
    ----------
    layout : StoreLayout
        Of the large store.
    sizes : mapping
        Bytes of the small store's objects, by key.
    summary : Summary
        What the small store holds.
    """
    plain = {one.name: one for one in layout.fields if not one.compress}
    packed = {one.name for one in layout.fields if one.compress} | {DUPLICATE.name}
    total = float(sum(_plain_bytes(layout, one) for one in plain.values()))
    for key, size in sizes.items():
        name, _, rest = key.partition("/c/")
        if name in plain and rest:
            continue
        if (name in packed and rest) or key == QUARANTINE_KEY or key.startswith(QUARANTINE_PARTS):
            total += size / summary.rows * layout.rows
        elif key.startswith(f"{DONE}/"):
            total += size / summary.shards * layout.shards
        else:
            total += size
    return round(total)


def _plain_bytes(layout: StoreLayout, field: Field) -> int:
    """Return the bytes of all shards of a field that is not compressed: whole chunks."""
    rows = chunk_rows(layout.shard_rows)
    index = _ENTRY * -(-layout.shard_rows // rows) + _CHECKSUM
    full, rest = divmod(layout.rows, layout.shard_rows)
    chunks = full * -(-layout.shard_rows // rows) + -(-rest // rows)
    return layout.shards * index + chunks * (rows * field.row_bytes + _CHECKSUM)
