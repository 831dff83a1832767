"""What limited a run: found from measured times, and left out where nothing stands out."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from watched import busy_bytes

import paninifs as pf
from paninifs.engine.monitoring.bottleneck import FIXED_COSTS, bound_by
from paninifs.engine.monitoring.display.notes import details_of, notes_of
from paninifs.engine.monitoring.events import AWAITED, Finished
from paninifs.engine.worker import compute
from paninifs.storage.targets.local import LocalTarget


@pytest.mark.parametrize(
    ("seconds", "busy", "cause"),
    [
        ({"hash": 6.0, "read": 1.0, AWAITED: 1.0}, {}, "computing"),
        ({"hash": 1.0, "read": 6.0, AWAITED: 1.0}, {}, "reading"),
        ({"hash": 1.0, "read": 1.0, AWAITED: 6.0}, {}, "writing"),
        ({"hash": 1.0, "read": 1.0, "write": 40.0}, {}, FIXED_COSTS),  # beside other work
        ({"hash": 3.0, "read": 3.0, AWAITED: 3.0}, {}, None),
        ({"hash": 1.0, "read": 6.0}, {"cpu_busy": 0.5}, "reading"),
        ({"hash": 1.0, "read": 6.0}, {"cpu_busy": 0.95}, "the processor"),
        ({"hash": 1.0, AWAITED: 6.0}, {"cpu_busy": 0.95}, "the processor"),
        ({"hash": 7.0, "read": 1.0}, {"cpu_busy": 0.95}, "computing"),
        ({"hash": 7.0, "read": 1.0}, {"device_busy": 0.9}, "the device"),
        ({"hash": 7.0, "read": 1.0}, {"device_busy": 0.1}, "copying to and from the device"),
        ({"hash": 25.0, "read": 6.0}, {"device_busy": 0.1}, "reading"),  # three calls at once
        ({}, {}, None),
    ],
)
def test_what_took_most_of_the_time_limits_a_run(seconds, busy, cause):
    found = bound_by(seconds, 10.0, **busy)
    assert (found and found.partition(":")[0]) == cause


def slow_store(monkeypatch):
    """Objects of shards take longer to write than shards to compute."""
    put = LocalTarget.put

    def slow(self, key, data, *others, **options):
        if threading.current_thread().name.startswith("paninifs-write"):
            time.sleep(0.05)
        return put(self, key, data, *others, **options)

    monkeypatch.setattr(LocalTarget, "put", slow)


def slow_source(monkeypatch):
    """Batches of texts take longer to read than to compute."""
    read = compute.read_stretches

    def slow(*arguments):
        for batch in read(*arguments):
            time.sleep(1.0)
            yield batch

    monkeypatch.setattr(compute, "read_stretches", slow)


def nothing(_):
    """Leave a block of the graph to take the time."""


@pytest.mark.slow("runs that last long enough to be measured")
@pytest.mark.parametrize(
    ("hindrance", "graph", "cause"),
    [
        (slow_store, pf.default_graph(), "writing: the threads waited "),
        (slow_source, pf.default_graph(), "reading: the threads waited "),
        (nothing, pf.Graph((busy_bytes,)), "computing: the blocks took "),
    ],
    ids=["slow store", "slow source", "heavy block"],
)
def test_runs_report_what_limits_them(
    hindrance, graph, cause, glosses, write_jsonl, tmp_path, monkeypatch
):
    hindrance(monkeypatch)
    corpus = pf.open_corpus([write_jsonl(glosses[:1000], f"{name}.jsonl") for name in "ab"])
    with pf.connect("threads", threads=1, quiet=True) as client:
        run = pf.submit(
            graph, corpus, tmp_path / "r.zarr", client=client, progress=False, shard_rows=128
        )
        run.result()
    record = run.record
    assert record.bound.startswith(cause)
    spent = record.block_seconds
    assert hindrance is not slow_store or spent[AWAITED] > spent["write"] / 5  # four at a time
    ended = Finished(record.seconds, record=record)
    assert notes_of(replace(ended, record=replace(record, seconds=9.0))) == []
    assert notes_of(replace(ended, record=replace(record, seconds=11.0))) == [
        f"the run was bound by {record.bound}"
    ]
    started = replace(record, seconds=11.0, bound=f"{FIXED_COSTS}: the blocks took 1 %")
    assert notes_of(replace(ended, record=started)) == []
    assert f"bound by {record.bound}" in details_of(ended)[0]
