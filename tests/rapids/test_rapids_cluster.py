"""`connect("cuda")` with the real dask-cuda, cuDF, CuPy and RMM, on a machine without a GPU.

What asks for a device is left out, by dask-cuda's own switches for its tests: all that is before it
runs for real.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("dask_cuda", reason="needs RAPIDS; see `make test-rapids`")

import cudf
import cupy
import dask
import dask_cuda
import distributed
import psutil
import rmm
from dask_cuda.plugins import RMMSetup
from paths import CUDA_ON_HOST, PROMPTS
from rmm.allocators.cupy import rmm_cupy_allocator

import paninifs as pf
from paninifs.engine.cluster import cuda as cuda_cluster
from paninifs.engine.cluster import local as local_cluster
from paninifs.engine.cluster import network
from paninifs.engine.hardware.gpu import Gpu
from paninifs.engine.hardware.nvml import Nvidia
from paninifs.engine.hardware.packages import NEEDED, rapids
from paninifs.graphs.kernels.cuda.memory import free_memory

DASK_FRAMES = "dask.dataframe.dask_expr._collection"

GIB = 2**30
T4 = Gpu(
    index=0,
    name="Tesla T4",
    memory=15 * GIB,
    capability=(7, 5),
    driver="580.95",
    cuda=(13, 0),
    sms=40,
    uuid="GPU-0a1b",
)
A100 = Gpu(
    index=1,
    name="A100",
    memory=40 * GIB,
    capability=(8, 0),
    driver="580.95",
    cuda=(13, 0),
    sms=108,
    uuid="GPU-2c3d",
)
PLACE = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
WITHOUT_A_DEVICE = {"DASK_CUDA_TEST_DISABLE_DEVICE_SPECIFIC": "1", "DASK_CUDA_TEST_SINGLE_GPU": "1"}


@pytest.fixture
def asked():
    """Every argument that there can be."""
    return cuda_cluster.cluster_arguments([T4, A100], **PLACE, threads=2, memory="4GiB")


# --- names ------------------------------------------------------------------------------------


def strays(arguments):
    """Return the arguments that are nobody's, which dask would only find in a worker, or never."""
    known = {
        name
        for made in (dask_cuda.LocalCUDACluster, distributed.LocalCluster)
        for name, parameter in inspect.signature(made.__init__).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name != "self"
    }
    return set(arguments) - known


def test_every_argument_is_one_of_dask_cuda_or_of_its_base(asked):
    inspect.signature(dask_cuda.LocalCUDACluster).bind(**asked)
    assert not strays(asked)
    assert len(asked) >= 12


def test_a_wrong_name_is_seen(asked):
    assert strays(asked | {"rmm_pool_sise": 1}) == {"rmm_pool_sise"}


def test_the_modules_that_are_named_are_there(asked):
    for name in (*NEEDED, *asked["pre_import"]):
        assert find_spec(name), name


def parts(version):
    return [int(part) for part in version.split(".")]


def test_the_rapids_that_is_installed_is_recognised():
    found = rapids()
    assert parts(found.version) == parts(cudf.__version__)  # 26.10.2 and 26.10.02 are the same
    assert found.cuda in (12, 13)


# --- what they come to on a worker ----------------------------------------------------------------


@pytest.fixture
def pools(asked, monkeypatch):
    """Set RMM up as a worker does; return what it was called with, bound to what it takes."""
    calls, allocators = [], []
    takes = inspect.signature(rmm.reinitialize)
    monkeypatch.setattr(rmm, "reinitialize", lambda **given: calls.append(takes.bind(**given)))
    monkeypatch.setattr(cupy.cuda, "set_allocator", allocators.append)
    RMMSetup(
        initial_pool_size=asked["rmm_pool_size"],
        maximum_pool_size=asked["rmm_maximum_pool_size"],
        managed_memory=False,
        async_alloc=False,
        release_threshold=None,
        log_directory=None,
        track_allocations=False,
        external_lib_list=asked["rmm_allocator_external_lib_list"],
    ).setup()
    return calls, allocators


