"""Timelines and records: what a store remembers of the runs that filled it."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched import busy_bytes

import paninifs as pf
from paninifs.engine.costs.meter import Meter
from paninifs.engine.monitoring.events import (
    AWAITED,
    EventStream,
    Finished,
    LoadSampled,
    Notice,
    Planned,
    ShardDone,
    TaskBegun,
)
from paninifs.engine.monitoring.load import Load, load_of
from paninifs.engine.monitoring.progress import Progress
from paninifs.engine.monitoring.recorder import Recorder
from paninifs.engine.run import submit as submit_module
from paninifs.storage.store.history import MOST_SAMPLES, Sample, Timeline, read_timeline
from paninifs.storage.store.keys import timeline_key
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.local import LocalTarget


def sample(seconds, rows):
    return Sample(seconds=seconds, rows_done=rows, text_bytes=10 * rows, quarantined=0, retries=0)


@given(st.integers(0, 3000))
def test_a_timeline_stays_short_and_keeps_both_ends(count):
    line = Timeline()
    for at in range(count):
        line.add(sample(at, at))
    line.close(sample(count, count))
    times = line.column("seconds")
    assert len(times) <= MOST_SAMPLES + 1
    assert times == sorted(set(times))
    assert times[-1] == count
    if count:
        assert times[0] <= count / 100
    steps = [later - sooner for sooner, later in pairwise(times[:-1])]
    assert not steps or max(steps) <= 2 * min(steps)  # nowhere a hole


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=50))
def test_rates_add_up_to_what_was_done(growth):
    rows, line = 0, Timeline()
    for at, more in enumerate(growth):
        rows += more
        line.add(sample(at, rows))
    rates = line.rates("rows_done", window=1.0)
    assert sum(rates) == pytest.approx(rows - growth[0])
    assert all(rate >= 0 for rate in rates)


def test_an_unreadable_timeline_is_none(tmp_path):
    target = LocalTarget(tmp_path / "x.zarr")
    assert read_timeline(target, 0) is None
    for torn in (b"", b"[]", b"null", b"{", b'{"seconds": [1]}', b'{"else": [1]}'):
        target.put(timeline_key(0), torn)
        assert read_timeline(target, 0) is None


def test_a_finished_run_leaves_a_timeline_and_a_record(client, glosses, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl([*glosses, {"id": 1, "text": None}]))
    run = pf.submit(
        pf.default_graph(),
        corpus,
        tmp_path / "r.zarr",
        client=client,
        progress=False,
        shard_rows=256,
    )
    summary = run.result()
    target = LocalTarget(tmp_path / "r.zarr")
    manifest = read_manifest(target)
    (record,) = manifest.runs
    assert record == run.record
    assert (record.rows, record.rows_before, record.quarantined) == (2001, 0, 1)
    assert record.text_bytes == summary.text_bytes == sum(len(r["text"].encode()) for r in glosses)
    assert (record.workers, record.threads, record.retries) == (2, 2, 0)
    assert (record.backend, record.cluster) == ("cpu", "processes of this machine")
    assert record.versions["paninifs"] == pf.__version__
    assert set(record.block_seconds) == {"read", "default_graph", "write", AWAITED}
    assert 0 < record.peak_memory < record.memory_limit
    assert record.cpu_busy is None  # it was over before the workers told
    assert record.device_busy is None
    assert record.bound
    assert record.limit_texts_per_second > 100_000
    assert 0 < record.seconds < 300
    line = read_timeline(target, 0)
    assert line.samples[-1].rows_done == 2001
    assert line.samples[-1].quarantined == 1
    assert line.samples[-1].micro_batch > 0
    counts = {**manifest.summary, "results": summary.results}
    assert type(summary)(**counts) == summary
    # A run with nothing to compute leaves none.
    again = pf.submit(
        pf.default_graph(), corpus, tmp_path / "r.zarr", client=client, progress=False
    )
    again.result()
    assert again.record is None
    assert read_manifest(target) == manifest


def test_resumed_and_extended_stores_have_a_record_per_run(client, glosses, write_jsonl, tmp_path):
    first, second = write_jsonl(glosses[:300], "a.jsonl"), write_jsonl(glosses[300:500], "b.jsonl")
    options = {"client": client, "progress": False, "shard_rows": 64}
    store = tmp_path / "r.zarr"
    pf.submit(pf.default_graph(), pf.open_corpus(first), store, **options).result()
    (store / "_run/done/00000001.json").unlink()
    pf.submit(pf.default_graph(), pf.open_corpus(first), store, **options).result()
    both = pf.open_corpus([first, second])
    pf.submit(pf.default_graph(), both, store, extend=True, **options).result()
    runs = read_manifest(LocalTarget(store)).runs
    # The extension computes the partly full shard again.
    assert [(run.rows_before, run.rows) for run in runs] == [(0, 300), (236, 64), (256, 244)]
    assert [read_timeline(LocalTarget(store), at).samples[-1].rows_done for at in range(3)] == [
        300,
        300,
        500,
    ]
    assert pf.verify(store).passed


def test_a_manifest_of_another_engine_version_is_read(client, glosses, write_jsonl, tmp_path):
    store = tmp_path / "r.zarr"
    corpus = pf.open_corpus(write_jsonl(glosses[:10]))
    pf.submit(pf.default_graph(), corpus, store, client=client, progress=False).result()
    path = store / "_run/manifest.json"
    document = json.loads(path.read_text())
    document["runs"][0]["of another version"] = 1
    path.write_text(json.dumps(document))
    assert read_manifest(LocalTarget(store)).runs[0].rows == 10
    del document["runs"], document["summary"]
    path.write_text(json.dumps(document))
    assert read_manifest(LocalTarget(store)).runs == ()
    assert (
        pf.submit(pf.default_graph(), corpus, store, client=client, progress=False).result().done
        == 10
    )


def test_a_run_finishes_even_if_its_record_cannot_be_made(
    client, glosses, write_jsonl, tmp_path, monkeypatch
):
    def broken(*_):
        raise ZeroDivisionError("no rate is known")

    monkeypatch.setattr(Meter, "limit", broken)
    corpus, store = pf.open_corpus(write_jsonl(glosses[:10])), tmp_path / "r.zarr"
    run = pf.submit(pf.default_graph(), corpus, store, client=client, progress=False)
    said = []
    run.events.subscribe(said.append)
    assert run.result().done == 10
    told = [event.text for event in said if isinstance(event, Notice)]
    assert told == ["the store keeps no record of the run: ZeroDivisionError: no rate is known"]
    manifest = read_manifest(LocalTarget(store))
    assert (manifest.runs, manifest.summary["done"]) == ((), 10)


def test_a_run_that_cannot_begin_releases_the_store(
    client, glosses, write_jsonl, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    corpus = pf.open_corpus(write_jsonl(glosses[:10]))
    options = {"client": client, "progress": False}
    for name in ("install", "dashboard_link", "Run"):
        with monkeypatch.context() as patch:
            patch.setattr(submit_module, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                pf.submit(pf.default_graph(), corpus, tmp_path / "r.zarr", **options)
    done = pf.submit(pf.default_graph(), corpus, tmp_path / "r.zarr", **options).result().done
    assert done == 10


def test_processor_use_is_that_of_the_run_alone(client, glosses, write_jsonl, tmp_path):
    """The idle time of the workers before the run does not count."""
    corpus = pf.open_corpus([write_jsonl(glosses, f"{name}.jsonl") for name in "abc"])
    time.sleep(1.5)  # they have told that they are idle
    graph = pf.Graph((busy_bytes,))
    run = pf.submit(
        graph, corpus, tmp_path / "r.zarr", client=client, progress=False, shard_rows=512
    )
    run.result()
    known = [one for one in run.timeline.samples if one.cpu is not None]
    assert known
    assert known[0].seconds > 1  # not what was seen before the work began
    assert run.record.cpu_busy == pytest.approx(
        sum(one.cpu for one in known) / sum(one.threads for one in known), abs=0.01
    )
    assert run.record.bound.startswith("computing")


def test_a_timeline_does_not_grow_while_it_is_drawn():
    """Otherwise its rates and its times could differ in length."""
    progress = Progress(state="running")
    recorder = Recorder(
        progress,
        backend="cpu",
        cluster="",
        meter=Meter(None, is_default=False),
        report=lambda *_: None,
    )
    taken = recorder.timeline
    recorder._line.add(recorder.sample())
    assert len(taken.samples) == 0
    assert len(recorder.timeline.samples) == 1


def plan(*, rows, shards, **done):
    done = {"rows_done": 0, "shards_done": 0} | done
    return Planned(rows=rows, shards=shards, shard_rows=rows // shards, **done)


def test_restarted_tasks_are_counted():
    progress = Progress()
    progress.listen(plan(rows=100, shards=2, partitions=2))
    for partition in (0, 1, 0, 0):
        progress.listen(TaskBegun(partition))
    assert progress.retries == 2


def test_time_left_is_remaining_rows_at_this_runs_rate():
    progress = Progress()
    progress.listen(plan(rows=1000, shards=4, partitions=3, rows_done=250, shards_done=1))
    assert progress.seconds_left is None
    progress.listen(ShardDone(shard=1, rows=250, quarantined=0, text_bytes=5000))
    progress.elapsed = 10.0
    assert progress.texts_per_second == 25.0
    assert progress.bytes_per_second == 500.0
    assert progress.seconds_left == 20.0


def test_worker_loads_are_published_but_not_kept():
    """A run of weeks would have to keep a million of them."""
    stream, heard, late = EventStream(), [], []
    stream.subscribe(heard.append)
    busy = LoadSampled(Load(workers=1, threads=1, cpu=0.5, memory=1, spilled=0))
    for event in (busy, Finished(1.0)):
        stream.publish(event)
    stream.subscribe(late.append)
    assert heard == [busy, Finished(1.0)]
    assert late == [Finished(1.0)]


def test_a_load_sums_workers_and_reports_devices():
    told = {
        "nthreads": 1,
        "memory_limit": 0,
        "metrics": {
            "cpu": 50.0,
            "memory": 10,
            "spilled_bytes": {"memory": 1, "disk": 2},
            "gpu": {"utilization": 40, "memory-used": 5},
        },
        "gpu": {"name": "T4", "memory-total": 16},
    }
    load = load_of({"a": told, "b": told})
    assert (load.cpu, load.threads, load.memory, load.spilled) == (1.0, 2, 20, 4)
    assert load.memory_limit is None
    assert (load.device, load.device_memory, load.device_memory_total) == (0.4, 10, 32)
    assert load_of({}) == Load(workers=0, threads=0, cpu=0.0, memory=0, spilled=0)
