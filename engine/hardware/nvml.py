"""The GPUs that NVML finds, and those of them that CUDA_VISIBLE_DEVICES leaves.

NVML comes with the driver and makes no CUDA context. What its errors mean is said in `driver`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .gpu import Gpu, Version
from .nvml_errors import NoAnswer, meaning
from .platform import where
from .unavailable import Missing

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Nvidia:
    """What there is of NVIDIA's in this machine."""

    gpus: tuple[Gpu, ...]  # in the variable's order; of one that MIG divides, its slices
    missing: Missing | None  # why there are none; None where there are


def nvidia() -> Nvidia:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, or why there are none.

    Examples
    --------
    >>> found = nvidia()
    >>> bool(found.gpus) == (found.missing is None)
    True
    """
    try:
        installed = _installed()
    except NoAnswer as error:
        return Nvidia((), error.missing)
    if not installed:
        why = "there is an NVIDIA driver, and no GPU that it shows this process"
        return Nvidia((), Missing(why, where().gpu_remedy))
    visible = _visible(installed)
    if visible:
        return Nvidia(visible, None)
    hidden = f"{VISIBLE}={os.environ[VISIBLE]!r} hides every one of the {len(installed)} GPUs"
    return Nvidia((), Missing(f"{hidden} that there are", f"unset {VISIBLE}", there=True))


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
                        index,
                        nvml.nvmlDeviceGetName(one),
                        memory,
                        capability,
                        driver,
                        cuda,
                        _sms_of_slice(nvml, one) if slices else _sms(nvml, device, capability),
                        nvml.nvmlDeviceGetUUID(one),
                        free,
                        # Slices cannot use them.
                        0 if slices else _nvlinks(nvml, device),
                        () if slices else _linked(nvml, index, devices),
                    )
                )
        return tuple(found)


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML; `NoAnswer` where it fails, with what that means."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoAnswer(meaning(error)) from error
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise NoAnswer(meaning(error)) from error
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


def _memory(nvml: Any, device: Any) -> tuple[int, int | None]:
    try:
        told = nvml.nvmlDeviceGetMemoryInfo(device)
    except nvml.NVMLError_NotSupported:
        return 0, None  # a system on a chip shares the host's
    return int(told.total), int(told.free)


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


def _nvlinks(nvml: Any, device: Any) -> int:
    """Count the NVLinks that are up: a GPU without any, or with fewer, says so by an error."""
    up = 0
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            up += nvml.nvmlDeviceGetNvLinkState(device, link) == nvml.NVML_FEATURE_ENABLED
        except nvml.NVMLError:
            break
    return up


def _linked(nvml: Any, index: int, devices: Sequence[Any]) -> tuple[int, ...]:
    """Return the other GPUs that NVLink reaches, through a switch or without one."""
    reached = []
    for other, device in enumerate(devices):
        if other == index:
            continue
        try:
            status = nvml.nvmlDeviceGetP2PStatus(
                devices[index], device, nvml.NVML_P2P_CAPS_INDEX_NVLINK
            )
        except nvml.NVMLError:
            continue  # an old driver, or one that does not tell
        if status == nvml.NVML_P2P_STATUS_OK:
            reached.append(other)
    return tuple(reached)
