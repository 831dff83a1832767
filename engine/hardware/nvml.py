"""The GPUs that NVML finds and CUDA_VISIBLE_DEVICES does not hide.

NVML comes with the driver and creates no CUDA context. Its errors are explained in `nvml_errors`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .gpu import Gpu, Version
from .nvml_errors import NvmlFailed, explain
from .platform import current_platform
from .unavailable import Unavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Nvidia:
    """The NVIDIA GPUs of this machine."""

    gpus: tuple[Gpu, ...]  # in the order of CUDA_VISIBLE_DEVICES; MIG slices instead of their GPU
    unavailable: Unavailable | None  # why there are none; None if there are any


def nvidia() -> Nvidia:
    """Return the GPUs that CUDA_VISIBLE_DEVICES does not hide, or why there are none.

    Examples
    --------
    >>> found = nvidia()
    >>> bool(found.gpus) == (found.unavailable is None)
    True
    """
    try:
        installed = _installed()
    except NvmlFailed as error:
        return Nvidia((), error.unavailable)
    if not installed:
        why = "an NVIDIA driver is installed, but it shows no GPU to this process"
        return Nvidia((), Unavailable(why, current_platform().gpu_remedy))
    visible = _visible(installed)
    if visible:
        return Nvidia(visible, None)
    hidden = f"{VISIBLE}={os.environ[VISIBLE]!r} hides all of the machine's {len(installed)} GPUs"
    return Nvidia((), Unavailable(hidden, f"unset {VISIBLE}", there=True))


def _visible(installed: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    names = os.environ.get(VISIBLE)
    if names is None:
        return installed
    visible: dict[Gpu, None] = {}
    for name in names.split(","):
        named = [gpu for gpu in installed if _is_named(gpu, name.strip())]
        if not named:
            break  # CUDA ignores names after an invalid one, which is how "no GPU" is written
        visible.update(dict.fromkeys(named))
    return tuple(visible)


def _is_named(gpu: Gpu, name: str) -> bool:
    """Return whether a name in CUDA_VISIBLE_DEVICES is a GPU's number, or a prefix of its UUID."""
    return name == str(gpu.index) or (
        name.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(name)
    )


def _installed() -> tuple[Gpu, ...]:
    with _nvml() as nvml:
        driver = nvml.nvmlSystemGetDriverVersion()
        newest = nvml.nvmlSystemGetCudaDriverVersion_v2()
        cuda = (newest // 1000, newest % 1000 // 10)
        devices = [
            nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())
        ]
        found = []
        for index, device in enumerate(devices):
            capability = nvml.nvmlDeviceGetCudaComputeCapability(device)
            slices = _slices(nvml, device)
            for one in slices or [device]:
                memory, free = _memory(nvml, one)
                found.append(
                    Gpu(
                        index=index,
                        name=nvml.nvmlDeviceGetName(one),
                        memory=memory,
                        capability=capability,
                        driver=driver,
                        cuda=cuda,
                        sms=_sms_of_slice(nvml, one) if slices else _sms(nvml, device, capability),
                        uuid=nvml.nvmlDeviceGetUUID(one),
                        free=free,
                        # Slices cannot use NVLink.
                        nvlinks=0 if slices else _nvlinks(nvml, device),
                        linked=() if slices else _linked(nvml, index, devices),
                    )
                )
        return tuple(found)


@contextmanager
def _nvml() -> Iterator[Any]:
    """Yield NVML, initialised; raise `NvmlFailed` with an explanation if it fails."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlFailed(explain(error)) from error
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise NvmlFailed(explain(error)) from error
    finally:
        pynvml.nvmlShutdown()


def _slices(nvml: Any, device: Any) -> list[Any]:
    """Return the slices of a GPU divided by MIG; none for an undivided one."""
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
            continue  # an empty slot
    return slices


def _memory(nvml: Any, device: Any) -> tuple[int, int | None]:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
    except nvml.NVMLError_NotSupported:
        return 0, None  # a system on a chip shares the host's memory
    return int(memory.total), int(memory.free)


def _sms(nvml: Any, device: Any, capability: Version) -> int | None:
    """Derive the number of multiprocessors from the number of cores, which NVML reports."""
    halved = capability[0] == 7 or capability in ((6, 0), (8, 0))
    try:
        return int(nvml.nvmlDeviceGetNumGpuCores(device)) // (64 if halved else 128)
    except nvml.NVMLError:
        return None  # an old driver, or one that does not report it


def _sms_of_slice(nvml: Any, device: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetAttributes(device).multiprocessorCount)
    except nvml.NVMLError:
        return None


def _nvlinks(nvml: Any, device: Any) -> int:
    """Count the NVLinks that are up; NVML raises an error past a GPU's last link."""
    up = 0
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            up += nvml.nvmlDeviceGetNvLinkState(device, link) == nvml.NVML_FEATURE_ENABLED
        except nvml.NVMLError:
            break
    return up


def _linked(nvml: Any, index: int, devices: Sequence[Any]) -> tuple[int, ...]:
    """Return the other GPUs that NVLink reaches, directly or through a switch."""
    reached = []
    for other, device in enumerate(devices):
        if other == index:
            continue
        try:
            status = nvml.nvmlDeviceGetP2PStatus(
                devices[index], device, nvml.NVML_P2P_CAPS_INDEX_NVLINK
            )
        except nvml.NVMLError:
            continue  # an old driver, or one that does not report it
        if status == nvml.NVML_P2P_STATUS_OK:
            reached.append(other)
    return tuple(reached)
