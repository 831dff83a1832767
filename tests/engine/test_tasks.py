"""The order in which tasks are sent, and priorities where runs share a cluster."""

from __future__ import annotations

import gzip
import logging
import pickle
from itertools import pairwise
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed.comm.core import CommClosedError
from hypothesis import given
from hypothesis import strategies as st

import paninifs as pf
from paninifs.engine.monitoring.events import ShardDone
from paninifs.engine.run.dispatch import Dispatch
from paninifs.engine.run.tasks import joined_tasks, longest_first, tasks_left
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.task import Task, worth_logging
from paninifs.storage.corpus.index import CorpusIndex, FileIndex
from paninifs.storage.rows import Lengths, RowSpan, SourceFile, Stretch, Unit
from paninifs.storage.store.shards import StoreLayout

ROWS = 16  # per file, and per shard


def file_index(number, rows, nbytes):
    file = SourceFile(
        url=f"{number}.txt",
        name=f"{number}.txt",
        size=nbytes or 1,
        version="",
        format="text",
        compression=None,
    )
    lengths = Lengths(nbytes, 1, 0) if nbytes is not None else None
    return FileIndex(file, (Unit(rows, 0),), None, lengths)


def ordered(files):
    """Return the numbers of files, one per task, in the order in which they are sent."""
    index = CorpusIndex(files=tuple(files), text="text", id=None, keep=())
    tasks = [
        Task(number, (number,), (Stretch(0, one.file, RowSpan(0, one.rows, 0, 0)),))
        for number, one in enumerate(files)
    ]
    return [task.partition for task in longest_first(tasks, index)]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9).map(lambda n: 1000 * n))))
def test_tasks_with_more_text_are_sent_first(sizes):
    files = [file_index(number, *size) for number, size in enumerate(sizes)]

    def work(number):
        rows, nbytes = sizes[number]
        return 150 * rows + nbytes

    found = ordered(files)
    assert sorted(found) == list(range(len(sizes)))
    for one, other in pairwise(found):
        assert work(one) > work(other) - 1e-6
        if sizes[one] == sizes[other]:
            assert one < other


def test_without_known_lengths_rows_decide_the_order():
    known = [file_index(0, 5, 10_000_000), file_index(1, 50, 100)]
    assert ordered(known) == [0, 1]
    assert ordered([*known, file_index(2, 7, None)]) == [1, 2, 0]


def test_unusable_rows_count_as_no_work():
    files = (file_index(0, 100, 1000), file_index(1, 1, 1000))
    index = CorpusIndex(files=files, text="text", id=None, keep=())
    file = index.files[0].file
    lost = Task(0, (0,), (Stretch(0, file, RowSpan(0, 100, 0, 0), problem="unreadable"),))
    sound = Task(1, (1,), (Stretch(100, index.files[1].file, RowSpan(0, 1, 0, 0)),))
    assert longest_first([lost, sound], index) == [sound, lost]


