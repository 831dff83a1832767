"""What machine this is: GPUs as NVML tells of them, the TPU as JAX does, memory, platform, choice.

Faked at the narrowest: the functions of NVML that are called, the module ``jax`` of the process
that is asked, files of the kernel's. What this very machine is gets compared with the kernel.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from distributed.system import memory_limit
from fake_nvml import A100, BRIDGED, DIVIDED, GIB, H100, L4, T4, V100, Device

import paninifs as pf
from paninifs.engine.cli import machine as commands
from paninifs.engine.hardware import backends, cpu, memory, nvml_errors, selection, tpu
from paninifs.engine.hardware import platform as platforms
from paninifs.engine.hardware.gpu import Gpu
from paninifs.engine.hardware.nvml import VISIBLE, Nvidia, nvidia
from paninifs.engine.hardware.packages import NEEDED, Packages, Rapids, installed_packages, rapids
from paninifs.engine.hardware.platform import current_platform
from paninifs.engine.hardware.selection import cluster_for
from paninifs.engine.hardware.tpu import Tpu, find_tpu
from paninifs.engine.hardware.unavailable import Unavailable
from paninifs.graphs.kernels import control_groups

RAPIDS_12 = {"cudf_cu12": "26.10.2"}


def gpu(index=0, **facts):
    facts = {"memory": 15 * GIB, "capability": (7, 5), "cuda": (12, 4), "uuid": "GPU-1"} | facts
    return Gpu(index=index, name="a GPU", driver="550.54", sms=40, **facts)


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


# --- this very machine ----------------------------------------------------------------------------


def test_this_machine_is_what_its_kernel_says():
    found, cpuinfo = pf.hardware(), Path("/proc/cpuinfo")
    assert 1 <= found.cpu.cores <= os.cpu_count()
    assert found.memory.total == psutil.virtual_memory().total
    assert found.memory.usable <= memory_limit()
    assert 0 < found.memory.free <= psutil.virtual_memory().total
    assert found.disk.working == str(Path.cwd())
    assert 0 < found.disk.working_free <= psutil.disk_usage(".").total
    assert found.backend("reference").usable
    assert found.backend("cpu").usable
    assert bool(found.gpus) == (found.why_no_gpu is None)
    if not cpuinfo.exists() or "model name" not in (text := cpuinfo.read_text()):
        pytest.skip("/proc/cpuinfo is of Linux on x86")
    assert f": {found.cpu.name}\n" in text
    flags = set(re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)[1].split())
    names = {"SHA-NI": "sha_ni", "AVX-512": "avx512f", "AVX2": "avx2"}
    assert found.cpu.vectors == tuple(name for name, flag in names.items() if flag in flags)


def test_a_processor_that_does_not_say_its_name_has_llvms(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    assert cpu.processor().name == cpu.processor().architecture
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50\n")  # as on ARM
    assert cpu.processor().name == cpu.processor().architecture
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert cpu.processor().name == "Some CPU @ 2 GHz"


def test_the_temporary_folder_is_dasks(monkeypatch, tmp_path):
    import dask

    with dask.config.set({"temporary-directory": str(tmp_path / "not yet made")}):
        assert pf.hardware().disk.temporary == str(tmp_path)


# --- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """A machine of 64 GiB with 40 free; write what its kernel says of control groups."""
    told = SimpleNamespace(total=64 * GIB, available=40 * GIB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: told)
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)

    def write(lines, files):
        for name, text in {"proc/self/cgroup": lines, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return memory.ram()

    return write


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


def test_without_control_groups_memory_is_the_machines(groups, tmp_path):
    assert memory.ram() == memory.Memory(64 * GIB, None, 40 * GIB)  # not Linux
    assert groups("0::/", {}) == memory.Memory(64 * GIB, None, 40 * GIB)


def test_a_container_of_version_2_may_have_its_limit_less_what_it_uses(groups):
    files = {
        f"{V2}/memory.max": 8 * GIB,
        f"{V2}/memory.high": "max",
        f"{V2}/memory.current": 5 * GIB,
        f"{V2}/memory.stat": f"anon {GIB}\ninactive_file {2 * GIB}\nactive_file 7",
    }
    # The path may be the host's, which is not to be seen inside.
    for path in ("/", "/kubepods/pod42"):
        found = groups(f"0::{path}", files)
        assert found == memory.Memory(64 * GIB, 8 * GIB, 5 * GIB)
        assert found.usable == 8 * GIB


def test_the_tightest_of_nested_groups_counts_as_of_a_job_of_slurms(groups):
    job = f"{V2}/slurm/job_1"
    files = {
        f"{job}/step_0/memory.max": "max",
        f"{job}/step_0/memory.current": 3 * GIB,
        f"{job}/memory.max": 16 * GIB,
        f"{job}/memory.current": 10 * GIB,
        f"{V2}/slurm/memory.high": 32 * GIB,
        f"{V2}/slurm/memory.current": 30 * GIB,
    }
    found = groups("0::/slurm/job_1/step_0", files)
    assert found == memory.Memory(64 * GIB, 16 * GIB, 2 * GIB)


def test_a_container_of_version_1_may_have_its_limit_less_what_it_uses(groups):
    none = 9223372036854771712
    files = {
        f"{V1}/memory.limit_in_bytes": none,
        f"{V1}/memory.usage_in_bytes": 30 * GIB,
        f"{V1}/docker/abc/memory.limit_in_bytes": 4 * GIB,
        f"{V1}/docker/abc/memory.usage_in_bytes": 4 * GIB,
        f"{V1}/docker/abc/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
    }
    lines = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x\n0::/"
    assert groups(lines, files) == memory.Memory(64 * GIB, 4 * GIB, GIB)
    assert groups("4:memory:/", files) == memory.Memory(64 * GIB, None, 40 * GIB)


def test_free_is_never_less_than_nothing_nor_more_than_the_machine_has(groups):
    files = {f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": 9 * GIB}
    assert groups("0::/", files).free == 0
    files = {f"{V2}/memory.max": 60 * GIB, f"{V2}/memory.current": GIB}
    assert groups("0::/", files).free == 40 * GIB


# --- where we are ---------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """Set this environment of a service, and no other's."""
    signs = {
        sign for service in platforms._SERVICES for sign in (*service.signs, *service.properties)
    }

    def become(**variables):
        for name in {*signs, "SLURM_JOB_END_TIME", "TPU_NAME", *tpu.VARIABLES}:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    become()
    return become


