"""Blocks are given rows as they are read, whatever shards these belong to."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.stream import Call
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.kernels.cuda import cuda_backend
from paninifs.storage.formats import jsonl


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Return a function that returns the texts of each call of `n_bytes` since the last time."""
    log = tmp_path / "log"
    monkeypatch.setenv("PANINIFS_TEST_LOG", str(log))

    def logged():
        found = [int(line) for line in log.read_text().split()]
        log.unlink()
        return found

    return logged


@pf.map_block(fields=[pf.Field("n_bytes", "int32")], version="1")
def n_bytes(text):
    with Path(os.environ["PANINIFS_TEST_LOG"]).open("a") as log:
        log.write(f"{len(text)}\n")
    return (text.offsets[1:] - text.offsets[:-1]).astype(np.int32)


@pf.map_block(fields=[pf.Field("is_long", "bool")])
def is_long(length):
    return length > 60


@pf.map_block(fields=[pf.Field("picky", "int32")], when="is_long", version="1")
def picky(text):
    if any(b"animal" in one for one in text.to_bytes()):
        raise ValueError("an animal")
    return np.ones(len(text), np.int32)


@pytest.fixture
def threads():
    with pf.connect("threads", threads=1, quiet=True) as client:
        yield client


def run(graph, corpus, store, client, **options):
    options = {"shard_rows": 64, "progress": False, **options}
    return pf.submit(graph, pf.open_corpus(corpus), store, client=client, **options).result()


def arrays(store):
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


def test_a_call_has_the_rows_of_many_shards(glosses, write_jsonl, tmp_path, threads, calls):
    corpus = write_jsonl(glosses)
    run(pf.Graph([n_bytes]), corpus, tmp_path / "r", threads, micro_batch=pf.MicroBatch())
    assert max(calls()) > 10 * 64
    found = pf.open_results(tmp_path / "r")
    assert found.n_bytes.values.tolist() == [len(one["text"].encode()) for one in glosses]


def test_a_shard_that_is_done_is_left_out(glosses, write_jsonl, tmp_path, threads, calls):
    corpus, graph = write_jsonl(glosses), pf.Graph([n_bytes])
    run(graph, corpus, tmp_path / "r", threads)
    before = arrays(tmp_path / "r")
    for shard in (3, 4, 9, 31):
        (tmp_path / "r" / "_run" / "done" / f"{shard:08d}.json").unlink()
    calls()
    run(graph, corpus, tmp_path / "r", threads, micro_batch=pf.MicroBatch())
    assert sorted(calls())[-3:] == [16, 64, 128]  # the shards 31, 9, and 3 with 4
    assert arrays(tmp_path / "r") == before


SCRATCH = np.empty(64, np.int32)


@pf.map_block(fields=[pf.Field("n_bytes", "int32")], version="1")
def uses_its_array_again(text):
    made = SCRATCH[: len(text)]
    made[:] = text.offsets[1:] - text.offsets[:-1]
    return made


def test_a_block_may_use_its_array_again(glosses, write_jsonl, tmp_path, threads):
    graph, size = pf.Graph([uses_its_array_again]), pf.MicroBatch(rows=64)
    run(graph, write_jsonl(glosses), tmp_path / "r", threads, micro_batch=size)
    found = pf.open_results(tmp_path / "r")
    assert found.n_bytes.values.tolist() == [len(one["text"].encode()) for one in glosses]


def test_failing_texts_belong_to_their_own_shards(glosses, write_jsonl, tmp_path, threads):
    corpus = write_jsonl([*glosses[:700], {"id": "none"}, *glosses[700:]])
    graph = pf.default_graph() + is_long + picky
    long = [one["text"] for one in glosses if len(one["text"].encode()) > 60]
    animals = [one for one in long if "animal" in one]
    options = {"max_failed_rows": 64}
    large = run(graph, corpus, tmp_path / "large", threads, **options)
    assert large.quarantined == len(animals) + 1 > 9
    small = pf.MicroBatch(rows=7)
    small = run(graph, corpus, tmp_path / "small", threads, micro_batch=small, **options)
    assert arrays(tmp_path / "large") == arrays(tmp_path / "small")
    assert large.ran == small.ran == {"picky": len(long) - len(animals)}


# --- on a device ----------------------------------------------------------------------------------


@pytest.fixture
def small_launches(cuda_on_host, monkeypatch):
    """Record the texts of each launch of a device whose micro-batches have 256 texts."""
    launches = []
    compute = cuda_backend.default_graph

    def counted(text, **options):
        launches.append(len(text))
        return compute(text, **options)

    cuda_backend.prepare()
    monkeypatch.setattr(cuda_backend, "MICRO_BATCH", (256, 64 << 20))
    monkeypatch.setattr(cuda_backend, "default_graph", counted)
    return launches


@pytest.mark.slow("computes on a stand-in for a device")
def test_a_launch_is_not_cut_at_shard_ends(
    glosses, write_jsonl, tmp_path, threads, small_launches, monkeypatch
):
    monkeypatch.setattr(jsonl, "BATCH_ROWS", 100)
    corpus = write_jsonl([*glosses[:700], {"id": "none"}, *glosses[700:]])
    options = {"backend": "cuda", "shard_rows": 32}
    run(pf.default_graph(), corpus, tmp_path / "cuda", threads, **options)
    assert sum(small_launches) == 2000
    assert np.median(small_launches) >= 128
    run(pf.default_graph(), corpus, tmp_path / "cpu", threads, shard_rows=32)
    assert arrays(tmp_path / "cuda") == arrays(tmp_path / "cpu")


@pytest.mark.slow("computes on a stand-in for a device")
def test_short_documents_are_computed_together(glosses, tmp_path, threads, small_launches):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, one in enumerate(glosses[:400]):
        (folder / f"{number:03}.txt").write_text(one["text"])
    options = {"backend": "cuda", "shard_rows": 64}
    run(pf.default_graph(), folder, tmp_path / "cuda", threads, **options)
    assert sum(small_launches) == 400
    assert len(small_launches) <= 2
    run(pf.default_graph(), folder, tmp_path / "cpu", threads)
    assert arrays(tmp_path / "cuda") == arrays(tmp_path / "cpu")


@pytest.mark.slow("computes on a stand-in for a device")
def test_micro_batches_of_the_next_rows_are_in_flight(glosses, small_launches, monkeypatch):
    """Calls with two micro-batches each fill all places: those of three are begun together."""
    together = threading.Barrier(cuda_backend.IN_FLIGHT, timeout=20)
    offload = cuda_backend.offload

    def awaited(values, work):
        together.wait()  # raises unless so many are in flight
        return offload(values, work)

    monkeypatch.setattr(cuda_backend, "offload", awaited)
    text = pf.PackedText.from_strings([one["text"] for one in glosses[:512]])
    call = Call(inputs=Inputs.of_text(text), where=lambda *_: "")
    size = pf.MicroBatch(rows=256)
    with Blocks(pf.default_graph(), "cuda", size) as blocks, blocks.stream() as stream:
        parts = [part for _ in range(6) for _, part in stream.send(call)]
        parts += [part for _, part in stream.rest()]
    assert [(part.start, part.stop) for part in parts] == 6 * [(0, 256), (256, 512)]


def test_a_call_without_texts_has_a_part():
    with Blocks(pf.default_graph(), "cpu") as blocks:
        (part,) = blocks.run(Inputs.of_text(pf.PackedText.from_strings([])), lambda *_: "")
    assert (part.start, part.stop) == (0, 0)
