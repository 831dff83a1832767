"""What follows when workers die again and again: for a text, and for a block."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import KilledWorker

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, ShardDone
from paninifs.engine.run.failures import killed
from paninifs.engine.run.failures.killed import MAX_SUSPECTS, Suspects
from paninifs.engine.worker.task import Task
from paninifs.storage.errors import RunFailed
from paninifs.storage.rows import RowSpan, SourceFile, Stretch

FILE = SourceFile(
    url="file:///a.txt", name="a.txt", size=1, version="", format="text", compression=None
)


def task(*shards):
    return Task(shards[0], shards, (Stretch(0, FILE, RowSpan(shards[0], shards[-1] + 1, 0, 0)),))


def death():
    return KilledWorker("task", SimpleNamespace(address="tcp://w", memory_limit=1 << 30), 3)


class Cluster:
    """Runs tasks of which some kill their worker."""

    def __init__(self, deadly, done=(), growing=None):
        self.deadly, self.notices, self.quarantined = set(deadly), [], []
        marked = {shard: SimpleNamespace(rows=1, quarantined=0) for shard in done}
        store = SimpleNamespace(done=marked, layout=SimpleNamespace(growing=growing))
        client = SimpleNamespace(get_events=lambda _: ())
        self.suspects = Suspects(client, store, self.run, self.notices.append, at_once=False)

    def run(self, mode, tasks):
        dead = []
        for one in tasks:
            for shard in one.shards:
                if shard in self.deadly and not mode.provisional:
                    self.suspects.running = ("breaks", f"row {shard}")
                    dead.append((one, death()))
                    break
                self.quarantined += [shard] * mode.provisional
                self.suspects.add_done(
                    ShardDone(shard=shard, rows=1, quarantined=int(mode.provisional), text_bytes=0)
                )
        return dead

    def decide(self, *tasks):
        self.suspects.try_alone([(one, death()) for one in tasks])
        self.suspects.finish()


@pytest.fixture
def pretend(monkeypatch):
    """Make a cluster of which only the deaths are real."""
    monkeypatch.setattr(killed, "task_of", lambda _, number, shards: task(*shards))
    return Cluster


def test_a_shard_that_kills_among_good_ones_is_quarantined(pretend):
    cluster = pretend(deadly=[1])
    cluster.decide(task(0, 1, 2))
    assert cluster.quarantined == [1]
    assert cluster.suspects.done == {0, 1, 2}


def test_a_verdict_waits_until_something_was_computed(pretend):
    cluster = pretend(deadly=[0, 1])
    cluster.decide(task(0), task(1), task(2))
    assert cluster.quarantined == [0, 1]


def test_a_store_with_results_is_proof_that_blocks_work(pretend):
    cluster = pretend(deadly=range(1, 9), done=[0])
    cluster.decide(*(task(shard) for shard in range(1, 9)))
    assert cluster.quarantined == list(range(1, 9))


@pytest.mark.documented("deadly-block")
@pytest.mark.parametrize("shards", [1, 2, MAX_SUSPECTS, 50])
def test_a_block_that_kills_every_worker_ends_the_run(shards, pretend):
    cluster = pretend(deadly=range(shards))
    with pytest.raises(RunFailed, match=r"^block 'breaks' ends .* last at row \d"):
        cluster.decide(*(task(shard) for shard in range(shards)))
    assert cluster.quarantined == []
    assert len(cluster.notices) <= MAX_SUSPECTS


def test_many_deadly_shards_of_one_task_end_the_run(pretend):
    cluster = pretend(deadly=range(50))
    with pytest.raises(RunFailed, match=r"at each of 3 shards tried alone"):
        cluster.decide(task(*range(50)))
    assert cluster.quarantined == []


def test_a_death_before_any_block_is_not_blamed_on_one(pretend):
    cluster = pretend(deadly=[0])
    cluster.run = lambda mode, tasks: [(one, death()) for one in tasks]
    cluster.suspects._run_tasks = cluster.run
    with pytest.raises(RunFailed, match=r"^reading the corpus ends"):
        cluster.decide(task(0))


# --- with workers that die ------------------------------------------------------------------------


@pf.map_block(fields=[pf.Field("fine", "int32")], version="1")
def fine(text):
    return np.diff(text.offsets).astype("int32")


@pf.map_block(fields=[pf.Field("broken", "int32")], version="1")
def breaks(text):
    os.kill(os.getpid(), signal.SIGSEGV)


@pf.map_block(fields=[pf.Field("rarely", "int32")], version="1")
def breaks_at_one(text):
    if "poison" in text.to_strings():
        os.kill(os.getpid(), signal.SIGSEGV)
    return np.diff(text.offsets).astype("int32")


@pytest.mark.soak("kills a worker again and again")
@pytest.mark.documented("deadly-block")
@pytest.mark.parametrize("files", [1, 40])
def test_a_run_ends_if_a_block_always_crashes(files, tmp_path):
    (tmp_path / "texts").mkdir()
    for part in range(files):
        (tmp_path / f"texts/{part}.txt").write_text("un\ndeux\n")
    graph = pf.default_graph() + fine + breaks
    with pf.connect(workers=2, quiet=True) as client:
        run = pf.submit(
            graph, pf.open_corpus(tmp_path / "texts"), tmp_path / "r", client=client, progress=False
        )
        with pytest.raises(RunFailed, match=r"^block 'breaks' ends the process of its worker"):
            run.result()
    assert run.status().quarantined == 0


@pytest.mark.soak("kills a worker again and again")
def test_a_text_that_always_crashes_is_quarantined(tmp_path):
    (tmp_path / "texts").mkdir()
    for part in range(12):
        text = "poison" if part == 5 else "deux"
        (tmp_path / f"texts/{part}.txt").write_text(f"un\n{text}\n")
    with pf.connect(workers=2, quiet=True) as client:
        options = {"client": client, "progress": False, "shard_rows": 4}
        corpus = pf.open_corpus(tmp_path / "texts")
        run = pf.submit(pf.Graph((breaks_at_one,)), corpus, tmp_path / "r", **options)
        summary = run.result()
    assert (summary.done, summary.quarantined) == (20, 4)
    notices = []
    run.events.subscribe(lambda event: notices.extend([event] * isinstance(event, Notice)))
    assert "is quarantined, not computed" in notices[-1].text
