"""A stand-in for a collection: commits parts and says how far it is, object by object."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from paninifs.engine.collecting.ledger.collection_keys import STATE_KEY
from paninifs.engine.collecting.ledger.ledger_object import STATE_METADATA
from paninifs.storage.targets.open import open_target


class Growing:
    """A corpus folder that grows when a test says so."""

    def __init__(self, url: Any) -> None:
        self.url = str(url)
        self.target = open_target(self.url)
        self.parts = self.objects = 0
        self.state(complete=False)

    def state(self, *, complete: bool, **others: Any) -> None:
        self.target.put(STATE_KEY, json.dumps({"complete": complete, **others}).encode())

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the next part, which is not committed yet."""
        self.target.put(f"part-{self.parts:06d}.parquet", parquet(pa.Table.from_pylist(rows)))

    def commit(self, parts: int | None = None) -> None:
        """Write an object of the ledger that counts one part more."""
        self.parts = self.parts + 1 if parts is None else parts
        state = {STATE_METADATA: json.dumps({"version": 1, "parts": self.parts})}
        table = pa.table({"seq": [self.objects]}).replace_schema_metadata(state)
        self.target.put(f"_collection/ledger/{self.objects:06d}.parquet", parquet(table))
        self.objects += 1

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.write(rows)
        self.commit()


def parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
