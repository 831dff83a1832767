"""Models side by side or in turn, by the memory that they take in a real worker."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.monitoring.events import Notice
from paninifs.engine.worker.setup_memory import Memory, SetupMemory
from paninifs.storage.field import Field

MIB = 1 << 20


class Load:
    """Makes a model of some mebibytes, and writes down when it is made and closed."""

    def __init__(self, log: Path, name: str, size: int) -> None:
        self.log, self.name, self.size = log, name, size
        self.deadly = None

    def __call__(self):
        if self.deadly and self.there():
            os._exit(1)
        return Model(self)

    def there(self):
        """Whether another model was made by this process and not closed."""
        lines = self.deadly.read_text().splitlines() if self.deadly.exists() else []
        mine = [line.split()[1] for line in lines if line.endswith(f" {os.getpid()}")]
        return mine.count("made") > mine.count("closed")


class Model:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.weights = np.ones(load.size * MIB // 8)
        self.write("made")

    def write(self, what):
        with self.load.log.open("a") as log:
            log.write(f"{self.load.name} {what} {os.getpid()}\n")

    def close(self):
        self.write("closed")


def models(log, sizes, declared=None):
    """Return a graph of blocks whose models have these sizes."""

    def block(name, size):
        def add(text, model):
            return np.diff(text.offsets).astype("int64") + int(model.weights[-1])

        return pf.MapBlock(
            name,
            ("text",),
            (Field(name, "int64"),),
            function=add,
            version="1",
            setup={"model": Load(log, name, size)},
            setup_bytes=declared or 0,
        )

    return pf.Graph(tuple(block(name, size) for name, size in sizes.items()))


def ran(client, graph, corpus, store):
    run = pf.submit(graph, corpus, store, client=client, shard_rows=64, progress=False)
    told = []
    run.events.subscribe(told.append)
    run.result(timeout=100)
    return [one.text for one in told if isinstance(one, Notice) and "in turn" in one.text]


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl(glosses[:256]))


@pytest.mark.documented("large-models")
@pytest.mark.parametrize("declared", [0, 300 * MIB], ids=["measured", "declared"])
@pytest.mark.parametrize(("memory", "in_turn"), [("2GiB", False), ("900MiB", True)])
def test_models_that_do_not_fit_together_are_computed_in_turn(
    memory, in_turn, declared, corpus, tmp_path, forked_workers
):
    """Two models of 300 MiB, and limits on both sides of what they take with the worker itself."""
    log = tmp_path / "log"
    graph = models(log, {"a": 300, "b": 300}, declared)
    with pf.connect(workers=1, memory=memory, quiet=True) as client:
        said = ran(client, graph, corpus, tmp_path / "out.zarr")
    assert [("do" in one and "'a'" in one and "'b'" in one) for one in said] == [True] * in_turn
    events = [line.rpartition(" ")[0] for line in log.read_text().splitlines()]
    if in_turn:
        assert events[-2:] == ["a closed", "b made"]
        assert alive(events) == (1 if declared else 2)  # 2: while they are measured
    else:
        assert events[:2] == ["a made", "b made"]
        assert alive(events) == 2
    found = pf.open_results(tmp_path / "out.zarr")
    lengths = np.array([len(one["text"].encode()) for one in map(dict, corpus_rows(corpus))])
    assert np.array_equal(found["a"], lengths + 1)
    assert np.array_equal(found["b"], lengths + 1)


def test_models_added_to_a_finished_store_are_measured_too(corpus, tmp_path, forked_workers):
    graph = models(tmp_path / "log", {"a": 10, "b": 300, "c": 300})
    with pf.connect(workers=1, memory="900MiB", quiet=True) as client:
        assert not ran(client, pf.Graph(graph.maps[:1]), corpus, tmp_path / "out.zarr")
        (said,) = ran(client, graph, corpus, tmp_path / "out.zarr")
    assert "'b' 300" in said
    assert "'a'" not in said
    found = pf.open_results(tmp_path / "out.zarr")
    assert np.array_equal(found["a"], found["c"])


@pytest.mark.documented("large-model")
def test_a_model_larger_than_a_workers_memory_is_refused(corpus, tmp_path, forked_workers):
    graph = models(tmp_path / "log", {"a": 1}, declared=900 * MIB)
    with (
        pf.connect(workers=1, memory="900MiB", quiet=True) as client,
        pytest.raises(pf.errors.RunFailed, match=r"setup of block 'a' takes about 900.00 MiB, and"),
    ):
        ran(client, graph, corpus, tmp_path / "out.zarr")
    assert not (tmp_path / "log").exists()


def test_models_whose_loading_ends_a_worker_are_computed_in_turn(corpus, tmp_path, forked_workers):
    """Two models that declare nothing; the second one ends the process that has the first."""
    log = tmp_path / "log"
    graph = models(log, {"a": 10, "b": 10})
    graph.maps[1].setup["model"].deadly = log
    with pf.connect(workers=1, memory="2GiB", quiet=True) as client:
        said = ran(client, graph, corpus, tmp_path / "out.zarr")
    assert ["a worker died while" in one for one in said] == [True]
    assert pf.open_results(tmp_path / "out.zarr").sizes["text"] == 256


def corpus_rows(corpus):
    import json

    path = corpus.files[0].url.removeprefix("file://")
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def alive(events):
    """Return the largest number of models that were there at once."""
    there = most = 0
    for event in events:
        there += 1 if event.endswith("made") else -1
        most = max(most, there)
    return most


@pytest.fixture
def forked_workers(forked):
    import dask

    with dask.config.set(forked):
        yield


def test_what_fits_is_decided_for_host_and_device():
    memory = SetupMemory(
        Memory(100, {"a": 60, "b": 30, "c": 30}), Memory(50, {"a": 10, "b": 40, "c": 5})
    )
    assert memory.fits(["a", "c"])
    assert not memory.fits(["b", "a", "c"])
    assert not SetupMemory(memory.host, Memory(45, memory.device.taken)).fits(["a", "b"])
    assert SetupMemory(Memory(), Memory()).fits(["a", "b", "c"])
    assert memory.fits(["a"])
    assert SetupMemory(Memory(1, {"a": 2}), Memory()).fits(["a"])  # one alone has to
