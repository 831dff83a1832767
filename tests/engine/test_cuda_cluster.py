"""What a cluster of GPUs needs, and the arguments for dask-cuda.

The driver and dask-cuda are faked as narrowly as possible: the functions of NVML that are called,
and one class. The real packages get the same arguments in rapids/test_rapids_cluster.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fake_nvml import A100, GIB, T4, Device

import paninifs as pf
from paninifs.engine.cluster import cuda as cuda_cluster
from paninifs.engine.cluster import local as local_cluster
from paninifs.engine.cluster import network
from paninifs.engine.cluster.connect import backend_of
from paninifs.engine.cluster.rapids_settings import VARIABLE
from paninifs.engine.hardware.gpu import Gpu
from paninifs.engine.hardware.nvml import VISIBLE
from paninifs.engine.hardware.packages import NEEDED
from paninifs.storage.errors import BackendUnavailable, UsageError

HEAVY = {"distributed", "dask", "dask_cuda", "cudf", "cupy", "rmm", "numba", "pandas"}


def gpu(index=0, **facts):
    facts = {"memory": 15 * GIB, "capability": (7, 5), "cuda": (12, 4), "uuid": "GPU-1"} | facts
    return Gpu(index=index, name="a GPU", driver="550.54", sms=40, **facts)


# --- what a cluster needs -----------------------------------------------------------------------


def test_without_a_usable_gpu_cpu_is_suggested(machine, packages, monkeypatch):
    packages(*NEEDED)
    machine(fails="LIBRARY_NOT_FOUND")
    with pytest.raises(BackendUnavailable, match=r"there is no NVIDIA GPU .*--cluster cpu"):
        pf.connect("cuda")
    machine(T4)
    monkeypatch.setenv(VISIBLE, "-1")
    with pytest.raises(BackendUnavailable, match=r"CUDA_VISIBLE_DEVICES='-1' hides .*cpu"):
        pf.connect("cuda")
    monkeypatch.delenv(VISIBLE)
    machine(Device(capability=(6, 0)))
    with pytest.raises(BackendUnavailable, match=r"the Tesla T4 cannot be used: .* 7\.0.*cpu"):
        pf.connect("cuda")
    machine(Device(used=9 * GIB))
    with pytest.raises(BackendUnavailable, match=r"only 6\.0 of its 15\.0 GiB are free.*close"):
        pf.connect("cuda")


def test_missing_packages_are_named_with_their_extra(machine, packages):
    packages("cupy", "rmm")
    machine(T4, cuda=13000)
    with pytest.raises(
        BackendUnavailable,
        match=r"dask_cuda, cudf are not .*pip install -e '\.\[cuda13\]' .*CUDA 13\.0.*cpu",
    ):
        pf.connect("cuda")
    machine(T4, Device(capability=(7, 0)), cuda=13000)  # one that fewer builds support
    with pytest.raises(BackendUnavailable, match=r"'\.\[cuda12\]'"):
        pf.connect("cuda")


def test_a_rapids_of_the_wrong_version_or_build_is_refused(machine, packages):
    machine(T4)
    packages(*NEEDED, cudf_cu12="25.10.0")
    with pytest.raises(
        BackendUnavailable, match=r"'cuda' cannot start here: RAPIDS 25\.10\.0 .*too old.*cpu"
    ):
        pf.connect("cuda")


def test_each_worker_has_its_own_gpu(machine, packages, caplog):
    packages(*NEEDED, cudf_cu12="26.10.2")
    machine(Device(capability=(6, 1), uuid="GPU-old"), T4, A100)
    with caplog.at_level("WARNING"):
        assert [one.index for one in cuda_cluster.require_gpus()] == [1, 2]
    assert "GPU 0, a Tesla T4, is left out: RAPIDS needs" in caplog.text
    assert [one.index for one in cuda_cluster.require_gpus(1)] == [1]
    with pytest.raises(UsageError, match="3 workers need one GPU each, but only 2 can be used"):
        cuda_cluster.require_gpus(3)


CONNECT = """
import paninifs as pf
try:
    pf.connect("cuda")