COLAB = {"COLAB_RELEASE_TAG": "release-colab_20260819", "COLAB_TPU_1VM": ""}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "no cloud or notebook service recognised"),
        (COLAB, "Colab (image release-colab_20260819)"),
        (COLAB | KUBERNETES, "Colab (image release-colab_20260819)"),
        (COLAB | {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, "Kaggle (session Interactive)"),
        (COLAB | {"VERTEX_PRODUCT": "COLAB_ENTERPRISE"}, "Vertex AI (product COLAB_ENTERPRISE)"),
        (KUBERNETES | {"CLOUD_ML_JOB_ID": "77"}, "Vertex AI (job 77)"),
        (KUBERNETES | {"HOSTNAME": "mine-0"}, "Kubernetes (pod mine-0)"),
        (
            KUBERNETES | {"SLURM_JOB_ID": "42", "SLURM_JOB_END_TIME": "1795282628"},
            "Slurm (job 42, ends 2026-11-21 17:37 UTC)",
        ),
        ({"SLURM_JOB_ID": "42", "SLURM_JOB_END_TIME": "Unknown"}, "Slurm (job 42)"),
    ],
)
def test_each_platform_is_known_by_its_environment(environment, variables, shown):
    environment(**variables)
    assert str(current_platform()) == shown
    if "ends" in shown:
        assert current_platform().ends == datetime.fromtimestamp(1795282628, UTC)


# --- GPUs -----------------------------------------------------------------------------------------


