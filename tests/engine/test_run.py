"""Whole runs on a real cluster: what is stored, refused and quarantined."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import time
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tblib.pickling_support
import xarray as xr
from distributed import Client

import paninifs as pf
from paninifs.engine.monitoring.events import (
    Finished,
    Indexed,
    Planned,
    ShardDone,
    TaskBegun,
    WritesAwaited,
)
from paninifs.engine.results import verify as verify_module
from paninifs.engine.run import driver as driver_module
from paninifs.engine.run import spec as spec_module
from paninifs.graphs.kernels import reference
from paninifs.storage.corpus import counting
from paninifs.storage.errors import (
    BlockError,
    LeaseHeld,
    LeaseLost,
    ResultsIncomplete,
    ResultsMismatch,
    RunCancelled,
    StorageUnreachable,
    UsageError,
)
from paninifs.storage.formats import jsonl
from paninifs.storage.store import lifecycle as store_module
from paninifs.storage.store.shards import leftovers
from paninifs.storage.targets.local import LocalTarget


@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes(text):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


@pytest.fixture
def submit(client, tmp_path):
    """Submit to the test's own store; return the run."""

    def begin(corpus, graph=None, **options):
        graph = graph or pf.default_graph()
        options = {"client": client, "progress": False, **options}
        return pf.submit(graph, corpus, tmp_path / "out.zarr", **options)

    return begin


@pytest.fixture
def store(tmp_path):
    return tmp_path / "out.zarr"


def values_of(store):
    target = LocalTarget(store)
    return {key: target.get(key) for key in target.sizes() if "/c/" in key}


def test_results_are_a_labelled_dataset_equal_to_the_reference(submit, store, glosses, write_jsonl):
    summary = submit(pf.open_corpus(write_jsonl(glosses)), pf.default_graph() + n_bytes).result()
    assert (summary.rows, summary.done, summary.quarantined) == (2000, 2000, 0)
    text = pf.PackedText.from_strings([row["text"] for row in glosses])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(store)
    assert list(dataset.id.values) == [row["id"] for row in glosses]
    assert dataset.dhatu.dims == ("text", "dhatu_name")
    assert list(dataset.dhatu_name.values)[-1] == "FEEL"
    assert list(dataset.prime.values) == list(pf.default_graph().blocks[2].params["primes"])
    shares = reference.dhatu(text, dhatus=pf.default_graph().blocks[1].params["dhatus"])
    np.testing.assert_array_equal(dataset.dhatu.values, shares)
    np.testing.assert_array_equal(dataset.digest.values, reference.digest(text))
    np.testing.assert_array_equal(dataset.n_bytes.values, np.diff(text.offsets))
    assert bool(dataset.valid.all())
    np.testing.assert_allclose(
        dataset.mean("text").dhatu.sel(dhatu_name="FEEL"), shares[:, 8].mean(), rtol=1e-5
    )


def test_open_results_of_a_finished_store_is_lazy_and_silent(submit, store, glosses, write_jsonl):
    submit(pf.open_corpus(write_jsonl(glosses[:100]))).result()
    dataset = pf.open_results(store)
    assert dataset.attrs["complete"] == 1
    assert dataset.dhatu.chunks is not None


@pytest.mark.parametrize(
    "size",
    [
        {"n_workers": 1, "threads_per_worker": 1, "processes": True},
        {"n_workers": 4, "threads_per_worker": 1, "processes": True},
        {"n_workers": 1, "threads_per_worker": 4, "processes": False},
        {"n_workers": 2, "threads_per_worker": 2, "processes": True},
    ],
    ids=str,
)
def test_every_backend_and_cluster_makes_the_same_store(
    size, submit, store, glosses, write_jsonl, tmp_path
):
    for part in range(8):
        write_jsonl(glosses[part * 250 : (part + 1) * 250], f"{part}.jsonl")
    corpus = pf.open_corpus(tmp_path / "*.jsonl")
    submit(corpus, shard_rows=128).result()
    expected = values_of(store)
    with Client(dashboard_address="127.0.0.1:0", **size) as other:
        for rows in (37, 4096):
            batch = pf.MicroBatch(rows=rows)
            submit(corpus, shard_rows=128, client=other, micro_batch=batch, fresh=True).result()
            assert values_of(store) == expected


