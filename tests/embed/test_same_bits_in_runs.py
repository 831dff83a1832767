"""Vectors of a real model are the same bits for any workers and threads, and after kills."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pytest
from distributed import Client
from embedding_attempt import EmbeddingAttempt

import paninifs as pf

ENGINES = ("torch", "openvino")
TEXTS, SHARD_ROWS = 384, 32
SHARDS = TEXTS // SHARD_ROWS

pytestmark = pytest.mark.soak("loads a model in every worker: minutes in all")


@pytest.fixture(scope="module")
def corpus(glosses, tmp_path_factory):
    """A corpus, and its texts; their lengths differ, and a few are longer than the model takes."""
    texts = [one["text"] for one in glosses[::5][: TEXTS - 4]]
    texts[50:50] = [" ".join(texts[:60]), "", " ".join(texts[60:90]), "a"]
    file = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(file), texts


@pytest.fixture(scope="module")
def expected(minilm, corpus):
    """Return a function from an engine to the bytes of the vectors, computed one text at a time."""
    made = {}

    def vectors(engine):
        if engine not in made:
            block = pf.embedding(minilm, engine=engine)
            made[engine] = np.concatenate([block([text])[0] for text in corpus[1]]).tobytes()
        return made[engine]

    return vectors


def vectors_in(store):
    with pf.open_results(store) as found:
        return found.embedding.values.tobytes()


@pytest.mark.parametrize(
    ("workers", "threads"),
    [(1, 4), (2, 2), (3, 1), (4, 1)],
    ids=str,
)
@pytest.mark.parametrize("engine", ENGINES)
def test_any_workers_and_threads(engine, workers, threads, minilm, corpus, expected, tmp_path):
    graph = pf.Graph([pf.embedding(minilm, engine=engine)])
    where = {"n_workers": workers, "threads_per_worker": threads}
    with Client(**where, dashboard_address="127.0.0.1:0") as client:
        options = {"client": client, "shard_rows": SHARD_ROWS, "progress": False}
        run = pf.submit(graph, pf.open_corpus(corpus[0]), tmp_path / "out.zarr", **options)
        run.result()
        assert (run.record.workers, run.record.threads) == (workers, workers * threads)
    assert vectors_in(tmp_path / "out.zarr") == expected(engine)


@pytest.fixture
def attempt(start, minilm, corpus, tmp_path):
    """Return a function that begins a run in another process."""

    def begin(engine, **options):
        store, log = str(tmp_path / "out.zarr"), str(tmp_path / "log")
        common = {"model": str(minilm), "engine": engine}
        return start(EmbeddingAttempt(corpus[0], store, log, SHARD_ROWS, **common, **options))

    return begin


def done(folder):
    return len(list(folder.glob("out.zarr/_run/done/*.json")))


@pytest.mark.parametrize(
    ("engine", "mode"), [("openvino", "torn"), ("openvino", "after"), ("torch", "before")]
)
def test_killed_twice_at_a_write(engine, mode, attempt, expected, tmp_path):
    counts = []
    for at in (20, 50):  # counted over all attempts
        process = attempt(engine, inline=True, kill_at=at, mode=mode)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        counts.append(done(tmp_path))
    assert 0 < counts[0] < counts[1] < SHARDS
    process = attempt(engine, inline=True)
    process.join()
    assert process.exitcode == 0
    assert vectors_in(tmp_path / "out.zarr") == expected(engine)
    assert pf.verify(tmp_path / "out.zarr", sample=SHARDS).recomputed == ("embedding",)


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_twice_with_all_workers(engine, attempt, expected, tmp_path):
    """Two workers of two threads, whose batches are cut off anywhere."""
    for shards in (2, 6):
        process = attempt(engine, seconds=0.05)
        while done(tmp_path) < shards:
            assert process.is_alive()
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert shards <= done(tmp_path) < SHARDS
    process = attempt(engine)
    process.join()
    assert process.exitcode == 0
    assert vectors_in(tmp_path / "out.zarr") == expected(engine)
