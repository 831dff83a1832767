"""What every test may rely on."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from multiprocessing import forkserver

import pytest
from paths import CUDA_ON_HOST, GLOSSES, TESTS

pytest_plugins = ("pytester", "tiers", "units")
pytest.register_assert_rewrite("resuming")

# Worker processes import blocks and targets that tests and their helpers define.
_FOLDERS = [str(TESTS / name) for name in ("support", "storage", "graphs", "engine", "system")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (*_FOLDERS, os.environ.get("PYTHONPATH", "")) if part
)

# gcsfs would otherwise ask Google's control service, at every path, what kind of bucket it is in.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# Clusters that tests start by themselves need it too: see PROFILING_DEADLOCKS in `local_cluster`.
os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _why_no_gpu() -> str:
    try:
        import cupy
    except ImportError as error:
        return f"needs CuPy and an NVIDIA GPU: {error}"
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"needs an NVIDIA GPU: {error}"
    return ""


def pytest_configure():
    _why_no_gpu()  # now: later a stand-in for CuPy may be about


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and (reason := _why_no_gpu()):
        pytest.skip(reason)


@contextmanager
def _cuda_on_host():
    """Let the backend ``cuda`` find a CuPy that runs its kernels compiled for this processor."""
    from paninifs.graphs.kernels.cuda import cuda_backend as cuda

    def forget():
        cuda._program.cache_clear()
        cuda._kernel.cache_clear()
        cuda._device.cache_clear()
        cuda.prepare.cache_clear()
        cuda._idle.clear()

    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cupy", "cupyx"):
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(CUDA_ON_HOST)
        yield
        for name in ("cupy", "cupyx"):
            sys.modules.pop(name, None)
    forget()


@pytest.fixture
def cuda_on_host():
    """The backend ``cuda`` without a GPU."""
    with _cuda_on_host():
        yield


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make this a machine with other GPUs, or with none and NVML failing; say who is asked."""
    from fake_nvml import FakeNvml

    from paninifs.engine.hardware import nvml, nvml_errors

    for name in (nvml.VISIBLE, "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvml_errors, "PCI", tmp_path / "no bus")

    def become(*devices, **told):
        fake = FakeNvml(devices, **told)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        return fake

    return become


@pytest.fixture
def packages(monkeypatch):
    """Say which packages are installed, and the versions of which distributions."""
    from paninifs.engine.cluster import cuda as cuda_cluster
    from paninifs.engine.hardware import packages
    from paninifs.graphs.kernels.cpu import numba_target

    numba_target.settings()  # asks once, for versions that are really installed

    def install(*names, **versions):
        for module in (cuda_cluster, packages):
            monkeypatch.setattr(module, "find_spec", lambda name: name in names or None)

        def version(name):
            try:
                return versions[name.replace("-", "_")]
            except KeyError:
                raise metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr(metadata, "version", version)

    return install


@pytest.fixture(scope="session", autouse=True)
def _dashboard_port_of_its_own():
    """Keep pytest's parallel processes from reaching for one dashboard port in one moment."""
    from paninifs.engine.cluster import local as local_cluster

    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # as pytest-xdist, where it is, says
    local_cluster.DASHBOARD_PORT += int(number.removeprefix("gw"))


@pytest.fixture(autouse=True)
def _lazy_arrays_are_read_in_this_process():
    """Whatever cluster another test has made dask's default: it knows no ``memory://`` of ours."""
    if find_spec("dask") is None:  # a machine with a GPU, CuPy and little else: `make test-gpu`
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="session")
def client():
    """A real local cluster, two worker processes."""
    import paninifs as pf

    with pf.connect(workers=2, quiet=True) as connected:
        yield connected


@pytest.fixture(scope="session")
def inline():
    """A client that runs tasks in this process, for tests of what a run produces."""
    from inline import InlineClient

    return InlineClient()


@pytest.fixture(scope="session")
def gcs_server():
    """A Google Cloud Storage on loopback, for fixtures that outlive a test."""
    from gcs_emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def gcs(gcs_server):
    """A Google Cloud Storage on loopback where nothing goes wrong until the test says so."""
    gcs_server.reset()
    yield gcs_server
    gcs_server.reset()


@pytest.fixture(scope="session")
def drive_server():
    """A Google Drive on loopback, for fixtures that outlive a test."""
    from fake_drive import Drive

    with Drive() as drive:
        yield drive


@pytest.fixture
def drive(drive_server):
    """A Google Drive on loopback where nothing goes wrong until the test says so."""
    drive_server.reset()
    yield drive_server
    drive_server.reset()


@pytest.fixture
def gs(gcs):
    """The fixture `gcs` by its URL scheme, for fixtures parametrized with schemes."""
    return gcs


@pytest.fixture
def gdrive(drive):
    """The fixture `drive` by its URL scheme."""
    return drive


@pytest.fixture
def http(gcs):
    """A web server that serves the objects of `gcs`."""
    return gcs


@pytest.fixture
def browser():
    """A headless Chromium, by playwright."""
    from browsing import started

    with started() as chromium:
        yield chromium


@pytest.fixture
def look(browser):
    """Open pages: ``page = look(url, color_scheme="dark")``; hear of them: ``look.complaints``."""
    from browsing import Looking

    return Looking(browser)


@pytest.fixture(scope="session")
def start():
    """Start an attempt in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults", "prepared"])

    def begin(attempt):
        process = context.Process(target=attempt)
        process.start()
        return process

    return begin


@pytest.fixture(scope="session")
def forked(start):
    """For dask's configuration: workers that are forked like that are there, and back, at once.

    Where it is not a worker's start that is tested, and many of them are started.
    """
    forkserver.ensure_running()
    return {"distributed.worker.multiprocessing-method": "forkserver"}


@pytest.fixture(scope="session")
def glosses():
    """Two thousand WordNet glosses, as dicts with id and text."""
    with gzip.open(GLOSSES, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def write_jsonl(tmp_path):
    """Write rows to a JSON Lines file of the test's own; return its path."""

    def write(rows, name="corpus.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def file_a_shard(tmp_path_factory):
    """Unique glosses in one file a shard, and which shard each shard's first text is of."""
    from resuming import SHARD_ROWS, SHARDS

    folder = tmp_path_factory.mktemp("corpus")
    with gzip.open(GLOSSES, "rt") as lines:
        unique = {row["text"]: row for row in map(json.loads, lines)}
    rows = list(unique.values())[: SHARDS * SHARD_ROWS]
    firsts = {}
    for shard in range(SHARDS):
        part = rows[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS]
        firsts[hashlib.sha256(part[0]["text"].encode()).hexdigest()] = shard
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{shard}.jsonl").write_text(lines)
    return folder, firsts


@pytest.fixture(scope="session")
def undisturbed(file_a_shard, start, tmp_path_factory):
    """The stores of runs that nobody disturbed, by their number of shards."""
    from resuming import SHARDS, run_to_the_end

    stores = {}
    for shards in (2, SHARDS):
        folder = tmp_path_factory.mktemp("undisturbed")
        run_to_the_end(start, file_a_shard, folder, shards)
        stores[shards] = folder / "out.zarr"
    return stores
