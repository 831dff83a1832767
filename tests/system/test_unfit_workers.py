"""Schedulers and workers started by hand that lack what a run needs: what the run says of them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

import paninifs as pf
from paninifs.engine.monitoring.events import WorkerLost
from paninifs.storage.errors import RunFailed, UnfitWorker

NO_PACKAGE = "import sys; sys.modules['paninifs'] = None"
OTHER_PYTHON = "import sys; sys.version_info = (3, 99, 1, 'final', 0)"
OTHER_VERSION = "import paninifs; paninifs.__version__ = '0.0.1'"
OTHER_NUMBERS = "import paninifs.graphs.kernels as kernels; kernels.NUMERIC_VERSION = 99"

LACKS = {
    "package": (NO_PACKAGE, r"cannot import paninifs \(ModuleNotFoundError"),
    "python": (OTHER_PYTHON, r"runs Python .*, and the client Python 3"),
    "version": (OTHER_VERSION, r"has paninifs 0\.0\.1, and the client "),
    "numbers": (OTHER_NUMBERS, r"computes numeric version 99, and the client 1"),
}


class Cluster:
    """A scheduler and workers, each a process that first runs some code."""

    def __init__(self, folder, code):
        self.folder, self.started = folder, 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        options = ("--port", str(port), "--dashboard-address", ":0")
        self.scheduler, self.workers = self._start("scheduler", code, folder, *options), []

    def worker(self, code="pass", cwd=None):
        options = ("--no-nanny", "--nthreads", "1", "--memory-limit", "0")
        scratch = ("--local-directory", str(self.folder / "scratch"))
        options = (self.address, *options, *scratch)
        self.workers.append(self._start("worker", code, cwd or self.folder, *options))

    def _start(self, what, code, cwd, *options):
        main = f"from distributed.cli.dask_{what} import main\n{code}\nmain()"
        command = [sys.executable, "-P", "-c", main, "--host", "127.0.0.1", "--no-dashboard"]
        self.started += 1
        with (self.folder / f"{what}-{self.started}.log").open("w") as log:
            return subprocess.Popen([*command, *options], cwd=cwd, stdout=log, stderr=log)

    def client(self):
        client = pf.connect(self.address, quiet=True)
        client.wait_for_workers(len(self.workers), timeout=60)
        return client

    def close_workers(self):
        for worker in self.workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        self.workers = []
        with pf.connect(self.address, quiet=True) as client:
            while client.nthreads():
                time.sleep(0.02)

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler without the package, for all tests."""
    started = Cluster(tmp_path_factory.mktemp("cluster"), NO_PACKAGE)
    yield started
    started.close()


@pytest.fixture
def cluster(scheduler):
    """A scheduler, for workers that are killed when the test ends."""
    yield scheduler
    scheduler.close_workers()


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "texts").mkdir()
    for part in range(6):
        (tmp_path / f"texts/{part}.txt").write_text("un\ndeux\n")
    return tmp_path / "texts"


def submitted(corpus, results, client, graph=None):
    graph = graph or pf.default_graph()
    return pf.submit(graph, pf.open_corpus(corpus), results, client=client, progress=False)


@pytest.mark.documented("scheduler-without-package")
def test_a_scheduler_needs_no_package(cluster, corpus, tmp_path):
    cluster.worker()
    with cluster.client() as client:
        run = submitted(corpus, tmp_path / "r", client)
        assert run.result(timeout=60).done == 12
        assert run.status().rows_done == 12


def test_a_frame_on_a_scheduler_without_the_package(cluster, corpus, tmp_path):
    cluster.worker()
    with cluster.client(), pytest.raises(RunFailed, match="frames need this package"):
        pf.stage(pf.open_corpus(corpus).frame, tmp_path / "staged")


