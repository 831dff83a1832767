"""Runs over dask frames, whose partitions dask computes for the tasks that read them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster, wait
from frame_attempt import PARTS, ROWS, SHARD_ROWS, FrameAttempt, computed, logged

import paninifs as pf
from paninifs.engine.monitoring.events import ShardDone
from paninifs.engine.run.dispatch import TASKS_PER_THREAD
from paninifs.engine.run.frames import partitions
from paninifs.engine.worker.task import Task
from paninifs.storage.corpus.tables import parts_together
from paninifs.storage.corpus.tables.frame_parts import frame_file, frame_rows
from paninifs.storage.corpus.tables.parts_together import share_work
from paninifs.storage.errors import (
    CorpusChanged,
    CorpusEmpty,
    ResultsMismatch,
    RowsQuarantined,
    RunCancelled,
    RunFailed,
    UsageError,
)
from paninifs.storage.rows import RowSpan, Stretch
from paninifs.storage.store.reader import ResultsStore

MARKER = "_run/done/{:08}.json"


def run(client, frame, store, graph=None, **options):
    known = {"client": client, "progress": False, "shard_rows": SHARD_ROWS}
    return pf.submit(graph or pf.default_graph(), frame, store, **known | options)


def assert_same(one, other):
    """Compare every array of two stores, and their quarantines."""
    a, b = pf.open_results(one), pf.open_results(other)
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)
    ours, theirs = (
        pf.quarantine(store).drop(columns=["file", "file_row"]) for store in (one, other)
    )
    pd.testing.assert_frame_equal(ours, theirs)


@contextmanager
def cluster_of_one(folder, **options):
    known = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    known["local_directory"] = str(folder / "spilled")
    with LocalCluster(**known | options) as cluster, Client(cluster) as own:
        yield own


def lines(rows, **columns):
    return pd.DataFrame({"text": [f"{n} some words {n % 5}" for n in range(rows)], **columns})


def filtered(folder):
    frame = logged(folder)
    return frame[frame.n % 3 > 0]


def joined(folder):
    ranks = pd.DataFrame({"id": [f"t{n * 3}" for n in range(700)], "rank": range(700)})
    return logged(folder).merge(dd.from_pandas(ranks, npartitions=3), on="id")


def sorted_join(folder):
    """Return a join whose partitions have the same order however dask shuffles."""
    return joined(folder).map_partitions(pd.DataFrame.sort_values, "n")


def exploded(folder):
    frame = logged(folder)
    return frame.assign(text=frame.text.str.split(" ")).explode("text")


def partly_empty(folder):
    frame = logged(folder)
    return frame[(frame.n < 700) | (frame.n > 2800)]


def of_many_kinds(_):
    days = pd.date_range("2020-01-01", periods=900, freq="h")
    known = pd.Series(days).where(np.arange(900) % 4 > 0)
    frame = lines(
        900,
        id=np.arange(900),
        seconds=known.astype("datetime64[s]"),
        zoned=known.dt.tz_localize("Europe/Paris"),
        day=[one.date() for one in days],
        span=pd.to_timedelta(np.arange(900), "s"),
        lang=pd.Categorical(np.array(["sa", "pi", "hi"])[np.arange(900) % 3]),
        price=[Decimal(n) / 4 for n in range(900)],
        tags=[["x"] * (n % 3) for n in range(900)],
        small=np.arange(900, dtype=np.float32),
        flag=np.arange(900) % 2 == 0,
        rare=pd.array([None if n % 2 else n for n in range(900)], "Int64"),
    )
    return dd.from_pandas(frame, npartitions=4)


def with_nulls(_):
    frame = lines(900).convert_dtypes(dtype_backend="pyarrow")
    frame.loc[[17, 400, 401, 899], "text"] = None
    return dd.from_pandas(frame, npartitions=3)


def of_bytes(_):
    texts = [b"un", b"\xff\xfe", "d\xe9j\xe0".encode()] * 100
    return dd.from_pandas(pd.DataFrame({"text": pd.array(texts, pd.ArrowDtype(pa.binary()))}), 2)


KEPT = {
    joined: ["rank"],
    of_many_kinds: [
        "seconds",
        "zoned",
        "day",
        "span",
        "lang",
        "price",
        "tags",
        "small",
        "flag",
        "rare",
    ],
}


@pytest.mark.slow("two runs each")
@pytest.mark.parametrize(
    "make", [filtered, joined, exploded, partly_empty, of_many_kinds, with_nulls, of_bytes]
)
def test_a_frame_gives_the_store_that_staging_gives(make, client, tmp_path):
    corpus = pf.open_corpus(make(tmp_path), keep=KEPT.get(make, []))
    summary = run(client, corpus, tmp_path / "out.zarr").result()
    assert summary.rows > 0
    assert not (tmp_path / "out.staged").exists()
    assert not list(tmp_path.rglob("*.parquet")) or summary.quarantined
    run(client, corpus, tmp_path / "other.zarr", stage=True).result()
    assert_same(tmp_path / "out.zarr", tmp_path / "other.zarr")


@pytest.mark.slow("a run")
def test_quarantined_rows_are_named_by_partition_and_row(client, tmp_path):
    frame = with_nulls(tmp_path)
    assert run(client, frame, tmp_path / "out.zarr").result().quarantined == 4
    found = pf.quarantine(tmp_path / "out.zarr")[["row", "rows", "file", "file_row", "reason"]]
    assert found.values.tolist() == [
        [17, 1, "partition-00000", 17, "null text"],
        [400, 2, "partition-00001", 100, "null text"],
        [899, 1, "partition-00002", 299, "null text"],
    ]
    with pytest.raises(RowsQuarantined, match=r"partition-0000[012], row \d+: null text"):
        run(client, frame, tmp_path / "x.zarr", on_error="raise").result()


@pytest.mark.slow("five runs")
def test_only_partitions_that_are_missing_are_computed_again(client, tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "frame_rows", None)  # no partition comes to the client
    store = tmp_path / "out.zarr"
    run(client, logged(tmp_path), store).result()
    assert computed(tmp_path) == list(range(PARTS))  # once each, to be counted and to be read
    assert run(client, logged(tmp_path), store).result().done == PARTS * ROWS
    assert computed(tmp_path) == []
    (store / MARKER.format(5)).unlink()  # rows 1280 to 1535: the end of 2, the beginning of 3
    run(client, logged(tmp_path), store).result()
    assert computed(tmp_path) == [2, 3]
    undisturbed = tmp_path / "undisturbed.zarr"
    run(client, logged(tmp_path), undisturbed).result()
    assert_same(store, undisturbed)


@pytest.mark.slow("two runs")
def test_partitions_that_do_not_fit_are_computed_when_needed(client, tmp_path, monkeypatch):
    run(client, logged(tmp_path), tmp_path / "kept.zarr").result()
    computed(tmp_path)
    monkeypatch.setattr(partitions, "MEMORY_SHARE", 0.0)
    in_flight, most = set(), []
    own = partitions.FramePartitions

    def futures(self, task, futures=own.futures):
        in_flight.add(task)
        most.append(len(in_flight))
        return futures(self, task)

    def done(self, *tasks, done=own.done):
        in_flight.difference_update(tasks)
        done(self, *tasks)

    monkeypatch.setattr(own, "futures", futures)
    monkeypatch.setattr(own, "done", done)
    run(client, logged(tmp_path), tmp_path / "out.zarr").result()
    assert max(most) == TASKS_PER_THREAD * sum(client.nthreads().values())  # and none waiting
    times = np.bincount(computed(tmp_path), minlength=PARTS)
    assert times.min() >= 2  # counted, dropped, and computed for its tasks
    assert times.max() <= 3  # the first may be kept from being counted; others are on two tasks
    assert_same(tmp_path / "kept.zarr", tmp_path / "out.zarr")


def test_partitions_that_share_work_are_kept(tmp_path):
    def shares(frame):
        return share_work(frame.to_delayed())

    small = dd.from_pandas(pd.DataFrame({"id": ["t1"], "rank": [1]}), npartitions=1)
    assert not shares(filtered(tmp_path))
    assert not shares(logged(tmp_path).merge(small, on="id"))
    assert shares(logged(tmp_path).shuffle("id"))
    assert not shares(logged(tmp_path).partitions[[0]])


@pytest.mark.slow("three runs")
@pytest.mark.documented("another-frame")
def test_another_frame_is_refused_at_once(client, tmp_path):
    store = tmp_path / "out.zarr"
    run(client, logged(tmp_path), store).result()
    other = logged(tmp_path).partitions[:2]
    with pytest.raises(ResultsMismatch, match=r"another frame \(its token was .*fresh=True"):
        run(client, other, store)
    with pytest.raises(ResultsMismatch, match="begun without staging a frame; leave out stage=T"):
        run(client, logged(tmp_path), store, stage=True)
    assert run(client, other, store, fresh=True).result().done == 2 * ROWS
    staged = tmp_path / "staged.zarr"
    run(client, other, staged, stage=True).result()
    with pytest.raises(ResultsMismatch, match=r"begun with files, .*leave out stage=False"):
        run(client, other, staged, stage=False)
    assert run(client, other, staged).result().done == 2 * ROWS  # as it was begun


@pytest.mark.slow("runs that fail")
@pytest.mark.documented("frame-differs")
def test_a_frame_that_gives_other_rows_is_refused_by_partition(client, tmp_path):
    store = tmp_path / "out.zarr"
    run(client, logged(tmp_path), store).result()
    (store / MARKER.format(5)).unlink()
    before = (store / MARKER.format(4)).read_bytes()
    (tmp_path / "prefix3").write_text("other ")  # dask cannot know
    with pytest.raises(CorpusChanged, match=r"/partition-00003: partition 3 of the frame has oth"):
        run(client, logged(tmp_path), store).result()
    assert (store / MARKER.format(4)).read_bytes() == before
    with pytest.raises(CorpusChanged, match="partition 3 of the frame has other rows"):
        pf.verify(store, corpus=logged(tmp_path))
    (tmp_path / "prefix3").unlink()
    assert run(client, logged(tmp_path), store).result().done == PARTS * ROWS


@pytest.mark.slow("a run, and what is read of it")
def test_texts_are_read_where_the_frame_is_given(client, tmp_path):
    store = tmp_path / "out.zarr"
    run(client, logged(tmp_path), store).result()
    frame = logged(tmp_path)
    assert pf.verify(store, corpus=frame).passed
    assert pf.verify(store, corpus=frame, sample=20).passed
    assert pf.peek("7 dhātu 0", store, top=1, corpus=frame).nearest[0].text == "7 dhātu 0"
    assert pf.export(store, corpus=frame).text.tolist()[-1] == f"{PARTS * ROWS - 1} dhātu 3"
    for read in (pf.verify, lambda store: pf.export(store, text=True)):
        with pytest.raises(CorpusChanged, match=r"partition-00000: .*dask frame.*corpus=frame"):
            read(store)
    with pytest.raises(CorpusChanged, match="another frame"):
        pf.verify(store, corpus=frame.partitions[:2])
    with pytest.raises(CorpusChanged, match="another frame"):
        pf.verify(store, corpus={"text": ["un"], "id": ["a"]})


@pytest.mark.slow("a run, and what is read of it")
@pytest.mark.parametrize(("nbytes", "times"), [(1 << 30, 1), (20_000, 2)])
def test_reading_a_join_computes_it_once(client, tmp_path, monkeypatch, nbytes, times):
    store = tmp_path / "out.zarr"
    monkeypatch.setattr(parts_together, "MOST_BYTES", nbytes)
    with dask.config.set(scheduler=client):  # which a join needs
        run(client, sorted_join(tmp_path), store).result()
        sizes = [one.file.size for one in ResultsStore.open(store).index.files]
        assert len(sizes) > 2
        assert 20_000 < sum(sizes) < 40_000
        for read in (pf.verify, partial(pf.verify, sample=600), partial(pf.export, text=True)):
            computed(tmp_path)
            read(store, corpus=sorted_join(tmp_path))
            assert computed(tmp_path) == sorted([*range(PARTS)] * times)


@pf.map_block(fields=[pf.Field("words", np.int32)])
def words(text):
    return np.array([len(one.split()) for one in text.to_strings()], np.int32)


@pf.map_block(fields=[pf.Field("doubled", np.int32)])
def doubled(text, words):
    lacks = ["dhātu" not in one for one in text.to_strings()]
    return (2 * words + np.array(lacks)).astype(np.int32)


@pf.map_block(fields=[pf.Field("halved", np.int32)])
def halved(words):
    return words // 2


@pytest.mark.slow("four runs")
def test_blocks_that_are_added_read_the_same_frame(client, tmp_path):
    store = tmp_path / "out.zarr"
    run(client, logged(tmp_path), store).result()
    computed(tmp_path)
    graph = pf.default_graph() + words
    run(client, logged(tmp_path), store, graph).result()
    assert computed(tmp_path) == list(range(PARTS))
    run(client, logged(tmp_path), store, graph + doubled).result()
    computed(tmp_path)
    run(client, logged(tmp_path), store, graph + doubled + halved).result()
    assert computed(tmp_path) == []  # it takes no text
    found = pf.open_results(store)
    assert set(found.halved.values) == {1}
    assert set(found.words.values) == {3}
    assert set(found.doubled.values) == {6}


@pytest.mark.slow("a run that fails")
def test_a_failing_text_is_named_by_partition_and_row(client, tmp_path):
    @pf.map_block(fields=[pf.Field("number", np.int32)])
    def number(text):
        if any(one.startswith("1034 ") for one in text.to_strings()):
            raise ValueError("that one")
        return np.zeros(len(text), np.int32)

    work = run(client, logged(tmp_path), tmp_path / "out.zarr", pf.default_graph() + number)
    assert work.result().quarantined == 1
    assert pf.quarantine(tmp_path / "out.zarr")[["file", "file_row", "id"]].values.tolist() == [
        ["partition-00002", 34, "t1034"]
    ]


@pytest.mark.slow("runs that fail")
def test_what_cannot_be_computed_is_reported(client, tmp_path):
    frame = logged(tmp_path)

    def fails(part):
        if len(part) and part.n.iloc[0] == 3 * ROWS:
            raise KeyError("rank")
        return part

    with pytest.raises(RunFailed, match=r"frame could not be computed \(KeyError: 'rank'\)"):
        run(client, frame.map_partitions(fails, meta=frame._meta), tmp_path / "a.zarr").result()
    with pytest.raises(CorpusEmpty, match="the frame has no rows"):
        run(client, frame[frame.n < 0], tmp_path / "a.zarr").result()
    assert not (tmp_path / "a.zarr" / "zarr.json").exists()
    with pytest.raises(UsageError, match="stage= applies to dask frames"):
        run(client, pf.open_corpus(texts=["un"]), tmp_path / "a.zarr", stage=True)
    split = pf.open_corpus(texts=["un"]).split("sentence")
    with pytest.raises(UsageError, match="must be staged"):
        run(client, split, tmp_path / "a.zarr", stage=False)


@pytest.mark.slow("waits for a run")
def test_a_run_can_be_cancelled_while_it_counts(client, tmp_path):
    work = run(client, logged(tmp_path, 20.0), tmp_path / "out.zarr")
    while not (tmp_path / "log").exists():
        time.sleep(0.05)
    work.cancel()
    with pytest.raises(RunCancelled):
        work.result(timeout=15)


@pytest.mark.slow("a run")
def test_a_frame_that_the_user_keeps_stays(client, tmp_path):
    kept = client.persist(logged(tmp_path))
    wait(kept)
    computed(tmp_path)
    corpus = pf.open_corpus(kept, keep=["n"])  # every column, so that the keys are the same
    run(client, corpus, tmp_path / "out.zarr").result()
    work = run(client, corpus, tmp_path / "cancelled.zarr")
    work.cancel()
    with pytest.raises(RunCancelled):
        work.result()
    assert len(client.compute(kept).result()) == PARTS * ROWS
    assert computed(tmp_path) == []


@pytest.mark.slow("a cluster of its own")
def test_a_partition_is_dropped_with_the_last_task_that_reads_it(tmp_path):
    with cluster_of_one(tmp_path, processes=False) as own:
        corpus = pf.open_corpus(logged(tmp_path))
        parts = partitions.FramePartitions(own, corpus.source, 0)
        file = frame_file("token", 1, frame_rows(corpus.source.parts[1].compute()))
        one, other = (
            Task(0, (shard,), (Stretch(0, file, RowSpan(0, 9, 0, 0)),)) for shard in (0, 1)
        )
        (future,) = parts.futures(one)
        assert parts.futures(other) == [future]
        key = future.key
        del future
        parts.done(one)
        assert key in own.futures
        parts.done(other)
        deadline = time.monotonic() + 10
        while key in own.futures:  # the client's own thread forgets it
            assert time.monotonic() < deadline
            time.sleep(0.01)
        broken = Task(0, (0,), (Stretch(0, file, RowSpan(0, 9, 0, 0), "its worker died"),))
        assert parts.futures(broken) == []


def fails(part, folder):
    if Path(folder, "broken").exists():
        raise OSError("broken")
    return part


@pytest.mark.slow("a cluster of its own")
def test_a_partition_that_failed_is_computed_again_for_the_next_try(tmp_path):
    frame = logged(tmp_path)
    frame = frame.map_partitions(fails, str(tmp_path), meta=frame._meta)
    with cluster_of_one(tmp_path, processes=False) as own:
        corpus = pf.open_corpus(frame)
        parts = partitions.FramePartitions(own, corpus.source, 0)
        file = frame_file("token", 1, frame_rows(corpus.source.parts[1].compute()))
        task = Task(0, (0,), (Stretch(0, file, RowSpan(0, 9, 0, 0)),))
        (tmp_path / "broken").touch()
        parts.expect([task])  # there is room, so that it is kept
        (future,) = parts.futures(task)
        with pytest.raises(OSError, match="broken"):
            future.result()
        parts.done(task)
        (tmp_path / "broken").unlink()
        (future,) = parts.futures(task)
        assert len(future.result()) == ROWS


@pytest.mark.slow("a cluster of its own")
def test_partitions_are_forgotten_when_the_run_ends(tmp_path):
    with cluster_of_one(tmp_path, processes=False) as own:
        run(own, logged(tmp_path), tmp_path / "out.zarr").result()
        deadline = time.monotonic() + 30
        while any("texts" in str(key) for key in own.run_on_scheduler(_keys)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _keys(dask_scheduler):
    return [str(key) for key in dask_scheduler.tasks]


@pytest.mark.soak("a process that is killed, and its run once more")
@pytest.mark.documented("frame-killed")
def test_a_run_whose_process_is_killed_goes_on(start, client, tmp_path):
    store = tmp_path / "out.zarr"
    process = start(FrameAttempt(str(tmp_path), str(store), 0.3))
    markers = store / "_run" / "done"
    deadline = time.monotonic() + 120
    while not (markers.exists() and len(list(markers.glob("0*.json"))) >= 2):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    run(client, logged(tmp_path, 0.3), store).result()
    run(client, logged(tmp_path, 0.3), tmp_path / "undisturbed.zarr").result()
    assert_same(store, tmp_path / "undisturbed.zarr")


@pytest.mark.soak("a cluster whose workers are killed")
def test_partitions_of_killed_workers_are_computed_again(client, tmp_path):
    run(client, logged(tmp_path), tmp_path / "undisturbed.zarr").result()
    with pf.connect(workers=2, quiet=True) as own:
        pids = {one: w["pid"] for one, w in own.run(_process).items()}
        work = run(own, logged(tmp_path), tmp_path / "out.zarr", pf.default_graph() + slow)
        killed = []

        def kill(event):
            if isinstance(event, ShardDone) and not killed:
                killed.append(event.worker)
                os.kill(pids[event.worker], signal.SIGKILL)

        work.events.subscribe(kill)
        work.result()
    assert killed
    arrays = ["id", "digest", "dhatu", "valid"]
    one, other = (pf.open_results(tmp_path / name) for name in ("out.zarr", "undisturbed.zarr"))
    for name in arrays:
        np.testing.assert_array_equal(one[name].values, other[name].values)


def deadly(part, folder, lives):
    """End the process whenever a partition is computed, except the first time, `lives` times."""
    texts = part.text.iloc[0] if len(part) else ""
    if texts.startswith("1500 ") and not Path(folder, "mended").exists():
        deaths = len(list(Path(folder).glob("death*")))
        if deaths <= lives:
            Path(folder, f"death{deaths}").touch()
            if deaths:  # and not while it is counted
                os._exit(1)
    return part


@pytest.mark.soak("workers that die again and again")
@pytest.mark.parametrize(("lives", "lost"), [(4, 0), (1000, 3 * SHARD_ROWS)])
def test_a_partition_that_ends_its_worker(lives, lost, tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "MEMORY_SHARE", 0.0)
    store = tmp_path / "out.zarr"
    frame = logged(tmp_path)
    frame = frame.map_partitions(deadly, str(tmp_path), lives, meta=frame._meta)
    with pf.connect(workers=2, quiet=True) as own:
        assert run(own, frame, store).result().quarantined == lost
        (tmp_path / "mended").touch()
        assert run(own, frame, store).result().quarantined == 0


def _process():
    return {"pid": os.getpid()}


@pf.map_block(fields=[pf.Field("length", np.int32)])
def slow(text):
    time.sleep(0.001 * len(text))
    return np.zeros(len(text), np.int32)


def long_texts(part):
    """Return 20 MB of texts."""
    texts = [f"{part} {row} " + "some words " * 600 for row in range(3000)]
    return pd.DataFrame({"text": pd.array(texts, "string[pyarrow]")})


@pytest.mark.soak("a cluster that spills a quarter of a gigabyte")
def test_partitions_that_dask_spills_give_the_same_store(tmp_path, monkeypatch):
    meta = pd.DataFrame({"text": pd.array(["a"], "string[pyarrow]")})
    frame = dd.from_map(long_texts, range(30), meta=meta)
    monkeypatch.setattr(partitions, "share_work", lambda parts: True)  # so they are kept
    spilled = []
    with cluster_of_one(tmp_path, memory_limit="1GB") as own:
        work = run(own, frame, tmp_path / "out.zarr", shard_rows=4096)
        while work.status().state in ("indexing", "running"):
            spilled += _spilled(own)
            time.sleep(0.1)
        work.result()
    assert max(spilled) > 100 << 20
    with cluster_of_one(tmp_path, memory_limit="4GB") as own:
        run(own, frame, tmp_path / "other.zarr", shard_rows=4096, stage=True).result()
    assert_same(tmp_path / "out.zarr", tmp_path / "other.zarr")


def _spilled(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return [int(worker["metrics"].get("spilled_bytes", {}).get("disk", 0)) for worker in workers]
