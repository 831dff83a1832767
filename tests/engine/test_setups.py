"""What a block's ``setup`` makes: once per process, apart from the block, and closed at the end."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values import setups
from paninifs.engine.worker.values.setups import arguments_of, close_unused
from paninifs.storage.errors import BlockError, GraphError, ResultsMismatch

SCORE = [pf.Field("score", "int64")]


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    close_unused()
    yield
    close_unused()


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"text {n}\n" for n in range(1000)))
    return pf.open_corpus(path)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


class Model:
    """Counts in a file how often it is loaded and closed."""

    def __init__(self, log, seconds=0.0, factor=2):
        self.log, self.factor = log, factor
        time.sleep(seconds)
        self._write("loaded")

    def _write(self, what):
        with self.log.open("a") as file:
            file.write(f"{what}\n")

    def score(self, lengths):
        return self.factor * lengths

    def close(self):
        self._write("closed")


def scored(load, **options):
    """A block whose model is what `load` returns."""

    def score(length, model):
        return model.score(length)

    return pf.map_block(score, fields=SCORE, setup={"model": load}, **options)


def submitted(graph, corpus, inline, store, **options):
    return pf.submit(graph, corpus, store, client=inline, progress=False, **options)


def test_a_model_is_loaded_once_for_a_thousand_micro_batches(inline, corpus, log, tmp_path):
    graph = scored(partial(Model, log), version="1")
    options = {"micro_batch": MicroBatch(rows=1)}
    submitted(graph, corpus, inline, tmp_path / "a.zarr", **options).result()
    assert log.read_text() == "loaded\n"
    found = pf.open_results(tmp_path / "a.zarr")
    assert found.score.values[:2].tolist() == [12, 12]
    submitted(graph, corpus, inline, tmp_path / "b.zarr", **options).result()
    assert log.read_text() == "loaded\n"  # the next run of a session has it too


def test_it_is_closed_once_no_run_uses_it(inline, corpus, log, tmp_path, monkeypatch):
    monkeypatch.setattr(setups, "KEEP_SECONDS", 0.05)
    monkeypatch.setattr(setups, "_looking", False)  # the timer of another test takes longer
    graph = scored(partial(Model, log), version="1")
    submitted(graph, corpus, inline, tmp_path / "a.zarr").result()
    until = time.monotonic() + 20
    while "closed" not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_its_time_is_shown_apart(inline, corpus, log, tmp_path):
    graph = scored(partial(Model, log, seconds=0.2), version="1", name="embed")
    run = submitted(graph, corpus, inline, tmp_path / "a.zarr")
    run.result()
    seconds = run.record.block_seconds
    assert seconds["embed setup"] >= 0.2
    assert seconds["embed"] < 0.2


def test_threads_share_it_unless_they_cannot(log):
    shared = scored(partial(Model, log), version="1")
    own = scored(partial(Model, log), version="2", per_thread=True)
    for block, loads in ((shared, 1), (own, 4)):
        log.write_text("")
        together = threading.Barrier(4)

        def use(block=block, together=together):
            with arguments_of([block], "cpu"):
                together.wait(10)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.read_text() == "loaded\n" * loads


def test_a_changed_loader_or_argument_is_refused(inline, corpus, tmp_path):
    def load(factor):
        return type("M", (), {"score": staticmethod(lambda lengths: factor * lengths)})()

    def other(factor):
        return type("M", (), {"score": staticmethod(lambda lengths: factor + lengths)})()

    submitted(scored(partial(load, 2)), corpus, inline, tmp_path / "a.zarr").result()
    submitted(scored(partial(load, 2)), corpus, inline, tmp_path / "a.zarr").result()
    for changed in (partial(load, 3), partial(other, 2)):
        with pytest.raises(ResultsMismatch, match=r"graph → score → setup → model"):
            submitted(scored(changed), corpus, inline, tmp_path / "a.zarr")


@pytest.mark.documented("setup-fails")
def test_blocks_do_not_share_what_is_made_of_objects_without_a_description(
    inline, corpus, tmp_path
):
    """Two blocks of one version, whose loaders are objects of one class that differ in a value."""

    class Load:
        def __init__(self, value):
            self.value = value

        def __call__(self):
            return self.value

    def block(name, value):
        def constant(text, model):
            return np.full(len(text), model, "int32")

        return pf.map_block(
            constant,
            fields=pf.Field(name, "int32"),
            name=name,
            version="1",
            setup={"model": Load(value)},
        )

    graph = pf.Graph((block("one", 1), block("two", 2)))
    submitted(graph, corpus, inline, tmp_path / "out.zarr").result()
    found = pf.open_results(tmp_path / "out.zarr")
    assert set(found["one"].values) == {1}
    assert set(found["two"].values) == {2}


@pytest.mark.documented("setup-fails")
def test_a_loader_that_fails_ends_the_run(inline, corpus, tmp_path):
    def load():
        raise ValueError("no such model")

    with pytest.raises(BlockError, match=r"'score': setup of 'model' raised ValueError: no such"):
        submitted(scored(load), corpus, inline, tmp_path / "a.zarr").result()


def test_a_block_is_tried_by_hand_with_its_model(log):
    block = scored(partial(Model, log), version="1", name="by hand")
    assert block(length=np.array([1, 2])).tolist() == [2, 4]
    assert block(length=np.array([3])).tolist() == [6]
    assert log.read_text() == "loaded\n"
    double = type("M", (), {"score": staticmethod(lambda lengths: lengths)})()
    assert block(length=np.array([3]), model=double).tolist() == [3]


def test_a_setup_that_is_no_parameter_is_refused():
    with pytest.raises(GraphError, match=r"setup= makes 'modle', which is not a parameter"):
        pf.map_block(lambda length: length, fields=SCORE, name="s", setup={"modle": dict})
    with pytest.raises(GraphError, match=r"setup= maps 'model' to str; give a function"):
        pf.map_block(lambda length, model: 1, fields=SCORE, name="s", setup={"model": "bge-m3"})
