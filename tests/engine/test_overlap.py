"""Reading, computing and writing overlap, within bounds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

import paninifs as pf
from paninifs.engine.worker import shard_writer
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values import batches as batches_
from paninifs.storage.rows import Rows
from paninifs.storage.store.keys import DONE
from paninifs.storage.targets.local import LocalTarget


def soon(condition) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def nothing():
    return None


def test_exactly_one_group_is_read_ahead():
    read = []

    def groups():
        for number in range(5):
            read.append(number)
            yield [number]

    ahead = batches_.read_ahead(groups(), nothing)
    for number in range(4):
        assert next(ahead) == [number]
        assert soon(lambda: len(read) == number + 2)  # noqa: B023
        time.sleep(0.05)
        assert len(read) == number + 2
    ahead.close()


def test_a_read_error_comes_after_the_groups_read_before():
    def groups():
        yield [1]
        raise OSError("the disk")

    ahead = batches_.read_ahead(groups(), nothing)
    assert next(ahead) == [1]
    with pytest.raises(OSError, match="the disk"):
        next(ahead)


def test_results_are_collected_while_reading_is_slow():
    read, computed = threading.Event(), Future()

    def groups():
        yield [1]
        read.wait(10)
        yield [2]

    pending = [computed]
    ahead = batches_.read_ahead(groups(), lambda: pending[0] if pending else None)
    assert next(ahead) == [1]
    computed.set_result("a part")
    assert next(ahead) == []
    pending.clear()
    read.set()
    assert next(ahead) == [2]
    assert list(ahead) == []


@pytest.mark.parametrize(
    ("rows", "gathered"),
    [
        ([(0, 3), (3, 3), (6, 2)], [[0, 3], [6]]),
        ([(0, 2), (5, 2), (7, 2)], [[0], [5, 7]]),  # rows between them are not read
        ([(0, 9)], [[0]]),
        (
            [(0, 4), (4, 0), (4, 4), (8, 0)],
            [[0], [4, 4, 8]],
        ),  # a small rest
        ([], []),
    ],
)
def test_batches_are_gathered_until_they_are_enough(rows, gathered):
    def batches():
        for row, count in rows:
            text = pa.array(["text"] * count)
            yield None, row, Rows(row, text, {})

    groups = batches_.gathered(batches(), lambda: MicroBatch(rows=4, text_bytes=1000))
    assert [[row for _, row, _ in group] for group in groups] == gathered


class Slow(LocalTarget):
    """Takes a while to write, and counts the shards that it is given at once."""

    groups: ClassVar[list[int]] = []

    def put_all(self, *steps):
        shards = sum(key.startswith(f"{DONE}/") for step in steps for key in step)
        self.groups.extend([shards] if shards else [])  # not for metadata
        time.sleep(0.1)
        super().put_all(*steps)


@pytest.fixture
def groups():
    Slow.groups.clear()
    return Slow.groups


def submitted(corpus, target, graph=None):
    with pf.connect("threads", threads=1, quiet=True) as client:
        graph = graph or pf.default_graph()
        run = pf.submit(graph, corpus, target, client=client, shard_rows=64, progress=False)
        assert run.result().done == len(corpus)


@pytest.mark.parametrize(
    ("bytes_", "most"), [(shard_writer.WRITE_BYTES, shard_writer.MAX_WRITES - 1), (1, 1)]
)
def test_shards_that_wait_are_written_together(
    glosses, write_jsonl, tmp_path, monkeypatch, groups, bytes_, most
):
    """While one is written, others wait: as many as a task may have unfinished."""
    monkeypatch.setattr(shard_writer, "WRITE_BYTES", bytes_)
    submitted(pf.open_corpus(write_jsonl(glosses[:1000])), Slow(tmp_path / "out.zarr"))
    assert sum(groups) == 16
    assert max(groups) == most
    assert pf.verify(tmp_path / "out.zarr").passed


@pf.map_block(fields=[pf.Field("n", "int32")], version="1")
def slow(text):
    time.sleep(0.4)
    return np.diff(text.offsets).astype("int32")


def test_a_shard_does_not_wait_for_others(glosses, write_jsonl, tmp_path, groups):
    corpus = pf.open_corpus(write_jsonl(glosses[:300]))
    submitted(corpus, Slow(tmp_path / "out.zarr"), pf.Graph((slow,)))
    assert groups == [1] * 5