def test_rmm_gets_a_pool_in_bytes_and_cupy_takes_from_it(pools, asked):
    (call,), allocators = pools
    assert call.arguments["pool_allocator"] is True
    assert call.arguments["initial_pool_size"] == asked["rmm_pool_size"] == 7.5 * GIB
    rounded = asked["rmm_maximum_pool_size"] // 256 * 256
    assert call.arguments["maximum_pool_size"] == rounded == int(13.5 * GIB)
    assert allocators == [rmm_cupy_allocator]


def test_free_memory_is_that_of_the_pool_cupy_uses(monkeypatch):
    """cuDF makes CuPy use RMM's when it is imported; elsewhere RMM is imported without it."""
    counting = SimpleNamespace(upstream_mr=SimpleNamespace(pool_size=lambda: 777))
    monkeypatch.setattr(rmm.mr, "get_current_device_resource", lambda: counting)
    with cupy.cuda.using_allocator(rmm_cupy_allocator):
        assert free_memory() == 777
    own = cupy.get_default_memory_pool().malloc
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: (7 * GIB, 15 * GIB))
    pool = SimpleNamespace(free_bytes=lambda: 300)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool)
    with cupy.cuda.using_allocator(own):
        assert free_memory() == 7 * GIB + 300


def test_cudf_spills_when_the_pool_is_full():
    """On demand is cuDF's default: the pool's end, not another limit, is when it spills."""
    before = cudf.get_option("spill")
    cudf.set_option("spill", True)
    assert cudf.get_option("spill") is True
    assert cudf.get_option("spill_on_demand") is True
    assert cudf.get_option("spill_device_limit") is None
    cudf.set_option("spill", before)


# --- the real cluster -------------------------------------------------------------------------


@pytest.fixture
def cuda(monkeypatch):
    """A client of a LocalCUDACluster of the real kind, on two GPUs that nobody looks for."""
    for name, value in WITHOUT_A_DEVICE.items():
        monkeypatch.setenv(name, value)
    found = Nvidia((A100, T4), None)  # CUDA_VISIBLE_DEVICES=1,0
    monkeypatch.setattr(cuda_cluster, "nvidia", lambda: found)
    with pf.connect("cuda", memory="1GiB", quiet=True) as client:
        yield client


def test_what_dask_cuda_sets_in_this_process_is_restored(cuda):
    assert cudf.get_option("spill") is True
    assert os.environ["RAPIDS_NO_INITIALIZE"] == "True"
    cuda.close()
    assert cudf.get_option("spill") is False
    assert "RAPIDS_NO_INITIALIZE" not in os.environ


def state_of_worker(dask_worker):
    return {
        "environment": dict(os.environ),
        "spill": sys.modules["cudf"].get_option("spill"),
        "threads": dask_worker.state.nthreads,
        "memory": dask_worker.memory_manager.memory_limit,
    }


def test_the_cluster_is_dask_cudas_a_worker_a_gpu_set_up_as_asked(cuda):
    assert type(cuda.cluster) is dask_cuda.LocalCUDACluster
    assert cuda.cluster.device_memory_limit == 7.5 * GIB
    assert cuda.cluster.rmm_pool_size == 7.5 * GIB
    workers = list(cuda.run(state_of_worker).values())
    assert {one["environment"]["CUDA_VISIBLE_DEVICES"] for one in workers} == {"1,0", "0,1"}
    assert [(one["spill"], one["threads"], one["memory"]) for one in workers] == [
        (True, 1, GIB)
    ] * 2
    for name, value in (local_cluster.WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT).items():
        assert {one["environment"][name] for one in workers} == {str(value)}


def test_the_cluster_listens_on_loopback_only_and_ends_with_its_client(cuda):
    me = psutil.Process()
    listening = {
        connection.laddr.ip
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {network.LOOPBACK}
    made = cuda.cluster
    cuda.close()
    assert made.status.name == "closed"


# A driver whose every function writes down the process that called it, and fails.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int called(void) {
    FILE *log = fopen(getenv("DRIVER_LOG"), "a");
    fprintf(log, "%d\n", getpid());
    fclose(log);
    return 100; /* CUDA_ERROR_NO_DEVICE */
}
int cuInit(unsigned flags) { return called(); }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuGetProcAddress_v2(const char *name, void **found, int version, long flags, int *how) {
    *found = name[2] == 'D' && name[3] == 'r' ? (void *)cuDriverGetVersion : (void *)called;
    if (how) *how = 0;
    return 0;
}
"""
SCRIPT = """
import os

