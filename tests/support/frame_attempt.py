"""Frames whose partitions log when they are computed, and a run over one in its own process.

Imported by workers too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd

import paninifs as pf

ROWS = 500
PARTS = 6
SHARD_ROWS = 256


def texts(part, folder, seconds=0.0):
    """Return a partition, whose texts have the prefix that is in the file ``prefix``, if any."""
    with Path(folder, "log").open("a", encoding="utf-8") as lines:
        lines.write(f"{part}\n")
    time.sleep(seconds)
    rows = np.arange(part * ROWS, (part + 1) * ROWS)
    prefix = Path(folder, f"prefix{part}")
    before = prefix.read_text("utf-8") if prefix.exists() else ""
    return pd.DataFrame(
        {
            "text": [f"{before}{row} dhātu {row % 7}" for row in rows],
            "id": [f"t{row}" for row in rows],
            "n": rows,
        }
    )


def logged(folder, seconds=0.0):
    """Return a frame of `PARTS` partitions, which log in a folder that they are computed."""
    meta = pd.DataFrame({"text": ["a"], "id": ["b"], "n": [1]})
    return dd.from_map(texts, range(PARTS), folder=str(folder), seconds=seconds, meta=meta)


def computed(folder):
    """Return the partitions that were computed, in ascending order, and remove the log."""
    log = Path(folder, "log")
    if not log.exists():
        return []
    found = sorted(int(line) for line in log.read_text("utf-8").split())
    log.unlink()
    return found


@dataclass(frozen=True)
class FrameAttempt:
    """A run over `logged`, on a cluster of one thread."""

    folder: str
    results: str
    seconds: float

    def __call__(self) -> None:
        os.setpgid(0, 0)
        with pf.connect("threads", quiet=True) as client:
            frame = logged(self.folder, self.seconds)
            options = {"client": client, "progress": False, "shard_rows": SHARD_ROWS}
            pf.submit(pf.default_graph(), frame, self.results, **options).result()
