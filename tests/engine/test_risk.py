"""What a stop can lose: shards are sized by how slow a block declares itself."""

from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, Planned, ShardDone
from paninifs.engine.worker.shard_writer import shards_in_flight
from paninifs.storage.corpus.partition import MAX_SHARD_SECONDS
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.local import LocalTarget

TEXT_SECONDS = 0.02


def slow(text_seconds, seconds=TEXT_SECONDS):
    @pf.map_block(
        fields=[pf.Field("n_bytes", "int32")], text_seconds=text_seconds, name="slow", version="1"
    )
    def block(text):
        time.sleep(seconds * len(text))
        return np.diff(text.offsets).astype("int32")

    return block


@pytest.fixture
def events(client, tmp_path):
    def run(graph, corpus, store="out.zarr", **options):
        options = {"client": client, "progress": False, **options}
        run = pf.submit(graph, corpus, tmp_path / store, **options)
        run.result()
        seen = []
        run.events.subscribe(seen.append)
        return seen

    return run


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl(glosses[:300]))


def test_work_in_flight_of_a_slow_block_is_limited(events, corpus, tmp_path, monkeypatch):
    """Scaled down a hundredfold: five minutes become three seconds."""
    monkeypatch.setattr(
        "paninifs.storage.corpus.partition.MAX_SHARD_SECONDS", MAX_SHARD_SECONDS / 100
    )
    seen = events(pf.default_graph() + slow(TEXT_SECONDS), corpus)
    (planned,) = (event for event in seen if isinstance(event, Planned))
    assert planned.shard_rows == 16  # 0.32 s; 32 would take 0.64 s
    layout = read_manifest(LocalTarget(tmp_path / "out.zarr")).layout(corpus.index)
    at_once = shards_in_flight(layout)
    assert planned.rows_at_risk == at_once * 16 == 80
    assert planned.seconds_at_risk == pytest.approx(80 * TEXT_SECONDS)
    spent = [event.seconds["slow"] for event in seen if isinstance(event, ShardDone)]
    assert len(spent) == 19
    # As many shards as a task has unfinished: one computed, the others being written.
    assert float(np.median(spent)) * at_once * 100 < 300
    assert float(np.median(spent)) >= 16 * TEXT_SECONDS


def test_without_slow_blocks_nothing_changes(events, corpus):
    (planned,) = (
        event for event in events(pf.default_graph(), corpus) if isinstance(event, Planned)
    )
    assert (planned.shard_rows, planned.rows_at_risk, planned.seconds_at_risk) == (4096, 300, 0.0)


def test_text_seconds_is_not_part_of_a_blocks_identity(events, corpus):
    events(pf.default_graph() + slow(0.0, 0.0), corpus, shard_rows=64)
    seen = events(pf.default_graph() + slow(7.0, 0.0), corpus)  # resumed
    assert not [event for event in seen if isinstance(event, ShardDone)]


def test_an_undeclared_slow_block_is_reported(events, corpus, monkeypatch):
    monkeypatch.setattr("paninifs.engine.run.stages.map_pass.MAX_SHARD_SECONDS", 0.5)
    seen = events(pf.default_graph() + slow(0.0, 0.01), corpus, shard_rows=64)
    (notice,) = (event for event in seen if isinstance(event, Notice))
    assert notice.text.startswith("block 'slow' takes about 0.01")
    assert "so a shard of 64 texts takes 0." in notice.text
    assert "text_seconds=0.01" in notice.text


@pytest.mark.parametrize(
    ("backend", "many", "announced"), [("cuda", 9, True), ("cuda", 10, False), ("cpu", 9, False)]
)
def test_a_slow_compilation_is_announced(
    events, corpus, cuda_on_host, monkeypatch, backend, many, announced
):
    monkeypatch.setattr("paninifs.engine.run.stages.map_pass.MANY_DHATUS", many)
    with pf.connect("threads", quiet=True) as client:
        seen = events(pf.default_graph(), corpus, client=client, backend=backend)
        again = events(pf.default_graph(), corpus, client=client, backend=backend)
    told = [event.text for event in seen if isinstance(event, Notice)]
    about = "the CUDA kernel for 9 dhātus takes about 2.7 s to compile"
    assert [text.startswith(about) for text in told] == [True] * announced
    assert not [event for event in again if isinstance(event, Notice)]  # nothing is computed


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_invalid_text_seconds_is_refused(seconds):
    with pytest.raises(pf.errors.GraphError, match="must be a non-negative number of seconds"):
        slow(seconds)


def test_a_run_says_what_is_at_risk(client, corpus, tmp_path, capsys):
    graph = pf.default_graph() + slow(7.0, 0.0)
    pf.submit(graph, corpus, tmp_path / "out.zarr", client=client).result()
    said = " ".join(capsys.readouterr().err.split())
    # A 64th of 300 rows are 4, in 28 s; five shards at once are 140 s.
    assert "stopping loses at most 20 texts per thread, 140 s of work" in said
    assert json.loads((tmp_path / "out.zarr/_run/manifest.json").read_text())["shard_rows"] == 4


def test_slow_targets_have_fewer_shards(client, glosses, tmp_path, write_jsonl):
    class Mounted(LocalTarget):
        slow_to_create = True

    corpus = pf.open_corpus(write_jsonl([{"text": f"{n}"} for n in range(300_000)]))

    def planned(store, **options):
        target = Mounted(store) if options.pop("mounted", False) else store
        with pf.connect("threads", quiet=True) as threads:
            run = pf.submit(
                pf.default_graph(), corpus, target, client=threads, progress=False, **options
            )
            run.events.subscribe(lambda event: isinstance(event, Planned) and run.cancel())
            with pytest.raises(pf.errors.PaniniError):
                run.result()
        seen = []
        run.events.subscribe(seen.append)
        return next(event for event in seen if isinstance(event, Planned)).shard_rows

    assert planned(tmp_path / "1.zarr") == 4096
    assert planned(tmp_path / "2.zarr", mounted=True) == 16_384
    assert planned(tmp_path / "3.zarr", mirror=Mounted(tmp_path / "4.zarr")) == 16_384


# --- slow blocks on several workers ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.txt", "c.txt.gz", "c.parquet"])
def test_work_of_a_slow_block_is_cut_for_several_workers(events, tmp_path, name):
    """Each of these files is a single partition."""
    texts = [f"text {row}" for row in range(300)]
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": texts}), path)
    else:
        data = "".join(f"{text}\n" for text in texts).encode()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)

    def tasks(graph):
        (planned,) = (
            event
            for event in events(graph, pf.open_corpus(path), store=f"{graph.text_seconds}")
            if isinstance(event, Planned)
        )
        return planned.partitions

    assert tasks(pf.default_graph()) == 1
    assert tasks(pf.default_graph() + slow(1.0, 0.0)) == 75 // 5  # shards of 4 texts, 20 s each
    assert pf.verify(tmp_path / "1.0").passed


def test_a_large_compressed_file_is_read_once(events, tmp_path, monkeypatch):
    monkeypatch.setattr("paninifs.engine.run.tasks.REREAD_BYTES", 10)
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"un\n" * 300))
    seen = events(pf.default_graph() + slow(1.0, 0.0), pf.open_corpus(tmp_path / "c.txt.gz"))
    (planned,) = (event for event in seen if isinstance(event, Planned))
    assert planned.partitions == 1