@given(
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=9),
    done=st.sets(st.integers(0, 50)),
    threads=st.integers(1, 4),
)
def test_tasks_for_a_device_are_joined_within_bounds(sizes, done, threads):
    files = tuple(file_index(number, rows, 10 * rows) for number, rows in enumerate(sizes))
    index = CorpusIndex(files=files, text="text", id=None, keep=())
    layout = StoreLayout((), index.rows, 8, "")
    store = SimpleNamespace(index=index, layout=layout, done=done)
    apart = list(tasks_left(store))
    joined = joined_tasks(store, apart, MicroBatch(rows=20, text_bytes=1000), threads)
    assert [s for task in joined for s in task.shards] == [s for one in apart for s in one.shards]
    most = max(10, min(index.rows // (2 * threads), 6 * 20))
    for task in joined:
        assert task in apart or 8 * (len(task.shards) - 1) < most
    for one, other in pairwise(joined):
        if one.shards[-1] + 1 == other.shards[0]:
            rows = layout.bounds(other.shards[-1])[1] - layout.bounds(one.shards[0])[0]
            assert rows > most or one in apart


def test_a_task_waits_while_all_workers_are_restarting():
    dispatch = Dispatch.__new__(Dispatch)  # only what the number depends on
    dispatch._lost = SimpleNamespace(threads=dict)
    dispatch._parts = SimpleNamespace(keeps=False)
    assert dispatch._max_in_flight() == 1


@pf.map_block(fields=[pf.Field("n", "int32")], name="steady", version="1")
def steady(text):
    import time

    time.sleep(0.01 * len(text))
    return np.diff(text.offsets).astype("int32")


def write(folder, glosses, files):
    folder.mkdir()
    for number in range(files):
        part = glosses[number * ROWS : (number + 1) * ROWS]
        text = "".join(f"{row['text']}\n" for row in part)
        (folder / f"{number:02}.txt").write_text(text)
    return folder


def submitted(client, folder, store, **options):
    """Begin a run; return it, and the shards as they are done."""
    options = {"client": client, "shard_rows": ROWS, "progress": False} | options
    run = pf.submit(pf.default_graph() + steady, pf.open_corpus(folder), store, **options)
    done: list[ShardDone] = []
    run.events.subscribe(lambda event: done.extend([event] * isinstance(event, ShardDone)))
    return run, done


@pytest.fixture
def two_workers(forked):
    with dask.config.set(forked), pf.connect(workers=2, quiet=True) as client:
        yield client


def test_a_large_file_behind_small_ones_starts_first(two_workers, glosses, tmp_path):
    folder, small, large = write(tmp_path / "in", glosses, 6), 6, 5
    with gzip.open(folder / "99.txt.gz", "wt") as last:
        last.writelines(f"{row['text']}\n" for row in glosses[200 : 200 + large * ROWS])
    run, done = submitted(two_workers, folder, tmp_path / "s")
    assert run.result().done == (small + large) * ROWS
    assert small in [shard.shard for shard in done[:3]]
    assert pf.verify(tmp_path / "s").passed


def arrays(store):
    return {
        path.relative_to(store): path.read_bytes()
        for path in store.rglob("c/**/*")
        if path.is_file()
    }


@pytest.mark.soak("two runs side by side")
@pytest.mark.parametrize("priority", [10, 0])
def test_the_run_with_the_higher_priority_overtakes(glosses, tmp_path, priority, forked):
    folder = write(tmp_path / "in", glosses, 16)
    with dask.config.set(forked), pf.connect(workers=1, quiet=True) as client:
        first, done = submitted(client, folder, tmp_path / "first")
        while len(done) < 2:
            assert not first.done
        second, _ = submitted(client, folder, tmp_path / "second", priority=priority)
        second.result()
        assert first.done == (priority == 0)
        first.result()
    assert len(arrays(tmp_path / "first")) > 100
    assert arrays(tmp_path / "first") == arrays(tmp_path / "second")


@pytest.mark.parametrize("priority", ["high", 1.5, 10**20])
def test_an_invalid_priority_is_refused(priority, tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    with pytest.raises(pf.errors.UsageError, match="priority must be a whole number"):
        pf.submit(
            pf.default_graph(),
            pf.open_corpus(tmp_path / "a.txt"),
            tmp_path / "out.zarr",
            priority=priority,
        )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CommClosedError("ConnectionPool closing."), False),
        (CommClosedError("in <TCP (closed) ConnectionPool.heartbeat_worker>: Stream is"), False),
        (CommClosedError("in <TCP>: Stream is closed"), True),
        (OSError("ConnectionPool closing."), True),
        (None, True),
    ],
)
def test_only_the_closing_is_left_out_of_a_workers_log(error, told):
    caught = (type(error), error, None) if error else None
    record = logging.LogRecord("distributed.worker", logging.ERROR, "", 1, "Failed", (), caught)
    assert worth_logging(record) is told


def test_a_task_cancelled_by_the_closing_is_left_out_of_a_workers_log():
    words = "Async instruction for <Task cancelled name='execute(x)'> ended with CancelledError"
    name = "distributed.worker.state_machine"
    assert not worth_logging(logging.LogRecord(name, logging.WARNING, "", 1, words, (), None))


def test_workers_that_compute_filter_their_log(client, tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    corpus = pf.open_corpus(tmp_path / "a.txt")
    pf.submit(pf.default_graph(), corpus, tmp_path / "s", client=client, progress=False).result()

    def filters():
        return [one.__name__ for one in logging.getLogger("distributed.worker").filters]

    assert ["worth_logging"] in client.run(filters).values()


def test_a_pickled_task_is_small():
    """Tens of thousands of tasks go through the scheduler, so each holds only what it needs."""
    file = SourceFile(
        url="https://host/folder/0.jsonl",
        name="0.jsonl",
        size=1 << 30,
        version="etag",
        format="jsonl",
        compression=None,
    )
    task = Task(7, (7,), (Stretch(4096, file, RowSpan(4096, 8192, 4096, 1 << 20)),))
    assert len(pickle.dumps(task)) < 600
