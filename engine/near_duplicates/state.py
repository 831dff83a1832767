"""`Clusters`: the clusters of a store's rows, kept in the store with what they were computed from.

An extended store keeps its rows, so its clusters only grow. The digests show whether they
were computed from the keys that the store has now.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ...storage.store.keys import NEAR_DUPLICATES
from ...storage.targets.target import Target
from .key_blocks import KnownBlock

VERSION = 1
"""Version of the format and of the algorithm: raise it when either changes."""

PART_ROWS = 4 << 20
"""Number of near-duplicates per object."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """The rows that are near-duplicates of an earlier row, ascending, and their clusters.

    A cluster is named by its lowest row, which is not listed itself.
    """

    settings: Mapping[str, Any]
    known: tuple[KnownBlock, ...]
    rows: Rows
    clusters: Rows

    @property
    def texts(self) -> int:
        """Number of rows that were clustered."""
        return self.known[-1].stop if self.known else 0


def write_clusters(target: Target, name: str, clusters: Clusters) -> None:
    """Write clusters into a store; earlier ones are replaced once the new ones are complete."""
    folder = f"{NEAR_DUPLICATES}/{name}"
    before = list(target.sizes(folder))
    generation = uuid4().hex[:8]
    parts: list[str] = []
    for start in range(0, len(clusters.rows), PART_ROWS):
        table = pa.table(
            {
                "row": clusters.rows[start : start + PART_ROWS],
                "cluster": clusters.clusters[start : start + PART_ROWS],
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        parts.append(f"{folder}/members-{generation}-{len(parts)}.parquet")
        target.put(parts[-1], sink.getvalue())
    document = {
        "version": VERSION,
        "settings": dict(clusters.settings),
        "known": [list(asdict(one).values()) for one in clusters.known],
        "parts": parts,
    }
    target.put(_state_key(name), json.dumps(document).encode())
    target.delete([key for key in before if key != _state_key(name)])


def read_clusters(target: Target, name: str, settings: Mapping[str, Any]) -> Clusters | None:
    """Return a store's clusters; None if it has none with these settings, or they are damaged."""
    try:
        document = json.loads(target.get(_state_key(name)) or b"")
        if document["version"] != VERSION or document["settings"] != dict(settings):
            return None
        known = tuple(KnownBlock(int(a), int(b), str(c)) for a, b, c in document["known"])
        tables = [_table(target, key) for key in document["parts"]]
    except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    if not tables:
        none = np.empty(0, np.int64)
        return Clusters(settings, known, none, none)
    table = pa.concat_tables(tables)
    rows, clusters = (table[name].to_numpy() for name in ("row", "cluster"))
    found = Clusters(settings, known, rows, clusters)
    return found if _is_plausible(found) else None


def _table(target: Target, key: str) -> pa.Table:
    data = target.get(key)
    if data is None:
        raise KeyError(key)
    return pq.read_table(pa.BufferReader(data), columns=["row", "cluster"])


def _is_plausible(found: Clusters) -> bool:
    """Return whether rows ascend, are in range and above their clusters, and blocks adjoin."""
    starts = [0, *(one.stop for one in found.known)]
    adjoin = all(one.start == at < one.stop for one, at in zip(found.known, starts, strict=False))
    rows, clusters = found.rows, found.clusters
    return bool(
        adjoin
        and rows.dtype == clusters.dtype == np.int64
        and (np.diff(rows, prepend=-1) > 0).all()
        and (rows < found.texts).all()
        and ((clusters >= 0) & (clusters < rows)).all()
    )


def _state_key(name: str) -> str:
    return f"{NEAR_DUPLICATES}/{name}/clusters.json"
