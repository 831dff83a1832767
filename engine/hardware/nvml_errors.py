"""What it means that NVML fails: which of the many ways in which a driver is not there."""

from __future__ import annotations

from pathlib import Path

from .platform import where
from .unavailable import Missing

PCI = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"  # a vendor of PCI, and how classes of graphics cards begin

_CAUSES = {
    "NVMLError_LibraryNotFound": (
        "there is an NVIDIA GPU in this machine, and no driver for it",
        "install NVIDIA's driver; in a container, start that with its GPUs (docker run --gpus all)",
    ),
    "NVMLError_DriverNotLoaded": (
        "NVIDIA's driver is installed and not loaded",
        "sudo modprobe nvidia; where that fails, install the driver again for this kernel",
    ),
    "NVMLError_LibRmVersionMismatch": (
        "NVIDIA's driver in the kernel and its library are of different versions (an update?)",
        "restart the machine",
    ),
    "NVMLError_NoPermission": (
        "this user may not use the NVIDIA driver",
        "have the administrator let you use /dev/nvidia* (ls -l names the group)",
    ),
    "NVMLError_GpuIsLost": (
        "a GPU has fallen off the bus",
        "restart the machine; where it happens again, power, heat or the card is at fault",
    ),
    "NVMLError_ResetRequired": (
        "a GPU needs a reset",
        "end what uses it, then sudo nvidia-smi --gpu-reset, or restart the machine",
    ),
}
"""By NVML's error class: what happened, and what mends it."""


class NoAnswer(Exception):
    """NVML failed."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(str(missing))
        self.missing = missing


def meaning(error: Exception) -> Missing:
    """Return what one of NVML's errors means in this machine."""
    kind = type(error).__name__
    if kind in ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded") and not _cards():
        # Colab has the library of the driver in runtimes without a GPU too.
        return Missing("there is no NVIDIA GPU in this machine", where().gpu_remedy)
    if kind in _CAUSES:
        return Missing(*_CAUSES[kind], there=True)
    return Missing(
        f"the NVIDIA driver does not answer ({error})",
        "nvidia-smi may say more; a restart of the machine often helps",
        there=True,
    )


def _cards() -> int:
    """Count NVIDIA's graphics cards on the PCI bus, whether there is a driver or not."""
    return sum(
        _read(device / "vendor") == NVIDIA and _read(device / "class").startswith(DISPLAY)
        for device in (PCI.iterdir() if PCI.is_dir() else ())
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