def test_gpus_are_described_and_the_driver_is_let_go_of(machine):
    nvml = machine(T4, A100)
    free = {"free": 15 * GIB}, {"free": 40 * GIB}
    assert nvidia() == Nvidia(
        (
            Gpu(
                index=0,
                name="Tesla T4",
                memory=15 * GIB,
                capability=(7, 5),
                driver="550.54.15",
                cuda=(12, 4),
                sms=40,
                uuid="GPU-aaaa-1",
                **free[0],
            ),
            Gpu(
                index=1,
                name="A100",
                memory=40 * GIB,
                capability=(8, 0),
                driver="550.54.15",
                cuda=(12, 4),
                sms=108,
                uuid="GPU-bbbb-2",
                **free[1],
            ),
        ),
        None,
    )
    assert nvml.opened == 0
    assert str(nvidia().gpus[0]) == (
        "Tesla T4, 15.0 GiB (15.0 free), compute capability 7.5, 40 SMs; driver 550.54.15 "
        "(CUDA 12.4)"
    )


@pytest.mark.parametrize(
    ("device", "sms", "extra"),
    [
        (T4, 40, "cuda13"),
        (L4, 58, "cuda13"),
        (V100, 80, "cuda12"),
        (A100, 108, "cuda13"),
        (H100, 132, "cuda13"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_usual_gpus_are_told_their_size_and_extra(machine, device, sms, extra):
    machine(device, driver="580.95.05", cuda=13000)
    (found,) = nvidia().gpus
    assert (found.sms, found.memory, found.extra) == (sms, device.memory, extra)
    assert (found.nvlinks, found.linked) == (0, ())


def test_nvlinks_that_are_up_are_counted_and_where_they_lead(machine):
    machine(*BRIDGED)
    assert [(one.nvlinks, one.linked) for one in nvidia().gpus] == [(3, (1,)), (3, (0,))]
    assert "108 SMs, 3 NVLinks to 1; driver" in str(nvidia().gpus[0])
    machine(BRIDGED[0], T4)  # through a bridge to nowhere, and none
    assert [(one.nvlinks, one.linked) for one in nvidia().gpus] == [(3, ()), (0, ())]


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
    monkeypatch.setenv(VISIBLE, names)
    found = nvidia()
    assert [one.uuid for one in found.gpus] == seen
    why = f"CUDA_VISIBLE_DEVICES={names!r} hides all of the machine's 4 GPUs"
    hidden = Unavailable(why, "unset CUDA_VISIBLE_DEVICES", there=True)
    assert found.unavailable == (None if seen else hidden)


def test_a_divided_gpu_is_its_slices(machine):
    machine(DIVIDED)
    found = nvidia().gpus
    assert [(one.name, one.memory // GIB, one.sms, one.cuda_name) for one in found] == [
        ("A100 MIG 1g", 5, 14, "MIG-1"),
        ("A100 MIG 2g", 10, 28, "MIG-2"),
    ]
    assert {(one.index, one.capability, one.nvlinks) for one in found} == {(0, (8, 0), 0)}


def test_what_a_gpu_does_not_tell_is_left_open(machine):
    machine(Device(memory=None, cores=None))
    (found,) = nvidia().gpus
    assert (found.memory, found.free, found.sms, found.busy) == (0, None, None, None)
    assert "the host's memory, compute capability 7.5; driver" in str(found)


def test_a_gpu_whose_memory_others_have_is_not_usable_now(machine):
    machine(Device(used=7 * GIB))
    assert nvidia().gpus[0].unusable is None
    machine(Device(used=8 * GIB))
    (found,) = nvidia().gpus
    assert found.extra == "cuda12"
    assert str(found.unusable) == (
        "only 7.0 of its 15.0 GiB are free, and a worker allocates 50% when it starts; end "
        "the processes that use it (nvidia-smi lists them), such as an earlier cluster: "
        "client.close()"
    )


@pytest.mark.parametrize(
    ("capability", "cuda", "extra", "advice"),
    [
        ((6, 1), (13, 0), None, "not usable: RAPIDS needs compute capability 7.0, but it has 6.1"),
        ((7, 0), (13, 0), "cuda12", "only the extra cuda12 (CUDA 13 builds do not support it)"),
        ((7, 2), (12, 2), "cuda12", "only the extra cuda12 (CUDA 13 builds do not support it)"),
        ((7, 5), (12, 8), "cuda12", "the extra cuda12"),
        ((7, 5), (13, 0), "cuda13", "the extra cuda13"),
        ((12, 0), (13, 2), "cuda13", "the extra cuda13"),
        (
            (8, 0),
            (11, 8),
            None,
            "not usable: its driver 550.54 runs CUDA 11.8, but 12.0 is needed",
        ),
    ],
)
def test_each_gpu_is_told_the_extra_that_suits(capability, cuda, extra, advice):
    found = gpu(capability=capability, cuda=cuda)
    assert (found.extra, found.advice.partition(";")[0]) == (extra, advice)
    assert found.advice.endswith("; install driver 525 or newer") == (cuda < (12, 0))


# --- every way in which a driver is not there -----------------------------------------------------


@pytest.fixture
def card(monkeypatch, tmp_path):
    """Put an NVIDIA card on the PCI bus, beside its sound and another's graphics."""
    for number, (vendor, kind) in enumerate(
        [("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x1002", "0x030000")]
    ):
        device = tmp_path / "bus" / f"0000:00:0{number}.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")

    def insert(*, ours=True):
        if not ours:
            (tmp_path / "bus/0000:00:00.0/vendor").write_text("0x1af4\n")
        monkeypatch.setattr(nvml_errors, "PCI", tmp_path / "bus")

    return insert


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        ("LIBRARY_NOT_FOUND", "there is an NVIDIA GPU in this machine, but no driver", "install"),
        ("DRIVER_NOT_LOADED", "driver is installed but not loaded", "sudo modprobe nvidia"),
        ("LIB_RM_VERSION_MISMATCH", "have different versions", "restart the machine"),
        ("NO_PERMISSION", "this user may not use", "administrator"),
        ("GPU_IS_LOST", "fallen off the bus", "restart the machine"),
        ("RESET_REQUIRED", "needs a reset", "nvidia-smi --gpu-reset"),
        ("UNKNOWN", "the NVIDIA driver does not respond (Unknown Error)", "nvidia-smi"),
    ],
)
def test_every_bad_driver_has_a_sentence_of_its_own(
    machine, card, environment, error, reason, remedy
):
    card()
    nvml = machine(T4, fails=error)
    missing = nvidia().unavailable
    assert reason in missing.reason
    assert remedy in missing.remedy
    assert missing.there
    assert nvml.opened == 0
    # As some do only when they are asked for a GPU.
    nvml = machine(A100, Device(fails=error))
    assert nvidia() == Nvidia((), missing)
    assert nvml.opened == 0


@pytest.mark.parametrize("error", ["LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED"])
@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({}, None),
        (COLAB, "Runtime, Change runtime type"),
        (COLAB | {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, "Settings, Accelerator"),
        ({"SLURM_JOB_ID": "1"}, "sbatch --gpus=1"),
        (KUBERNETES, "nvidia.com/gpu: 1"),
    ],
)
def test_without_a_card_there_is_no_gpu_and_a_service_is_asked_for_one(
    machine, card, environment, error, variables, remedy
):
    environment(**variables)
    machine(fails=error)
    for _ in ("no bus to be seen", "no card on it"):
        missing = nvidia().unavailable
        assert missing.reason == "there is no NVIDIA GPU in this machine"
        assert remedy in missing.remedy if remedy else missing.remedy is None
        assert not missing.there
        card(ours=False)


