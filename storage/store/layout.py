"""The Zarr metadata of a store: its arrays, their chunks and shards, the names of their axes.

Metadata is made once, in memory, with zarr itself, and written before any value. Nothing here
touches a file. The bytes of values are encoded in `encoding`, and keys are defined in `keys`.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.codecs import (
    BytesCodec,
    Crc32cCodec,
    ShardingCodec,
    VLenBytesCodec,
    VLenUTF8Codec,
    ZstdCodec,
)
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from ..errors import UsageError
from ..field import STRING, Field
from ..rows import Column
from .encoding import ZSTD_LEVEL, chunk_rows
from .keys import CLIMBS, NEAR_DUPLICATES, REDUCTIONS, ROOT_KEY

LAYOUT_VERSION = 3
"""Increased when arrays, chunks, codecs or markers change, so that no store mixes versions."""

TEXT = "text"
VALID = Field("valid", "bool", description="computed; false: not done yet, or quarantined")
DUPLICATE = Field("duplicate", "bool", description="whether an earlier text has the same digest")


def stored_fields(
    identity: Column | None, keep: Sequence[Column], computed: Sequence[Field]
) -> tuple[Field, ...]:
    """Return every array of a store in the order in which a shard is written, `valid` last.

    Raises
    ------
    UsageError
        Two arrays would have the same name.
    """
    fields = []
    if identity is None:
        fields.append(Field("id", "int64", description="row number in the corpus"))
    else:
        fields += _column_fields("id", identity.kind, f"the corpus's column {identity.name!r}")
    for column in keep:
        fields += _column_fields(column.array, column.kind, "kept from the corpus")
    fields += [array for field in computed for array in field.arrays]
    fields.append(VALID)
    taken: set[str] = set()
    folders = {REDUCTIONS, CLIMBS, NEAR_DUPLICATES}
    for name in [f.name for f in fields] + sorted({d for f in fields for d in f.dims or ()}):
        if name in taken or name == TEXT:
            raise UsageError(
                f"two arrays of the results would be called {name!r}; rename the field or "
                "dimension, or do not keep the column"
            )
        if name in folders:
            raise UsageError(
                f"an array cannot be called {name!r}, as a folder of the store is; rename the "
                "field or dimension, or do not keep the column"
            )
        taken.add(name)
    return tuple(fields)


def array_names(computed: Sequence[Field], keep: Sequence[str]) -> frozenset[str]:
    """Return the names of all arrays that a store may have, without counting its corpus.

    Parameters
    ----------
    computed : sequence of Field
        The graph's fields.
    keep : sequence of str
        The columns of the corpus that are kept.

    Examples
    --------
    >>> sorted(array_names([Field("n", "int32", (2,), ("axis",))], ["doc.lang"]))
    ['axis', 'doc_lang', 'doc_lang_valid', 'duplicate', 'id', 'id_valid', 'n', 'valid']
    """
    columns = ["id", *(Column(name, STRING).array for name in keep)]
    return frozenset(
        [
            *(field.name for name in columns for field in _column_fields(name, STRING, "")),
            *(array.name for field in computed for array in field.arrays),
            *(dim for field in computed for dim in field.dims or ()),
            *(VALID.name, DUPLICATE.name),
        ]
    )


def _column_fields(name: str, kind: str, description: str) -> list[Field]:
    return [
        Field(name, kind, description=description),
        Field(f"{name}_valid", "bool", description=f"whether {name} is known (it was not null)"),
    ]


_CODECS = {
    "bytes": BytesCodec(endian="little"),
    "vlen-utf8": VLenUTF8Codec(),
    "vlen-bytes": VLenBytesCodec(),
}

_SPECIFIED = {"variable_length_bytes": "bytes"}
"""Names of data types that have a specification, by the name that zarr-python writes. It reads
both, and warns when it writes its own."""


def _create(group: zarr.Group, field: Field, rows: int, shard_rows: int, chunk_bytes: int) -> None:
    kind = field.kind
    last = ZstdCodec(level=ZSTD_LEVEL, checksum=True) if field.compress else Crc32cCodec()
    described = {"description": field.description} if field.description else {}
    # The CF conventions link an array to the one that says which values are known.
    linked = {"ancillary_variables": field.mask} if field.nullable else {}
    chunk = chunk_rows(shard_rows, field.row_bytes, chunk_bytes)
    with filters_lock, warnings.catch_warnings():
        # zarr-python warns about names that `_specified` replaces.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        group.create_array(
            field.name,
            shape=(rows, *field.shape),
            chunks=(shard_rows, *field.shape),
            dtype=kind.zarr_dtype,
            fill_value=kind.zarr_fill,
            filters=None,
            compressors=None,
            # The index comes first: some object stores do not serve the last bytes of an object.
            serializer=ShardingCodec(
                chunk_shape=(chunk, *field.shape),
                codecs=[_CODECS[kind.codec], last],
                index_location="start",
            ),
            dimension_names=(TEXT, *(field.dims or ())),
            attributes={**described, **kind.attributes, **linked},
        )


# Python's warning filters are shared by all threads: two runs that begin together would restore
# each other's settings.
filters_lock = threading.Lock()


def metadata(
    fields: Sequence[tuple[Field, int, int]],
    rows: int,
    attributes: Mapping[str, Any],
    reductions: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Return the metadata objects of a store: key to bytes, the root last.

    The root's metadata is consolidated and carries `attributes`.

    Parameters
    ----------
    fields : sequence of tuple
        Each array, the rows of its shards, and the `chunk_bytes` of `chunk_rows`.
    reductions : mapping, optional
        Metadata objects of the results of reductions, by key.
    """
    written: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(written), zarr_format=3)
    if reductions:
        group.create_group(REDUCTIONS)
        new = default_buffer_prototype().buffer.from_bytes
        written.update({key: new(data) for key, data in reductions.items()})
    for field, shard_rows, chunk_bytes in fields:
        _create(group, field, rows, shard_rows, chunk_bytes)
    labels = {dim: names for field, *_ in fields for dim, names in field.labels.items()}
    for dim, names in labels.items():
        values = np.asarray(names)
        text = values.dtype.kind in "US"
        array = group.create_array(
            dim,
            shape=values.shape,
            chunks=values.shape,
            dtype=STRING if text else values.dtype,
            fill_value="" if text else 0,
            dimension_names=(dim,),
        )
        array[:] = values.astype(object) if text else values
    # xarray reads this attribute and makes the texts' ids a coordinate.
    group.attrs.update({**attributes, "coordinates": "id"})
    with filters_lock, warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; all readers support it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        zarr.consolidate_metadata(group.store)
    keys = sorted(written, key=lambda key: (key == ROOT_KEY, key))
    return {key: _specified(written[key].to_bytes()) for key in keys}


def _specified(data: bytes) -> bytes:
    """Return a metadata object with the specified names of data types."""
    for name, specified in _SPECIFIED.items():
        data = data.replace(
            f'"data_type": "{name}"'.encode(), f'"data_type": "{specified}"'.encode()
        )
    return data


def with_attributes(root: bytes, **attributes: Any) -> bytes:
    """Return the root's metadata with some attributes set."""
    document = json.loads(root)
    document["attributes"].update(attributes)
    return json.dumps(document, indent=2).encode()
