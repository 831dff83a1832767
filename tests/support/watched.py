"""Blocks for tests that watch a run: some keep the processor busy, one only sleeps."""

from __future__ import annotations

import time

import numpy as np

import paninifs as pf

SECONDS_PER_TEXT = 0.001


@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    """Count different words, as a user might."""
    return np.array([len(set(one.lower().split())) for one in text.to_strings()], "int32")


@pf.map_block(fields=[pf.Field("busy", "int32")])
def busy_bytes(text):
    """Keep the processor busy for `SECONDS_PER_TEXT` per text."""
    end = time.thread_time() + SECONDS_PER_TEXT * len(text)
    while time.thread_time() < end:
        pass
    return np.diff(text.offsets).astype("int32")


@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes_at_leisure(text):
    time.sleep(SECONDS_PER_TEXT * len(text))
    return np.diff(text.offsets).astype("int32")