def test_a_driver_may_have_no_gpu_for_this_process(machine, environment):
    environment(SLURM_JOB_ID="1")
    machine()
    assert str(nvidia().unavailable) == (
        "an NVIDIA driver is installed, but it shows no GPU to this process; request one for the "
        "job: sbatch --gpus=1 (or --gres=gpu:1)"
    )


# --- packages for GPUs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "capability", "cuda", "trouble"),
    [
        (Rapids("26.10.2", 13), (7, 5), (13, 0), None),
        (Rapids("26.02.01", 12), (7, 0), (13, 0), None),
        (Rapids("26.02", None), (7, 5), (12, 0), None),
        (Rapids("25.12.0", 12), (7, 5), (12, 4), "RAPIDS 25.12.0 for CUDA 12 is too old; 26.02"),
        (Rapids("26.10.2", 13), (7, 0), (13, 0), "has no code for compute capability 7.0"),
        (Rapids("26.10.2", 13), (9, 0), (12, 8), "newer driver: 550.54 runs CUDA 12.8"),
    ],
)
def test_a_rapids_that_does_not_do_for_a_gpu_is_named(there, capability, cuda, trouble):
    found = there.trouble_with(gpu(capability=capability, cuda=cuda))
    assert found is None if trouble is None else trouble in str(found)


