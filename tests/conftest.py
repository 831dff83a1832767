"""Environment and fixtures shared by all tests."""

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

# Otherwise gcsfs asks Google's control service for the kind of bucket, for every path.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# For clusters that tests start without `connect`: see PROFILING_DEADLOCKS in
# `engine/hardware/python.py`.
os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"

# How long an example takes depends on the machine, and the first one may compile.
if find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")

# A shell starts background processes with Ctrl-C ignored, and the processes that the tests start
# would inherit this.
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
    _why_no_gpu()  # cached now, before a test imports the stand-in for CuPy


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and (reason := _why_no_gpu()):
        pytest.skip(reason)


@contextmanager
def _cuda_on_host():
    """Give the backend ``cuda`` a CuPy that compiles its kernels for this processor."""
    from paninifs.engine.worker import block_execution
    from paninifs.graphs.kernels.cuda import cuda_backend as cuda
    from paninifs.graphs.kernels.cuda import device, parquet_texts, pinned, program, streams

    def forget():
        block_execution._adaptive_sizes.clear()  # learnt on another test's device
        program.forget()
        parquet_texts.forget()
        device.device_name.cache_clear()
        cuda.prepare.cache_clear()
        streams._idle.clear()
        pinned.POOL.free_idle()

    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "cupy", raising=False)
        patch.syspath_prepend(CUDA_ON_HOST)
        yield
        sys.modules.pop("cupy", None)
    forget()


@pytest.fixture
def cuda_on_host():
    """The backend ``cuda`` without a GPU."""
    with _cuda_on_host():
        yield


@pytest.fixture
def decoding(cuda_on_host):
    """The backend ``cuda`` without a GPU, which decodes Parquet as with cuDF.

    A list of the columns that it has begun to decode.
    """
    import pylibcudf_on_host

    with pylibcudf_on_host.installed() as reads:
        yield reads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a function that fakes the GPUs of this machine, or an NVML that fails.

    It returns the `FakeNvml` that replaces pynvml.
    """
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
    """Return a function that fakes the installed packages and the versions of distributions."""
    from paninifs.engine.cluster import cuda as cuda_cluster
    from paninifs.engine.hardware import packages
    from paninifs.graphs.kernels.cpu import numba_target

    numba_target.settings()  # cached now, with the versions that are really installed

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
    """Give each of pytest's parallel processes its own dashboard port."""
    if find_spec("distributed") is None:  # `make test-gpu` needs only CuPy, NumPy and pytest
        return
    from paninifs.engine.cluster import local as local_cluster

    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # unset without pytest-xdist
    local_cluster.DASHBOARD_PORT += int(number.removeprefix("gw"))


@pytest.fixture(autouse=True)
def _lazy_arrays_are_read_in_this_process():
    """Read lazy arrays in this process, even if another test's cluster is dask's default.

    The workers of that cluster do not have this process's ``memory://`` files.
    """
    if find_spec("dask") is None:  # `make test-gpu` needs only CuPy, NumPy and pytest
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="session")
def client():
    """A client of a real local cluster with two worker processes."""
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
    """An emulated Google Cloud Storage on loopback, for fixtures that outlive a test."""
    from gcs_emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def gcs(gcs_server):
    """An emulated Google Cloud Storage on loopback, without faults until the test injects some."""
    gcs_server.reset()
    yield gcs_server
    gcs_server.reset()


@pytest.fixture(scope="session")
def drive_server():
    """A fake Google Drive on loopback, for fixtures that outlive a test."""
    from fake_drive import Drive

    with Drive() as drive:
        yield drive


@pytest.fixture
def drive(drive_server):
    """A fake Google Drive on loopback, without faults until the test injects some."""
    drive_server.reset()
    yield drive_server
    drive_server.reset()


@pytest.fixture
def gs(gcs):
    """The fixture `gcs` under the name of its URL scheme, for fixtures parametrized by scheme."""
    return gcs


@pytest.fixture
def gdrive(drive):
    """The fixture `drive` under the name of its URL scheme."""
    return drive


@pytest.fixture
def http(gcs):
    """A web server that serves the objects of `gcs`."""
    return gcs


@pytest.fixture
def browser():
    """A headless Chromium, controlled by playwright."""
    from browsing import started

    with started() as chromium:
        yield chromium


@pytest.fixture
def look(browser):
    """Open pages with ``look(url, color_scheme="dark")``; ``look.complaints`` has their errors."""
    from browsing import Looking

    return Looking(browser)


@pytest.fixture(scope="session")
def start():
    """Return a function that runs an attempt in a new process.

    The process is forked from a server that has imported everything.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults", "prepared"])

    def begin(attempt):
        process = context.Process(target=attempt)
        process.start()
        return process

    return begin


@pytest.fixture(scope="session")
def forked(start):
    """Dask configuration with which workers are forked, as by `start`, and start at once.

    For tests that start many workers and do not test how a worker starts.
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
    """Return a function that writes rows to a JSON Lines file and returns its path."""

    def write(rows, name="corpus.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def file_a_shard(tmp_path_factory):
    """Unique glosses, one file per shard, and the shards by the digest of their first text."""
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
    """Stores of undisturbed runs, by number of shards."""
    from resuming import SHARDS, run_to_the_end

    stores = {}
    for shards in (2, SHARDS):
        folder = tmp_path_factory.mktemp("undisturbed")
        run_to_the_end(start, file_a_shard, folder, shards)
        stores[shards] = folder / "out.zarr"
    return stores
