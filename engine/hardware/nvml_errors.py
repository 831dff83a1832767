"""Explains errors of NVML: the many ways in which a driver can be unusable, with remedies.

Finding GPUs through NVML is in `nvml`.
"""

from __future__ import annotations

from pathlib import Path

from .platform import current_platform
from .unavailable import Unavailable

PCI = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"  # PCI vendor, and the prefix of graphics-card classes

_CAUSES = {
    "NVMLError_LibraryNotFound": (
        "there is an NVIDIA GPU in this machine, but no driver for it",
        "install NVIDIA's driver; in a container, give it access to GPUs (docker run --gpus all)",
    ),
    "NVMLError_DriverNotLoaded": (
        "NVIDIA's driver is installed but not loaded",
        "sudo modprobe nvidia; if that fails, reinstall the driver for this kernel",
    ),
    "NVMLError_LibRmVersionMismatch": (
        "NVIDIA's kernel driver and its library have different versions, perhaps after an update",
        "restart the machine",
    ),
    "NVMLError_NoPermission": (
        "this user may not use the NVIDIA driver",
        "ask the administrator for access to /dev/nvidia* (ls -l names the group)",
    ),
    "NVMLError_GpuIsLost": (
        "a GPU has fallen off the bus",
        "restart the machine; if it happens again, suspect power, heat or the card",
    ),
    "NVMLError_ResetRequired": (
        "a GPU needs a reset",
        "end the processes that use it, then sudo nvidia-smi --gpu-reset, or restart the machine",
    ),
}
"""Cause and remedy, by NVML's error class."""


class NvmlFailed(Exception):
    """Raised when NVML fails; carries the explanation."""

    def __init__(self, unavailable: Unavailable) -> None:
        super().__init__(str(unavailable))
        self.unavailable = unavailable


def explain(error: Exception) -> Unavailable:
    """Return what an error of NVML means on this machine."""
    kind = type(error).__name__
    if kind in ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded") and not _cards():
        # Colab has the driver's library in runtimes without a GPU, too.
        return Unavailable("there is no NVIDIA GPU in this machine", current_platform().gpu_remedy)
    if kind in _CAUSES:
        return Unavailable(*_CAUSES[kind], there=True)
    return Unavailable(
        f"the NVIDIA driver does not respond ({error})",
        "nvidia-smi may report more; restarting the machine often helps",
        there=True,
    )


def _cards() -> int:
    """Count NVIDIA's graphics cards on the PCI bus, with or without a driver."""
    return sum(
        _read(device / "vendor") == NVIDIA and _read(device / "class").startswith(DISPLAY)
        for device in (PCI.iterdir() if PCI.is_dir() else ())
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
