"""One object of the ledger: the items that were decided between two commits, as Parquet.

Its metadata hold the state of every source, so the newest object says where each is resumed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ....storage.errors import ResultsDamaged
from ..outcome import FAILED
from .source_state import SourceState

LEDGER_SCHEMA = pa.schema(
    [
        pa.field("source", pa.int32(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("last_modified", pa.string(), nullable=False),
        pa.field("received_bytes", pa.int64(), nullable=False),
        pa.field("retrieved", pa.timestamp("us", tz="UTC")),
        pa.field("part", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("item", pa.string(), nullable=False),
    ]
)

STATE_METADATA = b"paninifs.collection"
"""Metadata key under which an object of the ledger holds its state, as JSON."""

_BATCH_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The decision about an item.

    Attributes
    ----------
    source, seq
        Number of the source in the corpus, and number of the item in listing order.
    kind
        ``"kept"``, ``"skipped"`` or ``"failed"``.
    reason, detail
        Empty if it is kept.
    sha256
        Digest of its text; empty if it has none.
    part, row
        Where its text is; None if it is not kept.
    item
        The item as JSON, if it can be retried.
    """

    source: int
    seq: int
    key: str
    kind: str
    reason: str = ""
    detail: str = ""
    url: str = ""
    sha256: str = ""
    etag: str = ""
    last_modified: str = ""
    received_bytes: int = 0
    retrieved: datetime | None = None
    part: int | None = None
    row: int | None = None
    item: str = ""


NAMES = tuple(one.name for one in fields(Entry))


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """A part that a commit wrote."""

    number: int
    rows: int
    size: int
    """Bytes of the file."""
    sha256: str
    """SHA-256 of the file, in hexadecimal digits."""


@dataclass(frozen=True, kw_only=True)
class LedgerState:
    """The corpus as of a commit: its sources, and the totals of its parts."""

    sources: tuple[SourceState, ...] = ()
    parts: int = 0
    rows: int = 0
    size: int = 0
    """Total bytes of the parts."""
    part: PartFacts | None = None
    """The part of this commit, if it had rows."""

    def to_json(self) -> bytes:
        """Return the state as JSON."""
        return json.dumps(
            {
                "version": 1,
                "sources": [one.to_json() for one in self.sources],
                "parts": self.parts,
                "rows": self.rows,
                "size": self.size,
                "part": None if self.part is None else vars(self.part),
            }
        ).encode()


def batch_of(entries: Sequence[Entry]) -> pa.RecordBatch:
    """Return entries as columns, which take less memory."""
    columns = {name: [getattr(one, name) for one in entries] for name in NAMES}
    return pa.RecordBatch.from_pydict(columns, schema=LEDGER_SCHEMA)


def encode(batches: Sequence[pa.RecordBatch], state: LedgerState) -> bytes:
    """Return an object of the ledger."""
    buffer = io.BytesIO()
    schema = LEDGER_SCHEMA.with_metadata({STATE_METADATA: state.to_json()})
    with pq.ParquetWriter(buffer, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """Return the SHA-256 of an object, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def state_of(data: bytes, name: str) -> LedgerState:
    """Return the state in an object of the ledger.

    Raises
    ------
    ResultsDamaged
        It is not from `encode`; the message has `name`.
    """
    try:
        metadata = pq.read_schema(io.BytesIO(data)).metadata or {}
        found = json.loads(metadata[STATE_METADATA])
        return LedgerState(
            sources=tuple(map(SourceState.of_json, found["sources"])),
            parts=int(found["parts"]),
            rows=int(found["rows"]),
            size=int(found["size"]),
            part=_part(found["part"]),
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ResultsDamaged(f"{name} is damaged: {error}") from error


def _part(found: Mapping[str, Any] | None) -> PartFacts | None:
    if found is None:
        return None
    return PartFacts(
        number=int(found["number"]),
        rows=int(found["rows"]),
        size=int(found["size"]),
        sha256=str(found["sha256"]),
    )


def entries_of(data: bytes, name: str, columns: Sequence[str] = NAMES) -> Iterator[dict[str, Any]]:
    """Yield the entries of an object of the ledger, in order, with some of their fields.

    Raises
    ------
    ResultsDamaged
        The object is damaged.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns)):
            yield from cast(list[dict[str, Any]], batch.to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ResultsDamaged(f"{name} is damaged: {error}") from error


def is_failure(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is that of an item that has failed."""
    return entry["reason"] in FAILED
