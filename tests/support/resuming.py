"""Helpers for tests of stopped runs: attempts at one corpus, and the checks at the end."""

from __future__ import annotations

import numpy as np
import zarr
from faults import Attempt
from witness import testimony

from paninifs.storage.targets.local import LocalTarget

SHARD_ROWS = 64
SHARDS = 6


def attempt_at(corpus, folder, shards=SHARDS, **options):
    files = f"{corpus[0]}/[0-{shards - 1}].jsonl"
    return Attempt(files, str(folder / "out.zarr"), str(folder / "log"), SHARD_ROWS, **options)


def keys_and_bytes(store):
    target = LocalTarget(store)
    keys = {key for key in target.sizes() if not key.startswith("_run/lease/")}
    # A run that was stopped after all was computed leaves no timeline, and neither does the next.
    keys = {key for key in keys if not key.startswith("_run/timeline-")}
    # The index is named after the fingerprint, which depends on the path of the log.
    keys = {"_run/index" if key.startswith("_run/index-") else key for key in keys}
    return keys, {key: target.get(key) for key in keys if "/c/" in key}


def assert_same_and_no_shard_twice(corpus, folder, undisturbed):
    keys, values = keys_and_bytes(folder / "out.zarr")
    expected_keys, expected = keys_and_bytes(undisturbed)
    assert keys == expected_keys
    assert values == expected
    one, other = (zarr.open_group(store, mode="r") for store in (folder / "out.zarr", undisturbed))
    assert one.attrs["complete"] is True
    for name, array in other.arrays():
        np.testing.assert_array_equal(one[name][:], array[:])
    assert testimony(folder / "log", corpus[1]).problems == []


def run_to_the_end(start, corpus, folder, shards=SHARDS, **options):
    process = start(attempt_at(corpus, folder, shards, **options))
    process.join()
    assert process.exitcode == 0