except pf.errors.BackendUnavailable as error:
    print(error, file=sys.stderr)
"""
RUN = """
from paninifs.engine.cli import main
sys.argv = ["paninifs", "run", "nowhere.jsonl", "out.zarr", "--cluster", "cuda"]
try:
    main()
except SystemExit as end:
    assert end.code == 1, end
"""


@pytest.mark.parametrize("code", [CONNECT, RUN], ids=["connect", "run"])
def test_finding_no_gpu_imports_nothing_heavy(code, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        env={**os.environ, VISIBLE: "-1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "paninifs.engine.cluster.cuda" in ran.stdout.split()
    assert not HEAVY & set(ran.stdout.split())
    assert "cluster 'cuda' cannot start here: " in ran.stderr
    assert "--cluster cpu" in ran.stderr
    assert "nowhere.jsonl" not in ran.stderr  # the corpus was not even searched for


# --- the arguments for dask-cuda ------------------------------------------------------------------

LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


def test_memory_is_sized_for_the_smallest_device():
    asked = cuda_cluster.cluster_arguments([gpu(), gpu(1, memory=10 * GIB + 300)], **LOOPBACK)
    assert asked["rmm_pool_size"] == 5 * GIB + 150
    assert asked["rmm_maximum_pool_size"] == int(0.9 * (10 * GIB + 300))
    assert asked["device_memory_limit"] == 5 * GIB + 150
    assert asked["device_memory_limit"] < asked["rmm_maximum_pool_size"] < 10 * GIB
    assert asked["enable_cudf_spill"] is True
    assert asked["rmm_allocator_external_lib_list"] == ["cupy"]


def test_one_worker_per_gpu_in_the_given_order():
    asked = cuda_cluster.cluster_arguments([gpu(3), gpu(1)], **LOOPBACK)
    assert (asked["CUDA_VISIBLE_DEVICES"], asked["n_workers"]) == ([3, 1], 2)
    assert "memory_limit" not in asked
    assert LOOPBACK.items() <= asked.items()
    asked = cuda_cluster.cluster_arguments([gpu()], **LOOPBACK, threads=3, memory="8GiB")
    assert (asked["threads_per_worker"], asked["memory_limit"]) == (3, "8GiB")


@pytest.mark.parametrize(
    ("cores", "gpus", "threads"), [(2, 1, 2), (12, 1, 12), (16, 8, 2), (7, 2, 3), (2, 4, 1)]
)
def test_workers_share_the_cores_and_each_has_a_thread(cores, gpus, threads, monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", cores)
    asked = cuda_cluster.cluster_arguments([gpu(n) for n in range(gpus)], **LOOPBACK)
    assert asked["threads_per_worker"] == threads


def test_a_device_without_its_own_memory_has_no_pool():
    asked = cuda_cluster.cluster_arguments([gpu(memory=0)], **LOOPBACK)
    assert not {"rmm_pool_size", "device_memory_limit", "enable_cudf_spill"} & set(asked)


@pytest.mark.parametrize(
    ("installed", "count", "protocol"),
    [
        ((), 2, "tcp"),
        (("ucxx",), 2, "tcp"),
        (cuda_cluster.UCX, 1, "tcp"),
        (cuda_cluster.UCX, 2, "ucx"),
    ],
)
def test_ucx_is_used_for_several_gpus_if_installed(packages, installed, count, protocol):
    packages(*installed)
    asked = cuda_cluster.cluster_arguments([gpu(n) for n in range(count)], **LOOPBACK)
    assert asked["protocol"] == protocol


@pytest.fixture
def dask_cuda(machine, packages, monkeypatch):
    """A machine with two GPUs and all packages; records the clusters started on it."""
    from distributed import LocalCluster

    started, options = [], {"spill": False, "spill_stats": 2}
    cudf = SimpleNamespace(
        get_option=options.__getitem__, set_option=options.__setitem__, options=options
    )

    def local_cuda_cluster(**arguments):
        os.environ[VARIABLE] = "True"
        if arguments.get("enable_cudf_spill"):
            cudf.set_option("spill", True)
            cudf.set_option("spill_stats", arguments.get("cudf_spill_stats", 0))
        kept = ("host", "dashboard_address", "n_workers", "threads_per_worker")
        made = LocalCluster(**{name: arguments[name] for name in kept})
        started.append((arguments, made))
        return made

    machine(T4, A100)
    packages(*NEEDED, cudf_cu12="26.10.2")
    fake = SimpleNamespace(LocalCUDACluster=local_cuda_cluster)
    monkeypatch.setitem(sys.modules, "dask_cuda", fake)
    monkeypatch.setitem(sys.modules, "cudf", cudf)
    monkeypatch.delenv(VARIABLE, raising=False)
    return SimpleNamespace(started=started, module=fake, options=options)


def test_connect_starts_and_stops_the_workers(dask_cuda, capsys):
    with pf.connect("cuda", workers=1) as client:
        ((asked, made),) = dask_cuda.started
        environment = list(client.run(lambda: dict(os.environ)).values())
        assert f"http://{network.LOOPBACK}:" in capsys.readouterr().out
    assert made.status.name == "closed"
    assert asked["CUDA_VISIBLE_DEVICES"] == [0]
    assert asked["host"] == network.LOOPBACK
    assert asked["dashboard_address"].startswith(f"{network.LOOPBACK}:")
    assert len(environment) == 1
    for name, value in (local_cluster.WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT).items():
        assert environment[0][name] == str(value)


@pytest.mark.parametrize("before", [None, "1"])
def test_what_dask_cuda_sets_here_is_restored_on_close(dask_cuda, monkeypatch, before):
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    with pf.connect("cuda", workers=1, quiet=True) as client:
        assert dask_cuda.options == {"spill": True, "spill_stats": 0}
        assert os.environ[VARIABLE] == "True"
    assert dask_cuda.options == {"spill": False, "spill_stats": 2}
    assert os.environ.get(VARIABLE) == before
    dask_cuda.options["spill"] = True  # set by the user: closing again must not undo it
    client.close()
    assert dask_cuda.options["spill"] is True


def test_what_dask_cuda_sets_here_is_restored_if_it_does_not_start(dask_cuda):
    start, frames = dask_cuda.module.LocalCUDACluster, []

    def fail(**arguments):
        frames.append(sys._getframe(1))  # or what is left open would be closed as garbage
        start(**arguments).close()
        raise RuntimeError("died")

    dask_cuda.module.LocalCUDACluster = fail
    with pytest.raises(BackendUnavailable, match="died"):
        pf.connect("cuda")
    assert dask_cuda.options == {"spill": False, "spill_stats": 2}
    assert VARIABLE not in os.environ


def test_connect_chooses_usable_gpus_and_reports_it(dask_cuda, capsys):
    with pf.connect() as client:
        first, second = capsys.readouterr().out.splitlines()
        assert backend_of(client) == "cuda"
    assert first == "cluster 'cuda': this machine has 2 GPUs (Tesla T4, A100)"
    assert second.startswith("dask dashboard: ")
    ((asked, _),) = dask_cuda.started
    assert asked["CUDA_VISIBLE_DEVICES"] == [0, 1]


def test_connect_reports_cores_that_its_choice_leaves_idle(dask_cuda, capsys, monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", 3)
    with pf.connect() as client:
        assert backend_of(client) == "cuda"
    assert "; for hashing, connect('cpu') is predicted to be 1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (ValueError("bad size"), UsageError, "cannot start a cluster of .*: bad size"),
        (RuntimeError("died"), BackendUnavailable, "the cluster did not start: died"),
    ],
)
def test_a_cluster_that_does_not_start_says_why(dask_cuda, raised, expected, words):
    def fail(**_):
        raise raised

    dask_cuda.module.LocalCUDACluster = fail
    with pytest.raises(expected, match=words):
        pf.connect("cuda")