import paninifs as pf
from paninifs.engine.cluster import cuda as cuda_cluster
from paninifs.engine.hardware.gpu import Gpu
from paninifs.engine.hardware.nvml import Nvidia


def ask():
    import cupy

    try:
        cupy.zeros(1)
    except cupy.cuda.runtime.CUDARuntimeError:
        return os.getpid()


if __name__ == "__main__":
    gpu = Gpu(
        index=0,
        name="T4",
        memory=15 << 30,
        capability=(7, 5),
        driver="580.95",
        cuda=(13, 0),
        sms=40,
        uuid="GPU-0a1b",
    )
    cuda_cluster.nvidia = lambda: Nvidia((gpu,), None)
    with pf.connect("cuda", quiet=True) as client:
        (worker,) = client.run(ask).values()
        print(os.getpid(), worker)
"""


def test_the_client_does_not_so_much_as_initialise_cuda(tmp_path):
    """Importing dask-cuda and cuDF, and starting the cluster, call nothing of the driver there."""
    (tmp_path / "driver.c").write_text(DRIVER)
    (tmp_path / "script.py").write_text(SCRIPT)
    library = str(tmp_path / "libcuda.so.1")
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, str(tmp_path / "driver.c")], check=True
        )
    except FileNotFoundError:
        pytest.skip("needs a C compiler, to stand in for the driver")
    log = tmp_path / "calls"
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            **WITHOUT_A_DEVICE,
            "LD_LIBRARY_PATH": str(tmp_path),
            "DRIVER_LOG": str(log),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    client, worker = ran.stdout.split()
    assert set(log.read_text().split()) == {worker}  # which shows that a call is seen
    assert client != worker


def test_frames_are_cudfs_while_the_cluster_is_up(cuda):
    assert dask.config.get("dataframe.backend") == "cudf"
    with pytest.raises(pf.errors.BackendUnavailable, match="need a GPU in this process"):
        pf.frame(pf.open_corpus(PROMPTS))
    cuda.close()
    assert dask.config.get("dataframe.backend", "pandas") == "pandas"
    assert type(pf.frame(pf.open_corpus(PROMPTS))).__module__ == DASK_FRAMES


def compile_kernels_for_the_host(folder):
    """In a worker, where cuDF has imported the real CuPy long since: put the stand-in beside it."""
    spec = spec_from_file_location("cupy", Path(folder) / "cupy.py")
    sys.modules["cupy"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["cupy"])


def test_a_run_on_the_cluster_takes_the_gpus_kernels_and_makes_the_same_bits(cuda, tmp_path):
    corpus = pf.open_corpus(PROMPTS)
    options = {"shard_rows": 32, "progress": False}
    with pytest.raises(pf.errors.BackendUnavailable, match="no usable NVIDIA device"):
        pf.submit(pf.default_graph(), corpus, tmp_path / "none", **options).result()
    cuda.run(compile_kernels_for_the_host, str(CUDA_ON_HOST))
    pf.submit(pf.default_graph(), corpus, tmp_path / "cuda", **options).result()
    other = pf.submit(pf.default_graph(), corpus, tmp_path / "cpu", backend="cpu", **options)
    assert other.result().done == 200
    made, wanted = (pf.open_results(tmp_path / name) for name in ("cuda", "cpu"))
    assert made.identical(wanted.assign_attrs(made.attrs))
    assert pf.verify(tmp_path / "cuda").passed


def test_the_documented_worker_command_is_one_that_dask_cuda_knows():
    from dask_cuda.cli import worker

    documented = (Path(pf.__file__).parent / "deploy/docs/clusters.md").read_text("utf-8")
    (line,) = [one for one in documented.splitlines() if "dask cuda worker tls" in one]
    asked = {word for word in line.split() if word.startswith("--")}
    assert len(asked) == 8
    assert asked <= {name for parameter in worker.params for name in parameter.opts}
