"""A fake NVML with the GPUs that a test defines, and descriptions of real GPUs.

Implements the functions of pynvml that the engine calls, with the real constants and errors.
"""

# ruff: noqa: N802 (NVML's own function names)
from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pynvml

GIB = 2**30


@dataclass
class Device:
    """A device of the fake driver."""

    name: str = "Tesla T4"
    memory: int | None = 15 * GIB
    capability: tuple[int, int] = (7, 5)
    cores: int | None = 2560
    uuid: str = "GPU-aaaa-1"
    slices: tuple[Device | None, ...] = ()  # MIG slices; None is an empty position
    sms: int = 0  # multiprocessors of a slice
    used: int = 0  # bytes of memory in use
    links: tuple[int, ...] = ()  # state of each NVLink: 1 up, 0 down
    linked: tuple[str, ...] = ()  # UUIDs of the devices that NVLink reaches
    fails: str | None = None  # name of the NVML error raised when its handle is requested


class FakeNvml(ModuleType):
    """The functions of pynvml that the engine calls; counts unbalanced calls of nvmlInit."""

    def __init__(self, devices, driver="550.54.15", cuda=12040, fails=None):
        super().__init__("pynvml")
        self.opened, self.devices, self.fails = 0, devices, fails
        self.nvmlSystemGetDriverVersion = lambda: driver
        self.nvmlSystemGetCudaDriverVersion_v2 = lambda: cuda

    def __getattr__(self, name):
        if name.startswith("NVML"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self):
        if self.fails:
            raise error(self.fails)
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.devices[index].fails:
            raise error(self.devices[index].fails)
        return self.devices[index]

    def nvmlDeviceGetName(self, device):
        return device.name

    def nvmlDeviceGetUUID(self, device):
        return device.uuid

    def nvmlDeviceGetCudaComputeCapability(self, device):
        return device.capability

    def nvmlDeviceGetMemoryInfo(self, device):
        if device.memory is None:
            raise error("NOT_SUPPORTED")
        return SimpleNamespace(total=device.memory, free=device.memory - device.used)

    def nvmlDeviceGetNumGpuCores(self, device):
        if device.cores is None:
            raise error("NOT_SUPPORTED")
        return device.cores

    def nvmlDeviceGetMigMode(self, device):
        if device.capability < (8, 0):
            raise error("NOT_SUPPORTED")
        return [int(bool(device.slices)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return len(device.slices)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, number):
        if device.slices[number] is None:
            raise error("NOT_FOUND")
        return device.slices[number]

    def nvmlDeviceGetAttributes(self, device):
        return SimpleNamespace(multiprocessorCount=device.sms)

    def nvmlDeviceGetNvLinkState(self, device, link):
        if not device.links:
            raise error("NOT_SUPPORTED")
        if link >= len(device.links):
            raise error("INVALID_ARGUMENT")
        return device.links[link]

    def nvmlDeviceGetP2PStatus(self, device, other, what):
        assert what == pynvml.NVML_P2P_CAPS_INDEX_NVLINK
        if not device.links:
            raise error("NOT_SUPPORTED")
        linked = other is device or other.uuid in device.linked
        return pynvml.NVML_P2P_STATUS_OK if linked else pynvml.NVML_P2P_STATUS_NOT_SUPPORTED


def error(name):
    """Return the NVML error with a name, as an instance of pynvml's class for it."""
    return pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{name}"))


T4 = Device()
L4 = Device("NVIDIA L4", 23 * GIB, (8, 9), 7424, "GPU-4444-4")
V100 = Device("Tesla V100-SXM2-16GB", 16 * GIB, (7, 0), 5120, "GPU-7070-7")
A100 = Device("A100", 40 * GIB, (8, 0), 6912, "GPU-bbbb-2")
H100 = Device("NVIDIA H100 80GB HBM3", 80 * GIB, (9, 0), 16896, "GPU-9090-9")
SLICES = (
    Device("A100 MIG 1g", 5 * GIB, uuid="MIG-1", sms=14),
    None,
    Device("A100 MIG 2g", 10 * GIB, uuid="MIG-2", sms=28),
)
DIVIDED = Device("A100", 40 * GIB, (8, 0), 6912, "GPU-cccc-3", SLICES, links=(1, 1))
BRIDGED = tuple(
    Device("A100", 40 * GIB, (8, 0), 6912, uuid, links=(1, 1, 0, 1), linked=(other,))
    for uuid, other in (("GPU-1", "GPU-2"), ("GPU-2", "GPU-1"))
)
