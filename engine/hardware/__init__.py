"""What this machine is: detected, never configured. One file per subject, put together here.

Nothing heavy is imported before it is needed, and no detection occupies a device. May import
`rendering`; what work takes on a machine is in `costs`.
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
    """What this machine is, and what it can compute with now."""

    platform: Platform  # the service that runs it
    cpu: Cpu
    memory: Memory
    disk: Disk
    gpus: tuple[Gpu, ...]  # NVIDIA GPUs that CUDA_VISIBLE_DEVICES does not hide
    why_no_gpu: Unavailable | None  # None if there are any
    packages: Packages  # installed packages for GPUs
    tpu: Tpu | None
    why_no_tpu: Unavailable | None  # None if there is one
    backends: tuple[Backend, ...]

    def backend(self, name: str) -> Backend:
        """Return a backend by its name."""
        return next(one for one in self.backends if one.name == name)


def hardware() -> Hardware:
    """Return what this machine is, and what it can compute with now.

    This takes a second; with signs of a TPU a few seconds, because JAX is queried in a process of
    its own that exits at once. This process occupies no device.

    Returns
    -------
    Hardware

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a hashing path that this process cannot use.

    Examples
    --------
    >>> import paninifs as pf
    >>> machine = pf.hardware()
    >>> machine.backend("cpu").usable, machine.memory.free > 0
    (True, True)
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