def test_what_is_installed_is_known_by_its_packages(packages):
    packages("cupy", **RAPIDS_12, nvidia_cuda_runtime_cu12="12.9.79")
    missing = ("dask_cuda", "cudf", "rmm")
    assert installed_packages() == Packages(Rapids("26.10.2", 12), "12.9.79", missing)
    packages(*NEEDED, cudf="26.4.0", nvidia_cuda_runtime="13.4.92")
    assert installed_packages() == Packages(Rapids("26.4.0", None), "13.4.92", ())
    packages()
    assert rapids() is None


# --- the TPU --------------------------------------------------------------------------------------

JAX = """
import os, sys
assert os.environ["JAX_PLATFORMS"] == "tpu"
class Device:
    device_kind = "TPU v5 lite"
    def memory_stats(self):
        return {stats}
def local_devices():
    {then}
"""
BUSY = "ABORTED: The TPU is already in use by process with pid {}. Not attempting to load"
VFIO = "TPU initialization failed: open(/dev/vfio/0): Device or resource busy: Device or resource"


@pytest.fixture
def jax(monkeypatch, tmp_path, environment):
    """A machine with a TPU of Colab's, and a JAX that answers so."""
    monkeypatch.setattr(tpu, "DEV", tmp_path)
    environment(**COLAB | {"TPU_ACCELERATOR_TYPE": "v5e-1"})

    def answer(then="return [Device()]", stats="{'bytes_limit': 16 << 30}"):
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / "jax.py").write_text(JAX.format(then=then, stats=stats))
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # two a second would pass for one
        monkeypatch.syspath_prepend(folder)
        return find_tpu()

    return answer


def test_a_tpu_is_described_and_never_taken_by_this_process(jax):
    assert jax() == Tpu("TPU v5 lite", 1, 16 * GIB)
    assert str(jax()) == "TPU v5 lite, 1 device, 16.0 GiB each"
    assert jax("return [Device()] * 8", "None") == Tpu("TPU v5 lite", 8, None)
    assert "jax" not in sys.modules


def test_jax_may_print_before_it_answers(jax):
    assert jax("print('a warning'); return [Device()]").devices == 1


@pytest.mark.parametrize(
    ("then", "reason", "remedy"),
    [
        (
            f"raise RuntimeError({BUSY.format(123)!r})",
            "holds the TPU (process 123)",
            "end that process",
        ),
        (f"raise RuntimeError({VFIO!r})", "another process holds the TPU", "end that process"),
        (
            "raise RuntimeError('INTERNAL: Failed to open libtpu.so: no such file')",
            "without TPU support",
            "pip install 'jax[tpu]'",
        ),
        (
            "raise RuntimeError('No jellyfish\\ndevice. (set JAX_PLATFORMS=1)')",
            "no TPU: No jellyfish device.",
            "",
        ),
        ("os._exit(9)", "exited with code 9: no output", ""),
        ("sys.exit('Aborted (core dumped)')", "code 1: Aborted (core dumped)", ""),
    ],
)
def test_a_tpu_that_jax_cannot_reach_has_its_reason(jax, then, reason, remedy):
    missing = jax(then)
    assert reason in missing.reason
    assert "JAX_PLATFORMS" not in missing.reason
    assert remedy in (missing.remedy or "")


