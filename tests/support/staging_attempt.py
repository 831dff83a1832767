"""Runs over a frame whose partitions log when they are computed, in a process of their own.

Imported by workers too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import paninifs as pf


def log_part(part, log, seconds):
    """Log that a partition is computed, and take a while for it."""
    if len(part):  # not dask's empty example
        with Path(log).open("a", encoding="utf-8") as lines:
            lines.write(f"{part.id.iloc[0]}\n")
        time.sleep(seconds)
    return part.assign(text=part.text.str.upper())


def logged_frame(corpus, log, seconds=0.0):
    """Return the frame of a corpus, through `log_part`."""
    frame = pf.open_corpus(corpus).frame
    return frame.map_partitions(log_part, str(log), seconds, meta=frame._meta)


@dataclass(frozen=True)
class StagingAttempt:
    """A run over `logged_frame`, on a cluster of one thread."""

    corpus: str
    results: str
    log: str
    seconds: float
    stage: bool | None = True

    def __call__(self) -> None:
        os.setpgid(0, 0)
        with pf.connect("threads", quiet=True) as client:
            frame = logged_frame(self.corpus, self.log, self.seconds)
            options = {"client": client, "progress": False, "stage": self.stage}
            pf.submit(pf.default_graph(), frame, self.results, **options).result()
