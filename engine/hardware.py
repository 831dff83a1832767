"""What this machine computes with: found out, never configured.

Nothing heavy is imported before it is asked for. About GPUs NVML is asked, which makes no CUDA
context.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from ..storage.errors import BackendUnavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"
OLDEST_CAPABILITY = (7, 0)  # that RAPIDS has code for
OLDEST_CAPABILITY_CUDA13 = (7, 5)
OLDEST_RAPIDS = (26, 2)

Version = tuple[int, int]


@dataclass(frozen=True)
class Cpu:
    """The processor, and how the `cpu` backend uses it."""

    name: str  # LLVM's name of the microarchitecture
    cores: int  # that this process may use
    hashing: str  # the path to SHA-256 that is taken
    what: str  # in words
    usable: tuple[str, ...]  # every path that could be taken, the fastest first


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU, or a MIG slice of one, as NVML describes it.

    Examples
    --------
    >>> gpu = Gpu(0, "Tesla T4", 15 << 30, (7, 5), "550.54", (12, 4), 40, "GPU-0a1b")
    >>> gpu.extra
    'cuda12'
    """

    index: int  # on the bus, as nvidia-smi counts; of a slice, the GPU's that it is part of
    name: str
    memory: int  # bytes; 0 where it has none of its own
    capability: Version
    driver: str  # its version
    cuda: Version  # the newest that the driver runs
    sms: int | None  # None where NVML does not tell
    uuid: str

    @property
    def extra(self) -> str | None:
        """The extra of paninifs whose RAPIDS runs here; None when neither's does."""
        if self.capability < OLDEST_CAPABILITY or self.cuda < (12, 0):
            return None
        old = self.capability < OLDEST_CAPABILITY_CUDA13 or self.cuda < (13, 0)
        return "cuda12" if old else "cuda13"

    @property
    def advice(self) -> str:
        """What to install for it, or why nothing can be."""
        if self.capability < OLDEST_CAPABILITY:
            return f"not usable: RAPIDS needs compute capability {_dotted(OLDEST_CAPABILITY)}"
        if self.extra is None:
            return f"not usable: its driver runs CUDA {_dotted(self.cuda)}, and 12.0 is needed"
        if self.capability < OLDEST_CAPABILITY_CUDA13:
            return "only the extra cuda12 (CUDA 13 builds dropped it)"
        return f"the extra {self.extra}"

    @property
    def cuda_name(self) -> int | str:
        """What CUDA_VISIBLE_DEVICES calls it, where CUDA counts as NVML does."""
        return self.uuid if self.uuid.startswith("MIG-") else self.index

    def __str__(self) -> str:
        memory = f"{self.memory / 2**30:.1f} GiB" if self.memory else "the host's memory"
        sms = f", {self.sms} SMs" if self.sms else ""
        return (
            f"{self.name}, {memory}, compute capability {_dotted(self.capability)}{sms}; "
            f"driver {self.driver} (CUDA {_dotted(self.cuda)})"
        )


@dataclass(frozen=True)
class Rapids:
    """The RAPIDS that is installed."""

    version: str
    cuda: int | None  # the CUDA that it is built for; None where its package does not say

    def trouble_with(self, gpu: Gpu) -> str | None:
        """Say why it does not do for a GPU; None when it does.

        >>> gpu = Gpu(0, "Tesla V100", 16 << 30, (7, 0), "580.1", (13, 0), 80, "GPU-0a1b")
        >>> Rapids("26.10.2", cuda=13).trouble_with(gpu)
        "RAPIDS 26.10.2 for CUDA 13 has no code for compute capability 7.0: pip install -e \
'.[cuda12]' in a new environment"
        """
        year, month = (int(part) for part in self.version.split(".")[:2])
        built = f"RAPIDS {self.version}" + (f" for CUDA {self.cuda}" if self.cuda else "")
        if (year, month) < OLDEST_RAPIDS:
            problem = f"is too old, {OLDEST_RAPIDS[0]}.{OLDEST_RAPIDS[1]:02} is the first to do"
        elif self.cuda == 13 and gpu.capability < OLDEST_CAPABILITY_CUDA13:
            problem = f"has no code for compute capability {_dotted(gpu.capability)}"
        elif self.cuda and (self.cuda, 0) > gpu.cuda:
            problem = f"needs a newer driver: {gpu.driver} runs CUDA {_dotted(gpu.cuda)}"
        else:
            return None
        return f"{built} {problem}: pip install -e '.[{gpu.extra}]' in a new environment"


