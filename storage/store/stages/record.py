"""`StageRecord`: what a later stage of a store is computed from; and `Stages`, all of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...field import Field
from ...targets.target import Target
from ..keys import ROOT_KEY, STAGES, reduction_folder, stage_key
from ..manifest import Manifest
from ..shards import StoreLayout


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What the values of a later stage depend on, besides the corpus.

    Parameters
    ----------
    name : str
        The first field, or the reduction.
    number : int
        Position in the store; the first stage has 0.
    blocks : mapping
        Descriptions of its blocks, by name.
    fields : tuple of Field
        The fields of a pass; empty for a reduction.
    after : tuple of str
        Later stages whose fields, or results, its blocks take.
    results : mapping
        Digests of the results of reductions that its blocks take, by name.
    shard_rows : int
        Rows per shard of a pass.
    chunk_bytes : int
        See `encoding.chunk_rows`.
    """

    name: str
    number: int
    blocks: Mapping[str, Any]
    fields: tuple[Field, ...] = ()
    after: tuple[str, ...] = ()
    results: Mapping[str, str]
    shard_rows: int = 0
    chunk_bytes: int = 0

    @property
    def is_reduction(self) -> bool:
        """Whether it is one result for all texts, and not a pass over the shards."""
        return not self.fields

    @property
    def valid(self) -> Field:
        """The array that says which rows a pass has computed."""
        names = ", ".join(field.name for field in self.fields)
        return Field(
            f"valid_{self.name}", "bool", description=f"whether the row was computed: {names}"
        )

    @property
    def arrays(self) -> tuple[Field, ...]:
        """The arrays of a pass, in the order in which a shard is written."""
        if not self.fields:
            return ()
        return (*(array for field in self.fields for array in field.arrays), self.valid)

    @property
    def names(self) -> frozenset[str]:
        """The names of the arrays of a pass, and of the dimensions of its fields."""
        dims = (dim for field in self.fields for dim in field.dims or ())
        return frozenset([*(one.name for one in self.arrays), *dims])

    @property
    def listing_key(self) -> str:
        """The key of the object by which readers see the stage."""
        folder = reduction_folder(self.name) if self.is_reduction else self.fields[0].name
        return f"{folder}/{ROOT_KEY}"

    def to_json(self) -> bytes:
        """Encode the record."""
        document = {
            "name": self.name,
            "number": self.number,
            "blocks": self.blocks,
            "fields": [field.describe() for field in self.fields],
            "after": list(self.after),
            "results": dict(self.results),
            "shard_rows": self.shard_rows,
            "chunk_bytes": self.chunk_bytes,
        }
        return json.dumps(document, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> StageRecord:
        """Decode what `to_json` wrote."""
        document = json.loads(data)
        return cls(
            name=document["name"],
            number=document["number"],
            blocks=document["blocks"],
            fields=tuple(map(Field.described, document["fields"])),
            after=tuple(document["after"]),
            results=document["results"],
            shard_rows=document["shard_rows"],
            chunk_bytes=document["chunk_bytes"],
        )


class Stages:
    """The later stages of a store, in order.

    Parameters
    ----------
    manifest : Manifest
        The manifest of the first stage.
    records : sequence of StageRecord

    Attributes
    ----------
    manifest : Manifest
    records : tuple of StageRecord
        Sorted by number.
    """

    def __init__(self, manifest: Manifest, records: Sequence[StageRecord]) -> None:
        self.manifest = manifest
        self.records = tuple(sorted(records, key=lambda record: record.number))
        self._by_name = {record.name: record for record in self.records}

    @classmethod
    def read(cls, target: Target, manifest: Manifest) -> Stages:
        """Read the later stages of a store; incomplete records are ignored."""
        return cls(manifest, list(_records(target)))

    def __iter__(self) -> Iterator[StageRecord]:
        return iter(self.records)

    def __getitem__(self, name: str) -> StageRecord:
        return self._by_name[name]

    def get(self, name: str) -> StageRecord | None:
        """Return a stage, or None if the store does not have it."""
        return self._by_name.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def including(self, record: StageRecord) -> Stages:
        """Return these stages with another one, or with one replaced."""
        others = [one for one in self.records if one.name != record.name]
        return Stages(self.manifest, [*others, record])

    @property
    def blocks(self) -> list[list[str]]:
        """The names of the blocks of every stage, the first one included."""
        first = list(self.manifest.facts["graph"])
        return [first, *(list(record.blocks) for record in self.records)]

    def fingerprint(self, record: StageRecord, base: str | None = None) -> str:
        """Return the digest of everything on which the values of a stage depend.

        Parameters
        ----------
        base : str, optional
            The fingerprint of the manifest, or its former one before an extension.
        """
        base = base or self.manifest.fingerprint
        before = [self.fingerprint(self._by_name[name], base) for name in record.after]
        facts = [base, record.blocks, before, record.results]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def layout(self, record: StageRecord) -> StoreLayout:
        """Return how a pass is divided into shards.

        Shards that were full before an extension stay as they are, unless their values depend on
        all texts.
        """
        manifest = self.manifest
        earlier = {} if self._depends_on_all(record) else manifest.stages
        return StoreLayout(
            record.arrays,
            manifest.rows,
            record.shard_rows,
            self.fingerprint(record),
            earlier={self.fingerprint(record, one.fingerprint): one.rows for one in earlier},
            stage=record.name,
            chunk_bytes=record.chunk_bytes,
        )

    def _depends_on_all(self, record: StageRecord) -> bool:
        return bool(record.results) or any(
            self._depends_on_all(self._by_name[name]) for name in record.after
        )

    def needing(self, name: str) -> list[str]:
        """Return the names of the stages whose blocks take what a stage makes."""
        return [record.name for record in self.records if name in (*record.after, *record.results)]

    def masks(self, record: StageRecord) -> tuple[str, ...]:
        """Return the arrays that say which rows a stage can compute, of all that it follows."""
        passes = [self._by_name[name] for name in record.after]
        return ("valid", *(one.valid.name for one in passes if not one.is_reduction))


def _records(target: Target) -> Iterator[StageRecord]:
    for key in target.sizes(STAGES):
        name, _, last = key.removeprefix(f"{STAGES}/").partition("/")
        if key != stage_key(name) or last != "stage.json":
            continue
        try:
            yield StageRecord.from_json(target.get(key) or b"")
        except (ValueError, KeyError, TypeError):
            continue


def is_listed(target: Target, record: StageRecord) -> bool:
    """Return whether readers of a store see a stage."""
    return target.get(record.listing_key) is not None
