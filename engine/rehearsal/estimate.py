"""`store_bytes`: estimates the size of a store from a small store of the same corpus and fields."""

from __future__ import annotations

from collections.abc import Mapping

from ...storage.field import Field
from ...storage.store.encoding import chunk_rows
from ...storage.store.history import Summary
from ...storage.store.keys import DONE, QUARANTINE_KEY, QUARANTINE_PARTS
from ...storage.store.layout import DUPLICATE
from ...storage.store.shards import StoreLayout

_ENTRY = 16
"""Bytes per chunk in a shard's index."""

_CHECKSUM = 4
"""Bytes of the checksum after each chunk, and after a shard's index."""


def store_bytes(layout: StoreLayout, sizes: Mapping[str, int], summary: Summary) -> int:
    """Return the bytes that a store will have.

    The size of uncompressed values is exact. Compressed values are assumed to need as many bytes
    per text as in the small store; objects that exist once per store are assumed to have the same
    size.

    Parameters
    ----------
    layout : StoreLayout
        Layout of the large store.
    sizes : mapping
        Bytes of the small store's objects, by key.
    summary : Summary
        Summary of the small store.
    """
    fixed = (field for field in layout.fields if field.kind.codec == "bytes")
    plain = {field.name: field for field in fixed if not field.compress}
    packed = {field.name for field in layout.fields} - set(plain) | {DUPLICATE.name}
    total = float(sum(_plain_bytes(layout, field) for field in plain.values()))
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
    """Return the bytes of all shards of an uncompressed field, in whole chunks."""
    rows = chunk_rows(layout.shard_rows, field.row_bytes, layout.chunk_bytes)
    index = _ENTRY * -(-layout.shard_rows // rows) + _CHECKSUM
    full, rest = divmod(layout.rows, layout.shard_rows)
    chunks = full * -(-layout.shard_rows // rows) + -(-rest // rows)
    return layout.shards * index + chunks * (rows * field.row_bytes + _CHECKSUM)
