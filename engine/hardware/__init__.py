"""Hardware and platform of this machine: detected, never configured. One file per subject.

Nothing heavy is imported before it is needed, and no detection occupies a device. How long work
takes on a machine is in `costs`. May import `rendering`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .backends import Backend, backends_of
from .cpu import Cpu, processor
from .disk import Disk, free_disk
from .gpu import Gpu
from .memory import Memory, ram
from .nvml import nvidia
from .packages import Packages, installed_packages
from .platform import Platform, current_platform
from .tpu import Tpu, find_tpu
from .unavailable import Unavailable


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Hardware of this machine, and the backends that it can use now."""

    platform: Platform  # the service that runs it
    cpu: Cpu
    memory: Memory
    disk: Disk
    gpus: tuple[Gpu, ...]  # NVIDIA GPUs that CUDA_VISIBLE_DEVICES does not hide
    why_no_gpu: Unavailable | None  # None if there is at least one
    packages: Packages  # installed packages for GPUs
    tpu: Tpu | None
    why_no_tpu: Unavailable | None  # None if there is one
    backends: tuple[Backend, ...]

    def backend(self, name: str) -> Backend:
        """Return a backend by its name."""
        return next(one for one in self.backends if one.name == name)


def detect() -> Hardware:
    """Return this machine's hardware, and the backends that it can use now.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a SHA-256 implementation that this process cannot use.
    """
    cpu, gpus, packages, tpu = processor(), nvidia(), installed_packages(), find_tpu()
    return Hardware(
        platform=current_platform(),
        cpu=cpu,
        memory=ram(),
        disk=free_disk(),
        gpus=gpus.gpus,
        why_no_gpu=gpus.unavailable,
        packages=packages,
        tpu=None if isinstance(tpu, Unavailable) else tpu,
        why_no_tpu=tpu if isinstance(tpu, Unavailable) else None,
        backends=backends_of(cpu, gpus, packages, tpu),
    )