def test_a_tpu_that_this_process_holds_is_not_another_processs(jax):
    missing = jax(f"raise RuntimeError({BUSY.format(os.getpid())!r})")
    assert missing.reason == "this process itself holds the TPU, through JAX"


def test_a_jax_that_hangs_is_not_waited_for(jax, monkeypatch):
    monkeypatch.setattr(tpu, "TIMEOUT", 1.0)
    missing = jax("import time; time.sleep(600)")
    assert "did not answer within 1 s" in missing.reason


def test_without_jax_it_is_said_what_to_install(jax, monkeypatch):
    monkeypatch.setattr(tpu, "find_spec", lambda name: None)
    missing = find_tpu()
    assert "a sign of a TPU (TPU_ACCELERATOR_TYPE=v5e-1), but JAX" in missing.reason
    assert (missing.remedy, missing.there) == ("pip install 'jax[tpu]'", True)


@pytest.mark.parametrize(
    ("node", "variables", "seen"),
    [
        (None, COLAB, False),  # its variable is there without a TPU, and empty
        (None, {"COLAB_TPU_1VM": "1"}, True),
        ("accel0", {}, True),
        ("vfio/0", {}, True),
        ("vfio/vfio", {}, False),  # of every machine that has the module
        ("accel/accel0", {}, False),  # of other makers
    ],
)
def test_jax_is_asked_only_where_something_hints_at_a_tpu(
    jax, environment, monkeypatch, tmp_path, node, variables, seen
):
    environment(**variables)
    asked = []
    monkeypatch.setattr(tpu, "_ask_jax", lambda: asked.append(1) or Unavailable("no"))
    if node:
        (tmp_path / node).parent.mkdir(exist_ok=True)
        (tmp_path / node).touch()
    missing = jax()
    assert bool(asked) == seen
    if not seen:
        assert missing == Unavailable("there is no sign of a TPU in this machine")


# --- backends -------------------------------------------------------------------------------------

NOTHING = Packages(None, None, NEEDED)
ALL = Packages(Rapids("26.10.2", 12), "12.9", ())


@pytest.mark.parametrize(
    ("gpus", "there", "reason", "remedy"),
    [
        ([gpu()], ALL, None, None),
        ([gpu(), gpu(1, capability=(6, 1))], ALL, None, None),
        ([gpu()], NOTHING, "dask_cuda, cudf, cupy, rmm are not installed", "'.[cuda12]'"),
        ([gpu(cuda=(13, 0))], NOTHING, "are not installed", "'.[cuda13]'"),
        ([gpu()], Packages(None, None, ("rmm",)), "rmm is not installed", "'.[cuda12]'"),
        ([gpu(capability=(6, 1))], ALL, "a GPU cannot be used: RAPIDS needs", None),
        ([gpu(cuda=(11, 8))], ALL, "runs CUDA 11.8, but 12.0 is needed", "driver 525 or newer"),
        ([gpu(free=GIB)], ALL, "only 1.0 of its 15.0 GiB are free", "client.close()"),
        (
            [gpu()],
            Packages(Rapids("26.10.2", 13), None, ()),
            "needs a newer driver: 550.54 runs CUDA 12.4",
            "'.[cuda12]' in a new environment",
        ),
    ],
)
def test_what_keeps_a_gpu_from_use_is_said_with_what_mends_it(
    environment, gpus, there, reason, remedy
):
    missing = backends.why_no_cuda(Nvidia(tuple(gpus), None), there)
    if reason is None:
        assert missing is None
        return
    assert reason in missing.reason
    assert remedy in missing.remedy if remedy else missing.remedy is None
    assert missing.there


def test_in_colab_no_extra_is_installed_over_its_own_packages(environment):
    environment(**COLAB)
    missing = NOTHING.trouble_with([gpu()])
    assert "Disconnect and delete runtime" in missing.remedy
    assert "pip install" not in missing.remedy


