"""Blocks that use much memory, to test running out of it. Imported by workers too."""

from __future__ import annotations

import time

import numpy as np

import paninifs as pf


@pf.map_block(fields=[pf.Field("held", "int32")], name="greedy_by_row", version="1")
def greedy_by_row(text):
    """Use 100 kB per text of a micro-batch."""
    hold(100_000 * len(text))
    return np.diff(text.offsets).astype("int32")


@pf.map_block(fields=[pf.Field("held", "int32")], name="greedy_at_one", version="1")
def greedy_at_one(text):
    """Use 1.2 GB for a micro-batch with the text ``poison``, however small it is."""
    if any(bytes(one) == b"poison" for one in text):
        hold(1_200_000_000)
    return np.diff(text.offsets).astype("int32")


def hold(nbytes):
    """Allocate memory piece by piece, until there is enough or the process is killed."""
    pieces = []
    for _ in range(0, nbytes, 32 << 20):
        pieces.append(np.ones(min(nbytes, 32 << 20), np.uint8))
        time.sleep(0.02)  # the nanny checks ten times per second