def test_tasks_and_block_times_appear_in_dasks_metrics(submit, client, glosses, write_jsonl):
    submit(pf.open_corpus(write_jsonl(glosses[:100])), pf.default_graph() + n_bytes).result()
    name = "digest+dhatu+prime_base+ambiguity+n_bytes"

    def measured(dask_scheduler):
        return [key for key in dask_scheduler.cumulative_worker_metrics if name in key]

    # Workers report with their heartbeat.
    deadline = time.monotonic() + 30
    labels = set()
    while "n_bytes" not in labels and time.monotonic() < deadline:
        labels = {part for key in client.run_on_scheduler(measured) for part in key}
        time.sleep(0.2)
    assert {"default_graph", "n_bytes", "read", "write"} <= labels


def test_a_late_listener_receives_every_event(submit, glosses, write_jsonl):
    run = submit(pf.open_corpus(write_jsonl(glosses)), shard_rows=512)
    run.result()
    told = []
    run.events.subscribe(told.append)
    per_task = TaskBegun, WritesAwaited
    for kind in per_task:
        assert sum(isinstance(event, kind) for event in told) >= 1
    assert [type(event) for event in told if not isinstance(event, per_task)] == [
        Indexed,
        Planned,
        *[ShardDone] * 4,
        Finished,
    ]
    assert sorted(event.shard for event in told if isinstance(event, ShardDone)) == [0, 1, 2, 3]
    status = run.status()
    assert (status.state, status.rows_done, status.shards_done) == ("finished", 2000, 4)
    assert set(status.seconds) >= {"read", "default_graph", "write"}
    assert "2,000 of 2,000" in repr(run)