def cpu() -> Cpu:
    """Return what is known of the processor.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a path that this process cannot take.

    Examples
    --------
    >>> found = cpu()
    >>> found.hashing in found.usable
    True
    """
    import llvmlite.binding
    from dask.system import CPU_COUNT

    from ..graphs.kernels import sha_paths

    path = sha_paths.chosen()
    name = llvmlite.binding.get_host_cpu_name()
    return Cpu(name, CPU_COUNT, path.name, path.what, sha_paths.usable())


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; of a divided one, its slices.

    Empty where there is none, or no driver; `why_no_gpu` then says why. Makes no CUDA context.
    """
    try:
        return _visible(_installed())
    except BackendUnavailable:
        return ()


def why_no_gpu() -> str | None:
    """Say why `gpus` finds none; None when it finds some."""
    try:
        installed = _installed()
    except BackendUnavailable as error:
        return str(error)
    if _visible(installed):
        return None
    if not installed:
        return "there is an NVIDIA driver, and no GPU"
    return (
        f"{VISIBLE}={os.environ[VISIBLE]!r} hides every one of the {len(installed)} that there are"
    )


def rapids() -> Rapids | None:
    """Return the RAPIDS that is installed, by its packages' names: nothing of it is imported."""
    for name, cuda in (("cudf-cu13", 13), ("cudf-cu12", 12), ("cudf", None)):
        try:
            return Rapids(metadata.version(name), cuda)
        except metadata.PackageNotFoundError:
            continue
    return None


def _visible(installed: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    names = os.environ.get(VISIBLE)
    if names is None:
        return installed
    chosen: dict[Gpu, None] = {}
    for name in names.split(","):
        called = [gpu for gpu in installed if _is_called(gpu, name.strip())]
        if not called:
            break  # CUDA does not look past a name that is none: how one writes "no GPU"
        chosen.update(dict.fromkeys(called))
    return tuple(chosen)


def _is_called(gpu: Gpu, name: str) -> bool:
    """Whether a name in CUDA_VISIBLE_DEVICES is a GPU's: its number, or how its UUID begins."""
    return name == str(gpu.index) or (
        name.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(name)
    )


def _installed() -> tuple[Gpu, ...]:
    with _nvml() as nvml:
        driver = nvml.nvmlSystemGetDriverVersion()
        newest = nvml.nvmlSystemGetCudaDriverVersion_v2()
        cuda = (newest // 1000, newest % 1000 // 10)
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            capability = nvml.nvmlDeviceGetCudaComputeCapability(device)
            slices = _slices(nvml, device)
            found += [
                Gpu(
                    index,
                    nvml.nvmlDeviceGetName(one),
                    _memory(nvml, one),
                    capability,
                    driver,
                    cuda,
                    _sms_of_slice(nvml, one) if slices else _sms(nvml, device, capability),
                    nvml.nvmlDeviceGetUUID(one),
                )
                for one in slices or [device]
            ]
        return tuple(found)


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, which comes with the driver; `BackendUnavailable` where it does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise BackendUnavailable(f"no NVIDIA driver answers ({error})") from error
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise BackendUnavailable(f"the NVIDIA driver does not answer ({error})") from error
    finally:
        pynvml.nvmlShutdown()


def _slices(nvml: Any, device: Any) -> list[Any]:
    """Return the slices of a GPU that MIG divides; none of one that it does not."""
    try:
        if nvml.nvmlDeviceGetMigMode(device)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return []
    except nvml.NVMLError_NotSupported:
        return []
    slices = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, number))
        except nvml.NVMLError_NotFound:
            continue  # a place that holds no slice
    return slices


def _memory(nvml: Any, device: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(device).total)
    except nvml.NVMLError_NotSupported:
        return 0  # a system on a chip shares the host's


def _sms(nvml: Any, device: Any, capability: Version) -> int | None:
    """Count multiprocessors by their cores, which is what NVML counts."""
    halved = capability[0] == 7 or capability in ((6, 0), (8, 0))
    try:
        return int(nvml.nvmlDeviceGetNumGpuCores(device)) // (64 if halved else 128)
    except nvml.NVMLError:
        return None  # an old driver, or one that does not tell


def _sms_of_slice(nvml: Any, device: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetAttributes(device).multiprocessorCount)
    except nvml.NVMLError:
        return None


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