def test_backends_are_the_engines_and_the_tpus_as_soon_as_it_has_one(monkeypatch):
    processor, none = cpu.processor(), Nvidia((), Unavailable("no GPU", "buy one"))
    found = backends.backends_of(processor, none, NOTHING, Tpu("TPU v5 lite", 1, None))
    assert [one.name for one in found] == ["reference", "cpu", "cuda", "tpu"]
    assert [one.usable for one in found] == [True, True, False, False]
    assert (found[2].what, found[2].remedy) == ("no GPU", "buy one")
    assert found[3].what == "the engine has no backend 'tpu' yet (TPU v5 lite, 1 device)"
    monkeypatch.setitem(backends.BACKENDS, "tpu", ".tpu")
    found = backends.backends_of(processor, none, NOTHING, Tpu("TPU v5 lite", 1, None))
    assert (found[3].usable, found[3].what) == (True, "TPU v5 lite, 1 device")
    found = backends.backends_of(processor, none, NOTHING, Unavailable("no TPU", "ask for one"))
    assert (found[3].usable, found[3].what, found[3].remedy) == (False, "no TPU", "ask for one")


# --- paninifs devices -----------------------------------------------------------------------------


def test_devices_prints_each_gpu_and_what_suits_it(machine, packages, capsys):
    packages(*NEEDED, cudf_cu13="26.10.2", nvidia_cuda_runtime="13.4.92")
    machine(Device("V100", capability=(7, 0)), A100, cuda=13000)
    commands.devices()
    told = said(capsys)
    assert "gpu 0: V100, 15.0 GiB (15.0 free), compute capability 7.0, 40 SMs; driver 550" in told
    assert "only the extra cuda12 (CUDA 13 builds do not support it)" in told
    assert "problem: RAPIDS 26.10.2 for CUDA 13 has no code for compute capability 7.0" in told
    assert "gpu 1: A100, 40.0 GiB" in told
    assert "gpu: none" not in told
    assert told.count("problem: RAPIDS") == 1
    assert "RAPIDS: 26.10.2 for CUDA 13 CUDA runtime: 13.4.92, installed by pip" in told
    assert "backend cuda: not usable, RAPIDS 26.10.2" in told
    assert "to fix it: pip install -e '.[cuda12]' in a new environment" in told
    commands.devices(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [one["extra"] for one in told["gpus"]] == ["cuda12", "cuda13"]
    assert [bool(one["trouble"]) for one in told["gpus"]] == [True, False]
    assert told["why_no_gpu"] is None
    assert told["packages"]["rapids"] == {"version": "26.10.2", "cuda": 13}
    assert told["connect"]["cluster"] == "cpu"


def test_devices_says_why_there_is_no_gpu_and_how_to_get_one(
    machine, packages, environment, capsys
):
    packages()
    environment(**COLAB)
    machine(fails="LIBRARY_NOT_FOUND")
    commands.devices()
    told = said(capsys)
    assert "platform: Colab (image release-colab_20260819)" in told
    assert "gpu: none (there is no NVIDIA GPU in this machine; in the menu choose Runtime" in told
    assert "tpu: none (there is no sign of a TPU in this machine)" in told
    assert "backend cpu: usable," in told
    assert "to fix it: in the menu choose Runtime, Change runtime type" in told
    assert (
        "connect() starts: cluster 'cpu': the processor's cores compute (there is no NVIDIA GPU"
        in told
    )
    assert re.search(r"short texts: [\d.]+ million per second, bound by [a-z ]+ \(", told)


def test_devices_as_json_is_all_of_it(machine, packages, environment, groups, capsys):
    packages()
    environment(SLURM_JOB_ID="42", SLURM_JOB_END_TIME="1795282628")
    machine(fails="LIBRARY_NOT_FOUND")
    groups("0::/", {f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": GIB})
    commands.devices(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["gpus"], told["packages"]["rapids"], told["tpu"]) == ([], None, None)
    assert told["why_no_gpu"]["reason"] == "there is no NVIDIA GPU in this machine"
    assert told["platform"]["ends"] == "2026-11-21T17:37:08+00:00"
    assert told["memory"] == {"total": 64 * GIB, "limit": 8 * GIB, "free": 7 * GIB}
    assert [one["name"] for one in told["backends"]] == ["reference", "cpu", "cuda", "tpu"]
    assert told["expected"] == asdict(pf.hardware().expected)
    commands.devices()
    assert (
        "memory: 8.0 GiB of the machine's 64.0 GiB, limited by its control group; 7.0 GiB free"
        in said(capsys)
    )


# --- the choice -----------------------------------------------------------------------------------

LOST = Unavailable("a GPU has fallen off the bus", "restart the machine", there=True)


@pytest.mark.parametrize(
    ("gpus", "missing", "workers", "line"),
    [
        ([gpu()], None, None, "cluster 'cuda': this machine has 1 GPU (a GPU)"),
        ([gpu(), gpu(1)], None, None, "cluster 'cuda': this machine has 2 GPUs (a GPU)"),
        ([gpu(), gpu(1)], None, 2, "cluster 'cuda': this machine has 2 GPUs (a GPU)"),
        (
            [gpu(), gpu(1)],
            None,
            3,
            "cluster 'cpu': 3 workers are requested, but 'cuda' has one for each of the 2 GPUs",
        ),
        (
            [],
            Unavailable("no GPU", "menu, GPU"),
            None,
            "cluster 'cpu': the processor's cores compute (no GPU)",
        ),
        (
            [],
            LOST,
            None,
            "cluster 'cpu': not 'cuda': a GPU has fallen off the bus; restart the machine",
        ),
        (
            [gpu()],
            Unavailable("rmm is not installed", "pip install it", there=True),
            2,
            "cluster 'cpu': not 'cuda': rmm is not installed; pip install it",
        ),
    ],
)
def test_the_cluster_is_chosen_by_what_there_is(gpus, missing, workers, line):
    assert str(selection.select(gpus, missing, workers)) == line


def test_the_choice_is_of_this_machine(machine, packages):
    packages(*NEEDED, **RAPIDS_12)
    machine(T4, Device(capability=(6, 1)))
    assert str(selection.select_cluster()) == "cluster 'cuda': this machine has 1 GPU (Tesla T4)"
    assert selection.select_cluster(2).cluster == "cpu"
    packages()
    assert "'cuda': dask_cuda, cudf, cupy, rmm are not installed; in the clone, pip" in str(
        selection.select_cluster()
    )
    machine(fails="LIBRARY_NOT_FOUND")
    assert selection.select_cluster().cluster == "cpu"


def test_connect_says_what_it_chose_and_why_before_the_link(machine, packages, capsys):
    packages(*NEEDED, **RAPIDS_12)
    machine(T4)
    with pf.connect(workers=2):
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("cluster 'cpu': 2 workers are requested, but 'cuda' has one")
        assert second.startswith("dask dashboard: ")
    with pf.connect("threads"):
        assert capsys.readouterr().out.startswith("dask dashboard: ")
    with pf.connect(workers=2, quiet=True):
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("nbytes", "backend", "sized", "cluster"),
    [
        (1000, None, False, "threads"),
        (1000, "cuda", False, "threads"),
        (1000, None, True, None),  # as `connect` chooses
        (10**10, None, False, None),
        (10**10, "cuda", False, None),
        (10**10, "cpu", False, "cpu"),  # which would leave GPUs idle
        (1000, "reference", True, "cpu"),
    ],
)
def test_a_small_corpus_takes_threads_and_gpus_only_what_is_for_them(
    nbytes, backend, sized, cluster
):
    assert cluster_for(nbytes, backend, sized=sized) == cluster


def test_to_choose_imports_nothing_heavy_and_asks_for_no_tpu(tmp_path):
    (tmp_path / "jax.py").write_text(f"open({str(tmp_path / 'asked')!r}, 'w')")
    code = (
        "import sys\nfrom paninifs.engine.hardware.selection import select_cluster\n"
        "select_cluster()\nprint(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={
            **os.environ,
            "TPU_NAME": "mine",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    heavy = {"distributed", "dask", "dask_cuda", "cudf", "cupy", "rmm", "numba", "pandas", "jax"}
    assert not heavy & set(ran.stdout.split())
    assert not (tmp_path / "asked").exists()