def change_text(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": "one more"}]))


def test_a_changed_corpus_is_refused_unless_fresh(submit, glosses, write_jsonl):
    path = write_jsonl(glosses[:50])
    submit(pf.open_corpus(path)).result()
    change_text(path, glosses[:50])
    with pytest.raises(ResultsMismatch, match=r"corpus\.jsonl has changed: .* --fresh"):
        submit(pf.open_corpus(path))
    assert submit(pf.open_corpus(path), fresh=True).result().rows == 51


@pytest.mark.documented("another-run")
def test_a_changed_graph_is_refused_and_the_change_named(submit, glosses, write_jsonl, monkeypatch):
    corpus = pf.open_corpus(write_jsonl(glosses[:50]))
    submit(corpus, pf.default_graph() + n_bytes).result()

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")], name="n_bytes")
    def edited(text):
        return (text.offsets[1:] - text.offsets[:-1] + 1).astype("int32")

    for graph, named in [
        (pf.default_graph(), "n_bytes"),
        (pf.default_graph() + edited, "n_bytes → code → source"),
        (pf.default_graph(primes=(2, 3)) + n_bytes, "primes"),
        (pf.default_graph(dhatus=("FEEL",)) + n_bytes, "dhatus"),
    ]:
        with pytest.raises(ResultsMismatch, match=named):
            submit(corpus, graph)
    with pytest.raises(ResultsMismatch, match="rows per shard"):
        submit(corpus, pf.default_graph() + n_bytes, shard_rows=8)
    monkeypatch.setattr(spec_module, "NUMERIC_VERSION", 99)
    with pytest.raises(ResultsMismatch, match="numeric version was 1 and is 99"):
        submit(corpus, pf.default_graph() + n_bytes)


@pytest.mark.documented("results-taken")
def test_a_foreign_zarr_store_is_never_touched(submit, store, glosses, write_jsonl):
    import zarr

    zarr.create_array(store / "mine", data=np.arange(3))
    zarr.open_group(store, mode="a")
    before = values_of(store)
    for fresh in (False, True):
        with pytest.raises(ResultsMismatch, match="not a results store of this engine"):
            submit(pf.open_corpus(write_jsonl(glosses[:5])), fresh=fresh)
    assert values_of(store) == before != {}


def test_fresh_keeps_objects_that_are_not_the_stores(submit, store, glosses, write_jsonl):
    corpus = pf.open_corpus(write_jsonl(glosses[:5]))
    submit(corpus).result()
    (store / "notes").mkdir()
    (store / "notes" / "thesis.txt").write_text("precious")
    submit(corpus, fresh=True).result()
    assert (store / "notes" / "thesis.txt").read_text() == "precious"


def test_lost_metadata_is_restored_on_resume(submit, store, glosses, write_jsonl, monkeypatch):
    corpus = pf.open_corpus(write_jsonl(glosses))
    submit(corpus, shard_rows=256).result()
    expected = values_of(store)
    (store / "dhatu" / "zarr.json").unlink()
    (store / "digest" / "c" / "3" / "0").unlink()
    seen = []

    def looking(*arguments):
        seen.append(json.loads((store / "zarr.json").read_text())["attributes"]["complete"])
        return leftovers(*arguments)

    monkeypatch.setattr(store_module, "leftovers", looking)
    run = submit(corpus, shard_rows=256)
    run.result()
    assert seen == [False]  # before anything of the damaged shard is removed
    assert run.status().rows_before == 2000 - 256
    assert values_of(store) == expected
    assert pf.verify(store).passed


def test_two_runs_at_once_keep_their_bytes_apart(glosses, write_jsonl, tmp_path):
    corpora = [pf.open_corpus(write_jsonl(glosses[i::2], f"{i}.jsonl")) for i in range(2)]
    with Client(
        n_workers=1, threads_per_worker=4, processes=False, dashboard_address="127.0.0.1:0"
    ) as threads:
        options = {"client": threads, "shard_rows": 16, "progress": False}
        runs = [
            pf.submit(pf.default_graph(), corpus, tmp_path / f"{i}.zarr", **options)
            for i, corpus in enumerate(corpora)
        ]
        for run in runs:
            run.result()
    for i in range(2):
        assert pf.verify(tmp_path / f"{i}.zarr").passed


@pf.map_block(fields=[pf.Field("seen", "int32")], version="1")
def puts_the_next_shard_back(text):
    folder = Path(os.environ["PANINIFS_TEST_FOLDER"])
    with (folder / "log").open("a") as log:
        log.write(f"{len(text)}\n")
    if (folder / "kept").exists():  # as by a task of another run
        for path in (folder / "kept").glob("*/c/1*"):
            there = folder / "r" / path.relative_to(folder / "kept")
            shutil.copytree(path, there, dirs_exist_ok=True) if path.is_dir() else shutil.copy(
                path, there
            )
        marker = "_run/done/00000001.json"
        shutil.copy(folder / "kept" / marker, folder / "r" / marker)
    return (text.offsets[1:] - text.offsets[1:]).astype("int32")


@pytest.mark.parametrize(("aside", "computed"), [(False, 2), (True, 3)])
def test_a_shard_finished_by_another_task_is_not_recomputed(
    glosses, write_jsonl, tmp_path, monkeypatch, aside, computed
):
    """Another task finishes shard 1; if that is only quarantined, it is computed again."""
    monkeypatch.setenv("PANINIFS_TEST_FOLDER", str(tmp_path))
    monkeypatch.setattr(jsonl, "BATCH_ROWS", 16)  # shards of rows read together are looked up then
    graph = pf.default_graph() + puts_the_next_shard_back
    corpus = pf.open_corpus(write_jsonl(glosses[:60]))
    with pf.connect("threads", quiet=True) as threads:
        options = {"client": threads, "shard_rows": 16, "progress": False}
        pf.submit(graph, corpus, tmp_path / "r", **options).result()
        done = tmp_path / "r" / "_run" / "done"
        marker = done / "00000001.json"
        marker.write_text(json.dumps(json.loads(marker.read_text()) | {"provisional": aside}))
        shutil.copytree(tmp_path / "r", tmp_path / "kept")
        for shard in range(3):
            (done / f"{shard:08d}.json").unlink()
        (tmp_path / "log").unlink()
        assert pf.submit(graph, corpus, tmp_path / "r", **options).result().done == 60
    assert (tmp_path / "log").read_text().split() == computed * ["16"]
    assert pf.verify(tmp_path / "r").passed


def test_a_driver_without_its_lease_does_not_finish_the_store(
    submit, store, glosses, write_jsonl, monkeypatch
):
    finish = driver_module.finish

    def taken_over(opened, ticket, *others):
        target = opened.target
        target.put("_run/lease/00000009.json", (store / "_run/lease/00000001.json").read_bytes())
        return finish(opened, ticket, *others)

    monkeypatch.setattr(driver_module, "finish", taken_over)
    with pytest.raises(LeaseLost):
        submit(pf.open_corpus(write_jsonl(glosses[:10]))).result()
    assert json.loads((store / "zarr.json").read_text())["attributes"]["complete"] is False
    assert json.loads((store / "_run/manifest.json").read_text())["runs"] == []


def test_a_marker_without_its_objects_does_not_count(
    submit, store, glosses, write_jsonl, monkeypatch
):
    """A task of a cancelled run may write its marker after this run has tidied up."""
    corpus = pf.open_corpus(write_jsonl(glosses[:100]))
    submit(corpus).result()
    marker = (store / "_run/done/00000000.json").read_bytes()
    begin = driver_module.begin

    def haunted(target, *arguments, **options):
        (store / "dhatu/c/0/0").unlink()
        opened = begin(target, *arguments, **options)
        target.put("_run/done/00000000.json", marker)
        return opened

    monkeypatch.setattr(driver_module, "begin", haunted)
    submit(corpus).result()
    assert pf.verify(store).passed


def test_results_inside_the_corpus_folder_are_ignored(client, glosses, tmp_path, write_jsonl):
    lines = [*glosses[:5], {"id": "x", "text": None}]
    write_jsonl(lines)
    for _ in range(2):
        corpus = pf.open_corpus(tmp_path)
        results = tmp_path / "results.zarr"
        run = pf.submit(pf.default_graph(), corpus, results, client=client, progress=False)
        assert run.result().rows == 6
    assert (results / "quarantine.parquet").exists()


def test_a_storage_error_while_counting_fails_the_run(submit, glosses, write_jsonl, monkeypatch):
    corpus = pf.open_corpus(write_jsonl(glosses[:5]))

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(counting, "outline", failing)
    with pytest.raises(StorageUnreachable, match=r"corpus\.jsonl could not be read.*try again"):
        submit(corpus).result()
    monkeypatch.undo()
    assert submit(pf.open_corpus(corpus.files[0].url)).result().done == 5


def test_memory_corpora_and_targets_work_where_workers_are_threads(glosses, write_jsonl):
    with Client(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as threads:
        data = write_jsonl(glosses[:300]).read_bytes()
        fsspec.filesystem("memory").pipe("/corp/glosses.jsonl", data)
        corpus = pf.open_corpus("memory://corp")
        options = {"client": threads, "shard_rows": 64, "progress": False}
        for _ in range(2):
            run = pf.submit(pf.default_graph(), corpus, "memory://out.zarr", **options)
            assert run.result().done == 300
    assert pf.verify("memory://out.zarr").passed
    assert pf.open_results("memory://out.zarr").dhatu.shape == (300, 9)


def test_a_failing_block_is_named_with_file_and_row(submit, store, glosses, write_jsonl):
    trouble = glosses[300]["text"].encode()

    @pf.map_block(fields=[pf.Field("picky", "int8")])
    def picky(text):
        if trouble in text.to_bytes():
            raise ZeroDivisionError("this text")
        return np.zeros(len(text), "int8")

    path = write_jsonl(glosses)
    graph, limits = pf.default_graph() + picky, {"shard_rows": 256, "on_error": "raise"}
    why = r"'picky' raised ZeroDivisionError: this text.*corpus\.jsonl, row 300, id 'noun-"
    with pytest.raises(BlockError, match=why):
        submit(pf.open_corpus(path), graph, **limits).result()
    with pytest.warns(ResultsIncomplete, match="0 of 8 shards"):  # all of them are computed at once
        dataset = pf.open_results(store)
    assert not dataset.valid.values.any()
    assert dataset.attrs["complete"] == 0


def test_a_block_that_returns_the_wrong_dtype_is_named(submit, glosses, write_jsonl):
    @pf.map_block(fields=[pf.Field("wrong", "int32")])
    def wrong(text):
        return np.zeros(len(text), "int64")

    with pytest.raises(BlockError, match=r"'wrong'.*int64.*astype\('int32'\)"):
        submit(pf.open_corpus(write_jsonl(glosses[:10])), pf.Graph() + wrong).result()


def test_a_block_cannot_change_an_earlier_field(submit, glosses, write_jsonl):
    @pf.map_block(fields=[pf.Field("top", "float32")])
    def top(dhatu):
        dhatu.sort(axis=1)
        return dhatu[:, -1]

    corpus = pf.open_corpus(write_jsonl(glosses[:10]))
    with pytest.raises(BlockError, match=r"'top' raised ValueError.*read-only"):
        submit(corpus, pf.default_graph() + top).result()


def test_cancelled_run_resumes(submit, store, glosses, write_jsonl):
    @pf.map_block(fields=[pf.Field("slow", "int8")])
    def slow(text):
        time.sleep(0.05)
        return np.zeros(len(text), "int8")

    corpus = pf.open_corpus(write_jsonl(glosses))
    graph = pf.default_graph() + slow
    run = submit(corpus, graph, shard_rows=32)
    while run.status().shards_done < 2:
        time.sleep(0.01)
    with pytest.raises(LeaseHeld, match="is being written by process"):
        submit(corpus, graph)
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result()
    deadline = time.monotonic() + 30
    done = -1
    while time.monotonic() < deadline and (now := len(list(store.glob("_run/done/*")))) != done:
        done = now  # shards in flight may still finish; no other starts
        time.sleep(0.5)
    assert 2 <= done < 63
    again = submit(corpus, graph)
    assert again.result().done == 2000
    assert again.status().shards_done == 63
    assert again.status().rows_before == done * 32


def test_kept_columns_become_arrays(submit, store, tmp_path):
    table = pa.table(
        {
            "text": ["a", "b", "c"],
            "lang": ["fr", None, "sa"],
            "year": pa.array([1900, None, 2000], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "c.parquet")
    submit(pf.open_corpus(tmp_path / "c.parquet", keep=["lang", "year"])).result()
    dataset = pf.open_results(store)
    assert dataset.lang.values.tolist() == ["fr", "", "sa"]
    assert dataset.lang_valid.values.tolist() == [True, False, True]
    assert dataset.year.values.tolist() == [1900, 0, 2000]
    assert dataset.id.values.tolist() == [0, 1, 2]  # no id column: the row number


def test_usage_errors_come_from_submit(submit, store, glosses, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl(glosses[:5]))
    for options in ({"shard_rows": 100}, {"on_error": "ignore"}, {"backend": "abacus"}):
        with pytest.raises(UsageError):
            submit(corpus, **options)
    with pytest.raises(UsageError):
        submit("corpus.jsonl")
    with pytest.raises(UsageError, match=r"or Graph\(\[first_block, second_block\]\)$"):
        submit(corpus, [n_bytes])
    with pytest.raises(
        UsageError, match=r"open_corpus\(texts=\[\.\.\.\]\) for texts in memory, .*a list$"
    ):
        submit(["a text", "another"])


def test_verify_detects_a_single_changed_value(submit, store, glosses, write_jsonl):
    import zarr

    submit(
        pf.open_corpus(write_jsonl(glosses)), pf.default_graph() + n_bytes, shard_rows=256
    ).result()
    found = pf.verify(store)
    assert found.passed
    assert (found.rows, found.shards, found.digest_only) == (2000, 8, ("n_bytes",))
    sampled = pf.verify(store, sample=100)
    assert sampled.passed
    assert 100 <= sampled.rows <= 256
    assert sampled.shards == 8
    array = zarr.open_group(store)["entropy"]
    array[777] = np.nextafter(array[777], np.float32(9))
    assert [p for p in pf.verify(store).problems if p.startswith("entropy, row 777:")]


@pytest.mark.parametrize(
    ("sample", "shards"), [(1, 1), (5, 5), (10, 10), (100, 15), (1000, 15)], ids=str
)
def test_a_sample_is_spread_over_the_shards(inline, glosses, tmp_path, sample, shards):
    rows = glosses[:240]
    for at in range(3):
        part = "".join(json.dumps(row) + "\n" for row in rows[at * 80 : at * 80 + 80])
        data = gzip.compress(part.encode()) if at == 1 else part.encode()
        (tmp_path / f"{at}.jsonl{'.gz' if at == 1 else ''}").write_bytes(data)
    options = {"client": inline, "shard_rows": 16, "progress": False}
    corpus = pf.open_corpus(tmp_path)
    pf.submit(pf.default_graph(), corpus, tmp_path / "out.zarr", **options).result()

    found = pf.verify(tmp_path / "out.zarr", sample=sample)

    assert found.passed
    assert found.shards == shards
    assert min(sample, 240) <= found.rows < sample + 16
    assert found == pf.verify(tmp_path / "out.zarr", sample=sample)


def test_a_sample_reads_no_rows_between_those_of_a_large_file(tmp_path):
    table = pa.table({"text": [f"{row}" for row in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"one\n" * 100))
    index = pf.open_corpus(tmp_path).index
    ranges = [(0, 2), (4, 6), (30, 32), (32, 45), (47, 48), (60, 61), (110, 111), (190, 195)]

    assert list(verify_module._passes(index, ranges)) == [
        ranges[:2],
        ranges[2:5],
        ranges[5:6],
        ranges[6:],
    ]


def test_verify_detects_a_changed_byte_of_a_users_field(submit, store, glosses, write_jsonl):
    submit(pf.open_corpus(write_jsonl(glosses)), pf.default_graph() + n_bytes).result()
    path = store / "n_bytes/c/0"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert [p for p in pf.verify(store).problems if "n_bytes/c/0 is not what was written" in p]


@pf.map_block(fields=[pf.Field("never", "int32")], version="1")
def stumbles(text):
    raise ValueError(one for one in text)  # a generator cannot be pickled


def test_an_unpicklable_error_is_reported(submit, glosses, write_jsonl):
    # distributed does this once it is imported, for every error class defined by then: from now on
    # they are pickled with their causes.
    tblib.pickling_support.install(BlockError, ValueError)
    graph = pf.default_graph() + stumbles
    with pytest.raises(BlockError, match=r"'stumbles' raised ValueError.*rows 0-"):
        submit(pf.open_corpus(write_jsonl(glosses[:10])), graph).result()


@pytest.mark.parametrize(
    ("ids", "repeated"),
    [
        ([*range(1000)], 0),
        ([*range(0, 2000, 2), 5, 7], 0),  # the last shard descends, to new ids
        ([*range(512), *range(512)], 512),  # every shard ascends without repetition
        ([*range(500), *range(500)], 500),
        ([1, 1, *range(2, 900)], 1),  # within a shard
    ],
)
def test_repeated_numbers_are_counted_within_and_across_shards(submit, tmp_path, ids, repeated):
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"id": ids, "text": [f"text {row}" for row in range(len(ids))]}), path)
    assert submit(pf.open_corpus(path), shard_rows=64).result().repeated_ids == repeated
