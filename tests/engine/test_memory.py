"""A worker's memory stays bounded as the corpus grows."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import dask
import greedy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, Planned
from paninifs.engine.results.verify import verify
from paninifs.engine.run.failures import killed
from paninifs.engine.run.worker_memory import project
from paninifs.engine.worker.micro_batches.budget import JOINED_COPIES
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.readiness import Readiness, prepared
from paninifs.storage.corpus.index import CorpusIndex, FileIndex
from paninifs.storage.rows import Lengths, RowSpan, SourceFile, Stretch, Unit
from paninifs.storage.store.quarantine import first_quarantined
from paninifs.storage.store.shards import StoreLayout
from paninifs.storage.targets.local import LocalTarget

MIB = 1 << 20


def peak_bytes():
    """Not getrusage's, which starts from the peak of the process that this one was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def peak_of_a_run(glosses, megabytes, kind, tmp_path):
    """Run a corpus of so many megabytes on a new worker; return how much its peak memory grew."""
    text = " ".join(row["text"] for row in glosses)[:4000]
    path = tmp_path / f"{megabytes}.{kind}"
    rows = megabytes * 250
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"text": [f"{row} {text}" for row in range(rows)]}
        pq.write_table(pa.table(columns), path, row_group_size=rows)
    else:
        path.write_text("".join(f"{row} {text}\n" for row in range(rows)))
    with Client(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        options = {"client": client, "progress": False, "shard_rows": 4096}
        warm = tmp_path / "warm.txt"
        warm.write_text("warm\n")
        pf.submit(pf.default_graph(), pf.open_corpus(warm), tmp_path / "w", **options).result()
        before = max(client.run(peak_bytes).values())
        store = tmp_path / f"{megabytes}.zarr"
        pf.submit(pf.default_graph(), pf.open_corpus(path), store, **options).result()
        return max(client.run(peak_bytes).values()) - before


@pytest.mark.soak("corpora of 40 and 200 MB")
@pytest.mark.parametrize("kind", ["txt", "parquet"])
def test_worker_memory_does_not_grow_with_the_corpus(kind, glosses, tmp_path):
    small = peak_of_a_run(glosses, 40, kind, tmp_path / "a")
    large = peak_of_a_run(glosses, 200, kind, tmp_path / "b")
    assert large < small + 40 * MIB, (small / MIB, large / MIB)
    assert large < 120 * MIB, large / MIB


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()


@pytest.fixture
def small_workers(forked):
    with (
        dask.config.set(forked),
        pf.connect(workers=2, memory="700MiB", quiet=True) as client,
    ):
        yield client


def run(graph, corpus, store, client, **options):
    """Return the summary, and the notices."""
    options = {"client": client, "progress": False, "shard_rows": 64} | options
    started = pf.submit(graph, corpus, store, **options)
    seen = []
    started.events.subscribe(seen.append)
    return started.result(), [event.text for event in seen if isinstance(event, Notice)]


@pytest.mark.documented("greedy")
def test_too_large_a_task_is_done_in_small_pieces(glosses, small_workers, tmp_path):
    texts = tmp_path / "a.txt"
    texts.write_text("".join(f"{row['text']}\n" for row in glosses) * 4)
    graph = pf.default_graph() + greedy.greedy_by_row
    options = {"shard_rows": 8192, "micro_batch": pf.MicroBatch()}
    summary, notices = run(graph, pf.open_corpus(texts), tmp_path / "s", small_workers, **options)
    assert (summary.done, summary.quarantined) == (8000, 0)
    (notice,) = (one for one in notices if "text_seconds" not in one)
    assert "a worker died 4 times (for lack of memory: it held " in notice
    assert "a.txt, rows 0-7,999" in notice
    expected = [len(row["text"].encode()) for row in glosses] * 4
    assert pf.open_results(tmp_path / "s").held.values.tolist() == expected


@pytest.mark.soak("kills a worker again and again")
@pytest.mark.documented("poison")
def test_a_shard_that_kills_workers_is_quarantined_then_retried(glosses, small_workers, tmp_path):
    texts, store = tmp_path / "a.txt", tmp_path / "s"
    lines = [row["text"] for row in glosses[:300]]
    lines[100] = "poison"
    texts.write_text("\n".join(lines) + "\n")
    corpus, graph = pf.open_corpus(texts), pf.default_graph() + greedy.greedy_at_one
    summary, notices = run(graph, corpus, store, small_workers)
    assert (summary.rows, summary.done, summary.quarantined) == (300, 236, 64)
    assert "a.txt, rows 64-127 is quarantined, not computed" in notices[-1]
    ((entry,), _) = first_quarantined(LocalTarget(store), 5)
    assert (entry.file, entry.file_row, entry.rows) == ("a.txt", 64, 64)
    assert "for lack of memory: it held" in entry.reason
    assert "--memory" in entry.reason
    results = pf.open_results(store)
    valid = results.valid.values
    assert valid.tolist() == [not 64 <= row < 128 for row in range(300)]
    good = [len(line.encode()) for row, line in enumerate(lines) if not 64 <= row < 128]
    assert results.held.values[valid].tolist() == good
    assert verify(store).passed

    with pf.connect(workers=1, memory="3GiB", quiet=True) as enough:
        started = pf.submit(graph, corpus, store, client=enough, progress=False)
        again = started.result()
    assert (again.done, again.quarantined) == (300, 0)
    assert started.status().rows_before == 300 - 64  # and nothing else was computed again
    assert first_quarantined(LocalTarget(store), 5) == ([], 0)
    assert pf.open_results(store).held.values.tolist() == [len(line.encode()) for line in lines]
    assert verify(store).passed


@pytest.mark.soak("kills a worker again and again")
def test_rows_from_before_an_extension_are_not_quarantined(glosses, small_workers, tmp_path):
    store, graph = tmp_path / "s", pf.default_graph() + greedy.greedy_at_one
    for name, lines in (("1.txt", ["un", "deux"]), ("2.txt", ["trois", "poison"])):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    run(graph, pf.open_corpus(tmp_path / "1.txt"), store, small_workers)
    corpus = pf.open_corpus([tmp_path / "1.txt", tmp_path / "2.txt"])
    with pytest.raises(pf.errors.RunFailed, match=r"has rows from before the corpus was extended"):
        run(graph, corpus, store, small_workers, extend=True)
    with pytest.warns(pf.errors.ResultsIncomplete):
        results = pf.open_results(store)
    assert results.valid.values.tolist() == [True, True, False, False]
    assert results.held.values[:2].tolist() == [2, 4]


@pytest.mark.soak("kills a worker again and again")
def test_a_task_tried_alone_skips_finished_shards(glosses, small_workers, tmp_path, monkeypatch):
    """One task of five shards, as the file is compressed; the third one kills its worker."""
    asked, task = [], killed.task_of
    monkeypatch.setattr(killed, "task_of", lambda *given: asked.append(given[-1]) or task(*given))
    lines = [row["text"] for row in glosses[:320]]
    lines[150] = "poison"
    with gzip.open(tmp_path / "a.txt.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    mirror, store = tmp_path / "mirror", tmp_path / "s"
    graph, corpus = pf.default_graph() + greedy.greedy_at_one, pf.open_corpus(tmp_path / "a.txt.gz")
    summary, notices = run(graph, corpus, store, small_workers, mirror=mirror)
    assert (summary.done, summary.quarantined) == (256, 64)
    assert asked == [(2, 3, 4), (2,), (3, 4)]
    assert next(notice for notice in notices if "is quarantined" in notice).startswith(
        f"file://{tmp_path}/a.txt.gz, rows 128-191"
    )
    with pf.connect(workers=1, memory="3GiB", quiet=True) as enough:
        assert run(graph, corpus, store, enough, mirror=mirror, shard_rows=None)[0].done == 320
    assert first_quarantined(LocalTarget(mirror), 5) == ([], 0)


@pytest.mark.soak("kills a worker again and again")
def test_with_on_error_raise_a_killed_worker_ends_the_run(glosses, small_workers, tmp_path):
    texts = tmp_path / "a.txt"
    texts.write_text("poison\n")
    graph, corpus = pf.default_graph() + greedy.greedy_at_one, pf.open_corpus(texts)
    named = r"block 'greedy_at_one' ends the process of its worker, for lack of .*a.txt, row 0"
    with pytest.raises(pf.errors.RunFailed, match=named):
        run(graph, corpus, tmp_path / "s", small_workers, on_error="raise")


@pytest.mark.documented("long-text")
def test_a_text_too_large_for_any_worker_is_refused(client, tmp_path):
    """A sparse file: a gibibyte of NUL on one line, between two others."""
    texts = tmp_path / "a.txt"
    with texts.open("wb") as file:
        file.write(b"un\n")
        file.truncate(3 + (1 << 30))
        file.seek(0, 2)
        file.write(b"\ntrois\n")
    with pf.connect(workers=1, memory="2GiB", quiet=True) as small:
        started = pf.submit(
            pf.default_graph(), pf.open_corpus(texts), tmp_path / "s", client=small, progress=False
        )
        with pytest.raises(pf.errors.RunFailed) as caught:
            started.result()
    for word in ("a.txt, row 1 (from 0), has 1.00 GiB", "--memory", "of its 2.00 GiB"):
        assert word in str(caught.value)
    assert not LocalTarget(tmp_path / "s").sizes("_run/done")


def long_text(folder, glosses):
    """One text of 60 MB among short ones, as JSON Lines."""
    rows = [row["text"] for row in glosses]
    rows[700] = " ".join(rows)[:60_000] * 1000
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return folder / "a.jsonl"


def five_kilobytes(folder, glosses):
    """Forty thousand texts of about 5 kB, as Parquet."""
    texts = [row["text"] for row in glosses]
    rows = [f"{row} {' '.join(texts[row % 1900 : row % 1900 + 70])}" for row in range(40_000)]
    pq.write_table(pa.table({"text": rows}), folder / "a.parquet")
    return folder / "a.parquet"


def short_lines(folder, glosses):
    """Two million short lines."""
    lines = "".join(f"{row['text'][:20]}\n" for row in glosses)
    (folder / "a.txt").write_text(lines * 1000)
    return folder / "a.txt"


@pytest.mark.soak("corpora of up to 200 MB")
@pytest.mark.parametrize("make", [long_text, five_kilobytes, short_lines])
def test_projected_memory_matches_actual_memory(make, glosses, tmp_path):
    corpus = pf.open_corpus(make(tmp_path, glosses))
    with pf.connect(workers=1, quiet=True) as client:
        started = pf.submit(
            pf.default_graph(), corpus, tmp_path / "s", client=client, progress=False
        )
        started.result()
        (peak,) = client.run(peak_bytes).values()
    seen = []
    started.events.subscribe(seen.append)
    (projected,) = [event.memory.nbytes for event in seen if isinstance(event, Planned)]
    assert 0.7 * peak < projected < 1.3 * peak, (projected / MIB, peak / MIB)


@pytest.mark.soak("two gigabytes of text")
@pytest.mark.documented("much-text")
def test_a_partition_may_hold_more_than_4_gib_of_text(tmp_path):
    """A sparse file: 34 lines of 64 MiB of NUL, one partition, one shard."""
    size, lines = 64 << 20, 34
    with (tmp_path / "a.txt").open("wb") as file:
        for line in range(1, lines + 1):
            file.seek(line * (size + 1) - 1)
            file.write(b"\n")
    assert lines * size > 2**31
    corpus, store = pf.open_corpus(tmp_path / "a.txt"), tmp_path / "s"
    with pf.connect(workers=1, memory="2GiB", quiet=True) as client:
        run = pf.submit(pf.default_graph(), corpus, store, client=client, progress=False)
        summary = run.result()
        (peak,) = client.run(peak_bytes).values()
    assert (summary.done, summary.text_bytes) == (lines, lines * size)
    assert peak < 1 << 30
    expected = hashlib.sha256(bytes(size)).digest()
    digests = pf.open_results(store).digest.values
    assert {bytes(one) for one in digests} == {expected}


def projected(lengths, threads=3, limit=1 << 40, format="text", span=(0, 1 << 30), joined=None):
    """Project a file of such texts; per thread, 84 MB are for batches and 168 MB for shards."""
    file = SourceFile(
        url="a.txt", name="a.txt", size=1 << 40, version="", format=format, compression=None
    )
    files = (FileIndex(file, (Unit(1 << 30, 0),), None, lengths),)
    index = CorpusIndex(files=files, text="text", id=None, keep=())
    layout = StoreLayout((pf.Field("wide", "float32", shape=(1024,)),), 1 << 30, 4096, "")
    stretch = Stretch(0, file, RowSpan(*span, 0, 0))
    return project(Readiness(None, 300, limit, threads, joined), index, layout, [stretch], None)


def test_every_part_of_the_projection_counts():
    batches = 2 * 5 * (8 << 20)  # two batches in five forms
    shards = 2 * (1 + 4) * 4096 * 1024 * 4  # arrays and objects; one shard computed, four written
    many = Lengths(nbytes=1 << 40, longest=100 << 20, row=7)
    one = Lengths(nbytes=1 << 27, longest=100 << 20, row=7)
    short = Lengths(nbytes=1 << 40, longest=100, row=7)
    assert projected(short).nbytes == 300 + 3 * (batches + shards)
    assert projected(many).nbytes == 300 + 3 * (batches + shards + 5 * (100 << 20))
    # A file that holds one such text cannot keep three threads busy with it.
    few = 2 * 5 * 16_384 // 8  # the others have an eighth of a byte each, on average
    assert projected(one).nbytes == 300 + 3 * (few + shards) + 5 * (100 << 20)
    assert projected(many).longest.row == 7
    assert projected(many, span=(8, 1 << 30)).nbytes == projected(short).nbytes  # it is done


def test_text_joined_for_a_device_counts():
    many, few = (Lengths(nbytes, longest=100, row=7) for nbytes in (1 << 40, 1 << 27))
    joined = MicroBatch(rows=1 << 30, text_bytes=192 << 20)
    more = projected(many, joined=joined).nbytes - projected(many).nbytes
    assert more == 3 * JOINED_COPIES * (192 << 20)
    more = projected(few, joined=joined).nbytes - projected(few).nbytes
    assert more == 3 * JOINED_COPIES * (1 << 27)  # all of the text


@pytest.mark.parametrize(("memory", "times"), [("1GiB", 0.125), ("2GiB", 0.25)])
def test_text_joined_for_a_device_fits_the_worker(cuda_on_host, memory, times):
    with pf.connect(workers=1, memory=memory, quiet=True) as client:
        ready = client.submit(prepared, "cuda", pure=False).result()
        assert client.submit(prepared, "cpu", pure=False).result().joined is None
    assert ready.joined == MicroBatch(int(times * 2 * 65_536), int(times * 2 * (64 << 20)))
    assert JOINED_COPIES * ready.joined.text_bytes <= ready.limit / 8


def test_a_text_that_takes_most_of_the_memory_is_named():
    with pytest.raises(pf.errors.RunFailed, match=r"a.txt, row 7 \(from 0\), has 4.00 GiB"):
        projected(Lengths(4 << 30, 4 << 30, 7), threads=16, limit=4 << 30).require_fit()
    projected(Lengths(4 << 30, 4 << 30, 7), threads=16, limit=64 << 30).require_fit()
    with pytest.raises(pf.errors.RunFailed, match="its threads take"):
        projected(Lengths(1 << 40, 100, 7), threads=16, limit=4 << 30).require_fit()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_parquet_files_longest_text_is_found_if_it_matters(tmp_path, damaged):
    path = tmp_path / "a.parquet"
    texts = ["a"] * 500 + ["b" * (20 << 20)] + ["c"] * 500
    pq.write_table(pa.table({"text": texts}), path, use_dictionary=False, compression="none")
    if damaged:
        with path.open("r+b") as file:
            file.seek(4)
            file.write(bytes(64))
    corpus = pf.open_corpus(path)
    (one,) = corpus.index.files
    assert (one.lengths.row, one.lengths.rows) == (0, 1001)
    layout = StoreLayout((pf.Field("n", "int32"),), 1001, 4096, "")
    for limit, row in ((1 << 40, None), (200 << 20, 500)):
        ready = Readiness(None, 0, limit, 1)
        found = project(ready, corpus.index, layout, corpus.index.stretches(0, 1001), corpus.opener)
        assert (found.longest and found.longest.row) == (None if damaged else row)