@pytest.mark.documented("unfit-worker")
@pytest.mark.filterwarnings("ignore:Mismatched versions")  # says dask if the worker came first
@pytest.mark.parametrize("lack", LACKS)
def test_a_worker_that_differs_is_named(lack, cluster, corpus, tmp_path):
    code, said = LACKS[lack]
    cluster.worker(code)
    with cluster.client() as client:
        with pytest.raises(UnfitWorker, match=f"worker tcp://.* on {socket.gethostname()} {said}"):
            submitted(corpus, tmp_path / "r", client).result(timeout=60)
        assert len(client.nthreads()) == 1  # others may use it


@pytest.mark.documented("unfit-worker")
def test_fit_workers_go_on_without_an_unfit_one(cluster, corpus, tmp_path):
    events = []
    cluster.worker(NO_PACKAGE)
    cluster.worker()
    with cluster.client() as client:
        run = submitted(corpus, tmp_path / "r", client)
        run.events.subscribe(events.append)
        assert run.result(timeout=120).done == 12
    lost = [event for event in events if isinstance(event, WorkerLost)]
    assert len(lost) <= 1  # none, if dask gave it no task
    assert all("cannot import paninifs" in event.reason for event in lost)


def test_an_unfit_worker_that_comes_late_is_left_out(cluster, corpus, tmp_path):
    cluster.worker()
    with cluster.client() as client:
        run = submitted(corpus, tmp_path / "r", client, pf.default_graph() + waits)
        while not run.status().rows_done:
            time.sleep(0.05)
        cluster.worker(NO_PACKAGE)
        client.wait_for_workers(2, timeout=60)
        assert run.result(timeout=120).done == 12
    assert pf.verify(tmp_path / "r").passed


@pf.map_block(fields=[pf.Field("waited", "int32")], version="1")
def waits(text):
    time.sleep(0.5)
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


# --- other disks: /proc/self/cwd is another folder for every process ------------------------------

OTHER_DISKS = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="needs Linux's /proc/self/cwd"
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return folders that the client and a worker both call /proc/self/cwd."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    return here, there


@OTHER_DISKS
@pytest.mark.documented("other-disks")
def test_a_corpus_that_workers_do_not_see(cluster, elsewhere, tmp_path):
    here, there = elsewhere
    (here / "a.txt").write_text("un\n")
    cluster.worker(cwd=there)
    with cluster.client() as client:
        run = submitted("/proc/self/cwd/a.txt", tmp_path / "r", client)
        with pytest.raises(UnfitWorker, match=r"on .* cannot find file:///proc/self/cwd/a.txt .*:"):
            run.result(timeout=60)


@OTHER_DISKS
@pytest.mark.documented("other-disks")
@pytest.mark.parametrize("used_before", [False, True])
def test_results_that_workers_do_not_see(used_before, cluster, corpus, elsewhere, tmp_path):
    _, there = elsewhere
    cluster.worker(cwd=there)
    if used_before:
        with pf.connect("threads", quiet=True) as threads:
            submitted(corpus, there / "r", threads).result(timeout=60)
    with cluster.client() as client:
        run = submitted(corpus, "/proc/self/cwd/r", client)
        with pytest.raises(UnfitWorker, match=r"does not see the store that the client writes at"):
            run.result(timeout=60)


@pytest.mark.documented("other-disks")
def test_results_in_the_memory_of_the_client(cluster, corpus):
    cluster.worker()
    with cluster.client() as client:
        run = submitted(corpus, "memory://unfit/r", client)
        with pytest.raises(UnfitWorker, match=r"does not see the store .* memory://unfit/r: use"):
            run.result(timeout=60)


@pf.map_block(fields=[pf.Field("styled", "int32")], version="1")
def uses_typer(text):
    return np.full(len(text), len(typer.style("a", bold=True)), "int32")


@pytest.mark.documented("lacking-package")
def test_a_package_that_a_worker_lacks_is_named(cluster, corpus, tmp_path):
    cluster.worker("import sys; sys.modules['typer'] = None")
    with cluster.client() as client:
        run = submitted(corpus, tmp_path / "r", client, pf.Graph((uses_typer,)))
        with pytest.raises(UnfitWorker, match=r"on .* lacks the module 'typer', which the blocks"):
            run.result(timeout=60)


