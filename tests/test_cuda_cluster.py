"""GPUs as NVML tells of them, what a cluster of them needs, and how dask-cuda is asked for one.

The driver and dask-cuda are faked, at their narrowest: the functions of NVML that are called, and
the one class. The real packages get the same arguments in rapids/test_rapids_cluster.py.
"""

# ruff: noqa: N802 (the functions of NVML are called what they are called)
from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType, SimpleNamespace

import pytest

import paninifs as pf
from paninifs.engine import cluster, cuda_cluster, hardware
from paninifs.engine.cli import machine as commands
from paninifs.engine.hardware import Gpu, Rapids
from paninifs.storage.errors import BackendUnavailable, UsageError

GIB = 2**30
HEAVY = {"distributed", "dask", "dask_cuda", "cudf", "cupy", "rmm", "numba", "pandas"}


@dataclass
class Device:
    """What the fake driver has."""

    name: str = "Tesla T4"
    memory: int | None = 15 * GIB
    capability: tuple[int, int] = (7, 5)
    cores: int | None = 2560
    uuid: str = "GPU-aaaa-1"
    slices: tuple[Device | None, ...] = ()  # of MIG; None: a place without one
    sms: int = 0  # of a slice


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class NotFound(NVMLError):
    pass


class FakeNvml(ModuleType):
    """As much of pynvml as is called; counts who has opened and not closed it."""

    NVML_DEVICE_MIG_ENABLE = 1
    NVMLError, NVMLError_NotSupported, NVMLError_NotFound = NVMLError, NotSupported, NotFound

    def __init__(self, devices, driver="550.54.15", cuda=12040):
        super().__init__("pynvml")
        self.opened, self.devices = 0, devices
        self.nvmlSystemGetDriverVersion = lambda: driver
        self.nvmlSystemGetCudaDriverVersion_v2 = lambda: cuda

    def nvmlInit(self):
        if self.devices is None:
            raise NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.devices[index]

    def nvmlDeviceGetName(self, device):
        return device.name

    def nvmlDeviceGetUUID(self, device):
        return device.uuid

    def nvmlDeviceGetCudaComputeCapability(self, device):
        return device.capability

    def nvmlDeviceGetMemoryInfo(self, device):
        if device.memory is None:
            raise NotSupported
        return SimpleNamespace(total=device.memory)

    def nvmlDeviceGetNumGpuCores(self, device):
        if device.cores is None:
            raise NotSupported
        return device.cores

    def nvmlDeviceGetMigMode(self, device):
        if device.capability < (8, 0):
            raise NotSupported
        return [int(bool(device.slices)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return len(device.slices)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, number):
        if device.slices[number] is None:
            raise NotFound
        return device.slices[number]

    def nvmlDeviceGetAttributes(self, device):
        return SimpleNamespace(multiprocessorCount=device.sms)


T4 = Device()
SLICES = (
    Device("A100 MIG 1g", 5 * GIB, uuid="MIG-1", sms=14),
    None,
    Device("A100 MIG 2g", 10 * GIB, uuid="MIG-2", sms=28),
)
A100 = Device("A100", 40 * GIB, (8, 0), 6912, "GPU-bbbb-2")
DIVIDED = Device("A100", 40 * GIB, (8, 0), 6912, "GPU-cccc-3", SLICES)


@pytest.fixture
def machine(monkeypatch):
    """Make this a machine with other GPUs; None stands for no driver."""
    monkeypatch.delenv(hardware.VISIBLE, raising=False)

    def become(*devices, **driver):
        nvml = FakeNvml(None if devices == (None,) else devices, **driver)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return become


@pytest.fixture
def packages(monkeypatch):
    """Say which packages are installed, and which RAPIDS."""

    def install(*names, **versions):
        monkeypatch.setattr(cuda_cluster, "find_spec", lambda name: name in names or None)

        def version(name):
            try:
                return versions[name.replace("-", "_")]
            except KeyError:
                raise metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr(metadata, "version", version)

    return install


def gpu(index=0, **facts):
    facts = {"memory": 15 * GIB, "capability": (7, 5), "cuda": (12, 4), "uuid": "GPU-1"} | facts
    return Gpu(index, "a GPU", driver="550.54", sms=40, **facts)


# --- what there is ----------------------------------------------------------------------------


def test_gpus_are_described_and_the_driver_is_let_go_of(machine):
    nvml = machine(T4, A100)
    assert hardware.gpus() == (
        Gpu(0, "Tesla T4", 15 * GIB, (7, 5), "550.54.15", (12, 4), 40, "GPU-aaaa-1"),
        Gpu(1, "A100", 40 * GIB, (8, 0), "550.54.15", (12, 4), 108, "GPU-bbbb-2"),
    )
    assert hardware.why_no_gpu() is None
    assert nvml.opened == 0
    assert str(hardware.gpus()[0]) == (
        "Tesla T4, 15.0 GiB, compute capability 7.5, 40 SMs; driver 550.54.15 (CUDA 12.4)"
    )


def test_no_driver_is_no_gpu_and_says_so(machine):
    machine(None)
    assert hardware.gpus() == ()
    assert hardware.why_no_gpu() == "no NVIDIA driver answers (Driver Not Loaded)"
    machine()
    assert hardware.gpus() == ()
    assert hardware.why_no_gpu() == "there is an NVIDIA driver, and no GPU"


def test_a_driver_that_fails_half_way_is_let_go_of(machine, monkeypatch):
    nvml = machine(T4)

    def lost(index):
        raise NVMLError("GPU is lost")

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", lost, raising=False)
    assert hardware.gpus() == ()
    assert hardware.why_no_gpu() == "the NVIDIA driver does not answer (GPU is lost)"
    assert nvml.opened == 0


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ("1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        ("GPU-bbbb", ["GPU-bbbb-2"]),
        ("GPU-bbbb-2, 0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        ("2", ["MIG-1", "MIG-2"]),
        ("MIG-2", ["MIG-2"]),
        ("0,0", ["GPU-aaaa-1"]),
        ("0,7,1", ["GPU-aaaa-1"]),  # as CUDA: nothing behind a name that is none
        ("-1,0", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_visible_are_those_that_the_variable_names_in_its_order(machine, monkeypatch, names, seen):
    machine(T4, A100, DIVIDED)
    monkeypatch.setenv(hardware.VISIBLE, names)
    assert [one.uuid for one in hardware.gpus()] == seen
    why = f"CUDA_VISIBLE_DEVICES={names!r} hides every one of the 4 that there are"
    assert hardware.why_no_gpu() == (None if seen else why)


def test_a_divided_gpu_is_its_slices(machine):
    machine(DIVIDED)
    found = hardware.gpus()
    assert [(one.name, one.memory // GIB, one.sms, one.cuda_name) for one in found] == [
        ("A100 MIG 1g", 5, 14, "MIG-1"),
        ("A100 MIG 2g", 10, 28, "MIG-2"),
    ]
    assert {(one.index, one.capability) for one in found} == {(0, (8, 0))}


def test_what_a_gpu_does_not_tell_is_left_open(machine):
    machine(Device(memory=None, cores=None))
    (found,) = hardware.gpus()
    assert (found.memory, found.sms) == (0, None)
    assert "the host's memory, compute capability 7.5; driver" in str(found)


@pytest.mark.parametrize(
    ("capability", "cuda", "extra", "advice"),
    [
        ((6, 1), (13, 0), None, "not usable: RAPIDS needs compute capability 7.0"),
        ((7, 0), (13, 0), "cuda12", "only the extra cuda12 (CUDA 13 builds dropped it)"),
        ((7, 2), (12, 2), "cuda12", "only the extra cuda12 (CUDA 13 builds dropped it)"),
        ((7, 5), (12, 8), "cuda12", "the extra cuda12"),
        ((7, 5), (13, 0), "cuda13", "the extra cuda13"),
        ((12, 0), (13, 2), "cuda13", "the extra cuda13"),
        ((8, 0), (11, 8), None, "not usable: its driver runs CUDA 11.8, and 12.0 is needed"),
    ],
)
def test_each_gpu_is_told_the_extra_that_suits(capability, cuda, extra, advice):
    found = gpu(capability=capability, cuda=cuda)
    assert (found.extra, found.advice) == (extra, advice)


@pytest.mark.parametrize(
    ("installed", "capability", "cuda", "trouble"),
    [
        (Rapids("26.10.2", 13), (7, 5), (13, 0), None),
        (Rapids("26.02.01", 12), (7, 0), (13, 0), None),
        (Rapids("26.02", None), (7, 5), (12, 0), None),
        (Rapids("25.12.0", 12), (7, 5), (12, 4), "RAPIDS 25.12.0 for CUDA 12 is too old, 26.02"),
        (Rapids("26.10.2", 13), (7, 0), (13, 0), "has no code for compute capability 7.0"),
        (Rapids("26.10.2", 13), (9, 0), (12, 8), "newer driver: 550.54 runs CUDA 12.8"),
    ],
)
def test_a_rapids_that_does_not_do_for_a_gpu_is_named(installed, capability, cuda, trouble):
    said = installed.trouble_with(gpu(capability=capability, cuda=cuda))
    assert said is None if trouble is None else trouble in said


def test_the_rapids_that_is_installed_is_known_by_its_package(packages):
    packages(cudf_cu12="26.02.1")
    assert hardware.rapids() == Rapids("26.02.1", 12)
    packages(cudf="26.4.0")
    assert hardware.rapids() == Rapids("26.4.0", None)
    packages()
    assert hardware.rapids() is None


def test_devices_prints_each_gpu_and_what_suits_it(machine, packages, capsys):
    packages(cudf_cu13="26.10.2")
    machine(Device("V100", capability=(7, 0)), A100, cuda=13000)
    commands.devices()
    said = " ".join(capsys.readouterr().out.split())
    assert "gpu 0: V100, 15.0 GiB, compute capability 7.0, 40 SMs; driver 550" in said
    assert "only the extra cuda12 (CUDA 13 builds dropped it)" in said
    assert "but RAPIDS 26.10.2 for CUDA 13 has no code for compute capability 7.0" in said
    assert "gpu 1: A100, 40.0 GiB" in said
    assert "none" not in said
    assert said.count("but RAPIDS") == 1
    commands.devices(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [one["extra"] for one in told["gpus"]] == ["cuda12", "cuda13"]
    assert [bool(one["trouble"]) for one in told["gpus"]] == [True, False]
    assert (told["why_no_gpu"], told["rapids"]) == (None, {"version": "26.10.2", "cuda": 13})


def test_devices_says_why_there_is_no_gpu(machine, packages, capsys):
    packages()
    machine(None)
    commands.devices()
    assert "gpu: none (no NVIDIA driver answers (Driver Not Loaded))" in capsys.readouterr().out
    commands.devices(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["gpus"], told["rapids"]) == ([], None)
    assert "no NVIDIA driver" in told["why_no_gpu"]


# --- what a cluster needs -----------------------------------------------------------------------


def test_without_a_driver_or_a_gpu_that_is_said_and_cpu_offered(machine, packages, monkeypatch):
    packages(*cuda_cluster.PACKAGES)
    machine(None)
    with pytest.raises(BackendUnavailable, match=r"no NVIDIA driver answers .*--cluster cpu"):
        pf.connect("cuda")
    machine(T4)
    monkeypatch.setenv(hardware.VISIBLE, "-1")
    with pytest.raises(BackendUnavailable, match=r"CUDA_VISIBLE_DEVICES='-1' hides .*cpu"):
        pf.connect("cuda")
    monkeypatch.delenv(hardware.VISIBLE)
    machine(Device(capability=(6, 0)))
    with pytest.raises(BackendUnavailable, match=r"another GPU: Tesla T4: not usable: .*cpu"):
        pf.connect("cuda")


def test_missing_packages_are_named_with_the_extra_that_brings_them(machine, packages):
    packages("cupy", "rmm")
    machine(T4, cuda=13000)
    with pytest.raises(
        BackendUnavailable,
        match=r"needs dask_cuda, cudf: .*pip install -e '\.\[cuda13\]' .*CUDA 13\.0.*cpu",
    ):
        pf.connect("cuda")
    machine(T4, Device(capability=(7, 0)), cuda=13000)  # one that fewer builds run on
    with pytest.raises(BackendUnavailable, match=r"'\.\[cuda12\]'"):
        pf.connect("cuda")


def test_a_rapids_of_the_wrong_version_or_build_is_refused(machine, packages):
    machine(T4)
    packages(*cuda_cluster.PACKAGES, cudf_cu12="25.10.0")
    with pytest.raises(BackendUnavailable, match=r"'cuda': RAPIDS 25\.10\.0 .*too old.*cpu"):
        pf.connect("cuda")


def test_each_worker_has_a_gpu_of_its_own_the_first_ones(machine, packages, caplog):
    packages(*cuda_cluster.PACKAGES, cudf_cu12="26.10.2")
    machine(Device(capability=(6, 1), uuid="GPU-old"), T4, A100)
    with caplog.at_level("WARNING"):
        assert [one.index for one in cuda_cluster.require_gpus()] == [1, 2]
    assert "GPU 0, a Tesla T4, is left out, not usable" in caplog.text
    assert [one.index for one in cuda_cluster.require_gpus(1)] == [1]
    with pytest.raises(UsageError, match="3 workers need a GPU each, and 2 can be used"):
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
def test_nothing_heavy_is_imported_to_find_that_there_is_no_gpu(code, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        env={**os.environ, hardware.VISIBLE: "-1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "paninifs.engine.cuda_cluster" in ran.stdout.split()
    assert not HEAVY & set(ran.stdout.split())
    assert "cluster 'cuda' needs a GPU: " in ran.stderr
    assert "--cluster cpu" in ran.stderr
    assert "nowhere.jsonl" not in ran.stderr  # the corpus has not been looked for


# --- how dask-cuda is asked ---------------------------------------------------------------------

LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


def test_memory_is_given_in_bytes_of_the_smallest_device():
    asked = cuda_cluster.cluster_arguments([gpu(), gpu(1, memory=10 * GIB + 300)], **LOOPBACK)
    assert asked["rmm_pool_size"] == 5 * GIB + 150
    assert asked["rmm_maximum_pool_size"] == int(0.9 * (10 * GIB + 300))
    assert asked["device_memory_limit"] == 5 * GIB + 150
    assert asked["device_memory_limit"] < asked["rmm_maximum_pool_size"] < 10 * GIB
    assert asked["enable_cudf_spill"] is True
    assert asked["rmm_allocator_external_lib_list"] == ["cupy"]


def test_a_worker_a_gpu_on_loopback_in_the_order_that_was_asked_for():
    asked = cuda_cluster.cluster_arguments([gpu(3), gpu(1)], **LOOPBACK)
    assert (asked["CUDA_VISIBLE_DEVICES"], asked["n_workers"]) == ([3, 1], 2)
    assert (asked["threads_per_worker"], "memory_limit" in asked) == (1, False)
    assert LOOPBACK.items() <= asked.items()
    asked = cuda_cluster.cluster_arguments([gpu()], **LOOPBACK, threads=3, memory="8GiB")
    assert (asked["threads_per_worker"], asked["memory_limit"]) == (3, "8GiB")


def test_a_device_without_memory_of_its_own_is_asked_for_none():
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
def test_ucx_is_for_several_gpus_where_it_is_installed(packages, installed, count, protocol):
    packages(*installed)
    asked = cuda_cluster.cluster_arguments([gpu(n) for n in range(count)], **LOOPBACK)
    assert asked["protocol"] == protocol


@pytest.fixture
def dask_cuda(machine, packages, monkeypatch):
    """A machine with two GPUs and all that is needed; the clusters that were started on it."""
    from distributed import LocalCluster

    started = []

    def local_cuda_cluster(**arguments):
        kept = ("host", "dashboard_address", "n_workers", "threads_per_worker")
        made = LocalCluster(**{name: arguments[name] for name in kept})
        started.append((arguments, made))
        return made

    machine(T4, A100)
    packages(*cuda_cluster.PACKAGES, cudf_cu12="26.10.2")
    fake = SimpleNamespace(LocalCUDACluster=local_cuda_cluster)
    monkeypatch.setitem(sys.modules, "dask_cuda", fake)
    return SimpleNamespace(started=started, module=fake)


def test_connect_starts_the_workers_and_its_end_is_theirs(dask_cuda, capsys):
    with pf.connect("cuda", workers=1) as client:
        ((asked, made),) = dask_cuda.started
        environment = list(client.run(lambda: dict(os.environ)).values())
        assert f"http://{cluster.LOOPBACK}:" in capsys.readouterr().out
    assert made.status.name == "closed"
    assert asked["CUDA_VISIBLE_DEVICES"] == [0]
    assert asked["host"] == cluster.LOOPBACK
    assert asked["dashboard_address"].startswith(f"{cluster.LOOPBACK}:")
    assert len(environment) == 1
    for name, value in (cluster.WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT).items():
        assert environment[0][name] == str(value)


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (ValueError("bad size"), UsageError, "no cluster with .*: bad size"),
        (RuntimeError("died"), BackendUnavailable, r"workers did not start \(died\)"),
    ],
)
def test_a_cluster_that_does_not_start_says_why(dask_cuda, raised, expected, words):
    def fail(**_):
        raise raised

    dask_cuda.module.LocalCUDACluster = fail
    with pytest.raises(expected, match=words):
        pf.connect("cuda")
