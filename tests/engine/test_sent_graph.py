"""A run's graph reaches each worker process once, and leaves nothing behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from inline import InlineClient

import paninifs as pf
from paninifs.engine.worker import sent_graph
from paninifs.engine.worker.sent_graph import GraphKey, held_graph
from paninifs.storage.errors import LeaseLost

loaded = []


class Table:
    """A table that knows how often it is loaded."""

    def __reduce__(self):
        return load_table, ()


def load_table():
    loaded.append(threading.get_ident())
    return np.arange(100)


def with_table(table):
    @pf.map_block(fields=[pf.Field("n", "int64")], version="1")
    def n(text):
        return table[np.diff(text.offsets)]

    return pf.Graph((n,))


@pytest.fixture
def run(tmp_path):
    """Run a graph over a corpus of eight files; return the client."""
    (tmp_path / "texts").mkdir()
    for part in range(8):
        (tmp_path / f"texts/{part}.txt").write_text("un\ndeux\n" * 2)

    def run(graph):
        client = InlineClient()
        options = {"client": client, "shard_rows": 4, "progress": False}
        corpus = pf.open_corpus(tmp_path / "texts")
        assert pf.submit(graph, corpus, tmp_path / "r", **options).result().done == 32
        return client

    return run


def test_a_graph_is_loaded_once_for_all_tasks(run):
    loaded.clear()
    run(with_table(Table()))
    assert len(loaded) == 1


def test_the_scheduler_keeps_no_graph(run):
    client = run(pf.default_graph())
    kept = [value for key, value in client._metadata.items() if key[:2] == ("paninifs", "graphs")]
    assert kept == [None]


def test_a_worker_drops_a_graph_that_no_task_uses(run, monkeypatch):
    run(pf.default_graph())
    key = list(sent_graph._loaded)[-1]
    monkeypatch.setattr(sent_graph, "_drop_later", lambda key: None)
    sent_graph._drop_unused(key)
    assert key in sent_graph._loaded  # it was used just now
    monkeypatch.setattr(sent_graph, "KEEP_SECONDS", 0.0)
    sent_graph._loaded[key].users = 1
    sent_graph._drop_unused(key)
    assert key in sent_graph._loaded
    sent_graph._loaded[key].users = 0
    sent_graph._drop_unused(key)
    assert key not in sent_graph._loaded


def test_a_task_of_an_ended_run_stops(run):
    client = run(pf.default_graph())
    ended = pytest.raises(LeaseLost, match="has ended")
    with client._worker.at_work(), ended, held_graph(GraphKey("a store", "a run")):
        pass