@pf.map_block(fields=[pf.Field("n", "int32")], version="1")
def imports_typer(text):
    import typer

    return np.full(len(text), len(typer.__name__), "int32")


@pytest.mark.documented("lacking-package")
@pytest.mark.parametrize("one_has_it", [True, False])
def test_a_module_that_a_block_imports_when_it_runs(cluster, corpus, tmp_path, one_has_it):
    """Texts are not to blame, wherever they are sent first."""
    lacking = "import sys; sys.modules['typer'] = None"
    for code in (lacking, "pass" if one_has_it else lacking):
        cluster.worker(code)
    graph = pf.Graph(imports_typer)
    with cluster.client() as client:
        run = pf.submit(
            graph,
            pf.open_corpus(corpus),
            tmp_path / "r",
            client=client,
            shard_rows=1,
            progress=False,
        )
        if one_has_it:
            summary = run.result()
            assert (summary.done, summary.quarantined) == (12, 0)
        else:
            why = (
                r"worker tcp.*ModuleNotFoundError.*typer.*client\.upload_file.*Nothing was written"
            )
            with pytest.raises(pf.errors.BlockError, match=why):
                run.result()


class LoadsNowhere:
    def __reduce__(self):
        return no_model, ()


def no_model():
    raise OSError("no model")


@pytest.mark.documented("lacking-package")
def test_blocks_that_a_worker_cannot_load(cluster, corpus, tmp_path):
    cluster.worker()
    model = LoadsNowhere()

    @pf.map_block(fields=[pf.Field("n", "int32")], version="1")
    def n(text):
        return np.zeros(len(text), "int32") if model else None

    with cluster.client() as client:
        run = submitted(corpus, tmp_path / "r", client, pf.Graph((n,)))
        with pytest.raises(UnfitWorker, match=r"on .* cannot load the blocks \(OSError: no model"):
            run.result(timeout=60)


# --- a module of the user's own -------------------------------------------------------------------

HELPERS = "def length(texts):\n    return [len(one) for one in texts]\n"
BLOCKS = """
from functools import lru_cache
import numpy as np
import paninifs as pf
import user_helpers

class Scale:
    factor = 2

@lru_cache
def cached():
    return 2

@pf.map_block(fields=[pf.Field("n", "int32")], version="1")
def n(text):
    return Scale.factor * np.array(user_helpers.length(text.to_strings()), "int32")

@pf.map_block(fields=[pf.Field("m", "int32")], version="1")
def m(text):
    return cached() * np.array(user_helpers.length(text.to_strings()), "int32")
"""


@pytest.fixture
def user_blocks(tmp_path, monkeypatch):
    """A module of the user's own that imports another one; workers find neither."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "user_helpers.py").write_text(HELPERS)
    (folder / "user_blocks.py").write_text(BLOCKS)
    monkeypatch.syspath_prepend(folder)
    import user_blocks

    yield user_blocks
    for name in ("user_blocks", "user_helpers"):
        sys.modules.pop(name, None)


@pytest.mark.documented("own-module")
@pytest.mark.parametrize("block", ["n", "m"])
def test_code_of_a_users_own_module_is_sent(block, cluster, corpus, tmp_path, user_blocks):
    cluster.worker()
    with cluster.client() as client:
        graph = pf.Graph((getattr(user_blocks, block),))
        assert submitted(corpus, tmp_path / "r", client, graph).result(timeout=60).done == 12
    assert pf.open_results(tmp_path / "r")[block].values.tolist() == [4, 8] * 6


@pytest.mark.documented("own-module")
def test_an_uploaded_module_is_found(corpus, tmp_path, user_blocks):
    cluster = Cluster(tmp_path, "pass")  # dask's scheduler imports the file too
    try:
        cluster.worker()
        with cluster.client() as client:
            client.upload_file(str(tmp_path / "mine/user_helpers.py"))
            client.upload_file(user_blocks.__file__)
            graph = pf.Graph((user_blocks.m,))
            assert submitted(corpus, tmp_path / "r", client, graph).result(timeout=60).done == 12
    finally:
        cluster.close()
