"""Corpora and results in a bucket, on a Drive, on a mount that fails: what a local run makes.

Everything here is done by worker processes, while the place fails as it is told to.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
import warnings
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flaky_mount import FlakyMount

import paninifs as pf
from paninifs.engine.monitoring.events import Restored, ShardDone
from paninifs.storage.store.keys import DONE
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.local import LocalTarget
from paninifs.storage.targets.open import open_target

S = 512
ROWS = 2000
SHARDS = -(-ROWS // S)


class Place:
    """Somewhere that corpora and results may lie."""

    def url(self, path):
        raise NotImplementedError

    def fail(self):
        """From now on, now and then."""

    def mend(self):
        """Fail no more; return how often it did."""

    @cached_property
    def options(self):
        return self.server.storage_options

    def write(self, path, data):
        open_target(self.url("."), self.options).put(path, data)

    def target(self, path):
        return open_target(self.url(path), self.options)


class Bucket(Place):
    kinds = ("429", "503", "reset", "lost", "truncated", "slow")

    def __init__(self, server):
        self.server, self.root = server, server.make_bucket(uuid.uuid4().hex)

    def url(self, path):
        return f"gs://{self.root}/{path}".removesuffix("/.")

    def fail(self):
        self.server.inject(rate=0.04, kinds=self.kinds, seconds=0.1)

    def mend(self):
        injected = self.server.injected()
        self.server.reset()
        return sum(injected.values())


class Drive(Bucket):
    kinds = ("429", "403", "503", "reset", "lost", "slow")

    def __init__(self, server):
        self.server, self.root = server, uuid.uuid4().hex

    def url(self, path):
        return f"gdrive://{self.root}/{path}".removesuffix("/.")


class Mount(Place):
    kinds = ("eio", "enotconn", "late", "torn", "short", "twice", "copied", "outage")

    def __init__(self, folder):
        (folder / "drive").mkdir()
        self.mount = FlakyMount(
            str(folder / "drive"), str(folder / "faults"), kinds=self.kinds, seconds=0.1
        )

    def url(self, path):
        return f"flaky://{self.mount.root}/{path}".removesuffix("/.")

    @property
    def options(self):
        return {"mount": self.mount}

    def fail(self):
        self.mount = replace(self.mount, rate=0.02)

    def mend(self):
        times = sum(self.mount.injected().values())
        self.mount = replace(self.mount, rate=0.0)
        return times


@pytest.fixture(params=["gs", "gdrive", "mount"])
def place(request, tmp_path):
    if request.param == "mount":
        yield Mount(tmp_path)
        return
    server = request.getfixturevalue(request.param)
    yield (Bucket if request.param == "gs" else Drive)(server)


def parts(glosses):
    """A partitioned Parquet corpus: file name to bytes."""
    made = {}
    for number in range(4):
        rows = glosses[number * 500 : (number + 1) * 500]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=200)
        made[f"lang=en/part-{number}.parquet"] = sink.getvalue()
    return made


@pytest.fixture(scope="session")
def expected(client, glosses, tmp_path_factory):
    """What a local run over the same files writes."""
    folder = tmp_path_factory.mktemp("local")
    for name, data in parts(glosses).items():
        (folder / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "corpus" / name).write_bytes(data)
    corpus = pf.open_corpus(folder / "corpus")
    options = {"client": client, "shard_rows": S, "progress": False}
    pf.submit(pf.default_graph(), corpus, folder / "out.zarr", **options).result()
    return values(LocalTarget(folder / "out.zarr"))


def values(target):
    return {key: target.get(key) for key in target.sizes() if "/c/" in key}


@pytest.fixture
def corpus(place, glosses):
    for name, data in parts(glosses).items():
        place.write(f"corpus/{name}", data)

    def opened():
        return pf.open_corpus(place.url("corpus"), storage_options=place.options)

    return opened


def events_of(run):
    seen = []
    run.events.subscribe(seen.append)
    return seen


def test_read_from_and_written_to_stopped_and_gone_on_with(client, place, corpus, expected):
    options = {"client": client, "shard_rows": S, "progress": False}
    place.fail()
    results = {"results": place.url("out.zarr"), "storage_options": place.options}
    run = pf.submit(pf.default_graph(), corpus(), **results, **options)
    run.events.subscribe(lambda event: run.cancel() if isinstance(event, ShardDone) else None)
    with pytest.raises(pf.errors.RunCancelled):
        run.result()
    run = pf.submit(pf.default_graph(), corpus(), **results, **options)
    seen = events_of(run)
    summary = run.result()
    assert (summary.rows, summary.done) == (ROWS, ROWS)
    assert len([event for event in seen if isinstance(event, ShardDone)]) < SHARDS
    assert place.mend() > 0
    target = place.target("out.zarr")
    assert values(target) == expected
    assert len(target.sizes(DONE)) == SHARDS
    opened = pf.open_results(place.url("out.zarr"), storage_options=place.options)
    assert opened.dhatu.shape == (ROWS, 9)
    assert bool(opened.valid.all())
    place.fail()
    assert pf.verify(place.url("out.zarr"), storage_options=place.options).passed
    place.mend()


@pytest.mark.soak("several runs in each place")
def test_mirrored_to_and_resumed_from_alone(client, place, corpus, expected, tmp_path):
    options = {
        "client": client,
        "shard_rows": S,
        "progress": False,
        "mirror": place.url("mirror.zarr"),
    }
    scratch = tmp_path / "scratch"
    place.fail()
    options["storage_options"] = place.options
    run = pf.submit(pf.default_graph(), corpus(), scratch / "1.zarr", **options)
    run.events.subscribe(lambda event: run.cancel() if isinstance(event, ShardDone) else None)
    with pytest.raises(pf.errors.RunCancelled):
        run.result()
    shutil.rmtree(scratch)
    finished = len(place.target("mirror.zarr").sizes(DONE))
    assert finished
    run = pf.submit(pf.default_graph(), corpus(), scratch / "2.zarr", **options)
    seen = events_of(run)
    run.result()
    assert [event.shards for event in seen if isinstance(event, Restored)] == [finished]
    assert place.mend() > 0
    assert values(place.target("mirror.zarr")) == expected
    assert values(LocalTarget(scratch / "2.zarr")) == expected
    assert pf.verify(place.url("mirror.zarr"), storage_options=place.options).passed


@pytest.mark.soak("several runs in each place")
def test_files_that_are_added_are_appended(client, place, glosses, tmp_path):
    options = {"client": client, "shard_rows": S, "progress": False}
    made = dict(list(parts(glosses).items())[:3])
    rows = 500 * len(made)
    place.fail()
    for name, data in made.items():
        place.write(f"corpus/{name}", data)
        corpus = pf.open_corpus(place.url("corpus"), storage_options=place.options)
        results = {"results": place.url("out.zarr"), "storage_options": place.options}
        summary = pf.submit(pf.default_graph(), corpus, **results, **options, extend=True).result()
    assert summary.done == rows
    assert place.mend() > 0
    opened = pf.open_results(place.url("out.zarr"), storage_options=place.options)
    assert opened.id.values.tolist() == [row["id"] for row in glosses[:rows]]


def test_a_place_has_one_writer(client, place, corpus):
    options = {"storage_options": place.options, "client": client, "progress": False}
    with (
        Lease.acquire(place.target("out.zarr")),
        pytest.raises(pf.errors.LeaseHeld, match="is being written by process"),
    ):
        pf.submit(pf.default_graph(), corpus(), place.url("out.zarr"), **options)


def test_of_two_that_begin_at_once_one_does(client, place, corpus, tmp_path):
    """On a bucket by its own preconditions, which the emulator enforces; elsewhere as can be."""
    answered = tmp_path / "answered"

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")], version="1")
    def in_no_hurry(text):  # the first is at work when the second asks
        while not answered.exists():
            time.sleep(0.01)
        return np.diff(text.offsets).astype("int32")

    opened, outcomes = corpus(), []
    options = {"storage_options": place.options, "client": client, "progress": False}
    options["shard_rows"] = S
    graph = pf.default_graph() + in_no_hurry
    at_once = threading.Barrier(2)

    def begin():
        at_once.wait()
        try:
            outcomes.append(pf.submit(graph, opened, place.url("out.zarr"), **options))
        except pf.errors.LeaseHeld as error:
            outcomes.append(error)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered.touch()
    (run,) = (outcome for outcome in outcomes if not isinstance(outcome, Exception))
    assert sum(isinstance(outcome, pf.errors.LeaseHeld) for outcome in outcomes) == 1
    assert run.result().done == ROWS


@pytest.mark.documented("away")
@pytest.mark.parametrize("place", ["gdrive", "mount"], indirect=True)  # gcsfs insists for 33 s
def test_a_place_that_stays_away(client, place, corpus, monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "1")
    opened = corpus()
    if isinstance(place, Mount):
        place.mount = replace(place.mount, rate=1.0, kinds=("enotconn",))
    else:
        place.server.inject(rate=1.0, kinds=["503"])
    with warnings.catch_warnings(), pytest.raises(pf.errors.StorageUnreachable, match="failed for"):
        pf.open_corpus(place.url("corpus"), storage_options=place.options)
    place.mend()
    assert opened.index.rows == ROWS
    assert np.array_equal([file.size for file in opened.files], [f.size for f in corpus().files])


@pytest.mark.soak("processes that import everything")
def test_the_command_in_a_bucket(gcs, glosses, tmp_path):
    """With options from the environment, as on a machine that is logged in."""
    place = Bucket(gcs)
    for name, data in parts(glosses).items():
        place.write(f"corpus/{name}", data)
    environment = {
        **os.environ,
        "FSSPEC_GS_TOKEN": "anon",
        "FSSPEC_GS_ENDPOINT_URL": gcs.endpoint,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def paninifs(*words):
        command = [sys.executable, "-c", "from paninifs.engine.cli import main; main()", *words]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(ended.stdout)

    corpus, store, mirror = (place.url(name) for name in ("corpus", "out.zarr", "mirror.zarr"))
    done = paninifs("run", corpus, store, "--mirror", mirror, "--workers", "2", "--json")
    assert done["done"] == ROWS
    for url in (store, mirror):
        assert paninifs("status", url, "--json")["complete"]
    assert paninifs("verify", store, "--sample", "100", "--json")["passed"]
    assert len(paninifs("show", store, "--json")["ranked"]) == 10
