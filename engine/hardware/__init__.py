"""What machine this is: found out, never configured. A file a subject, put together here.

Nothing heavy is imported before it is asked for, and nothing that is asked takes a device.
"""

from __future__ import annotations

from dataclasses import dataclass

from .backends import Backend, backends_of
from .cpu import Cpu, processor
from .disk import Disk, free_disk
from .gpu import Gpu
from .memory import Memory, ram
from .nvml import nvidia
from .packages import Packages, installed
from .platform import Platform, where
from .tpu import Tpu, find_tpu
from .unavailable import Missing


@dataclass(frozen=True)
class Hardware:
    """What this machine is, and what it can compute with now."""

    platform: Platform  # the service that runs it
    cpu: Cpu
    memory: Memory
    disk: Disk
    gpus: tuple[Gpu, ...]  # NVIDIA's, that CUDA_VISIBLE_DEVICES leaves
    why_no_gpu: Missing | None  # None where there are some
    packages: Packages  # for GPUs, that are installed
    tpu: Tpu | None
    why_no_tpu: Missing | None  # None where there is one
    backends: tuple[Backend, ...]

    def backend(self, name: str) -> Backend:
        """Return a backend by its name."""
        return next(one for one in self.backends if one.name == name)


def hardware() -> Hardware:
    """Return what this machine is, and what it can compute with now.

    It takes a second; where something hints at a TPU some more, for JAX is asked for it, in a
    process of its own that ends at once: this one takes no device.

    Returns
    -------
    Hardware

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a way of hashing that this process cannot take.

    Examples
    --------
    >>> import paninifs as pf
    >>> machine = pf.hardware()
    >>> machine.backend("cpu").usable, machine.memory.free > 0
    (True, True)
    """
    cpu, found, there, asked = processor(), nvidia(), installed(), find_tpu()
    return Hardware(
        platform=where(),
        cpu=cpu,
        memory=ram(),
        disk=free_disk(),
        gpus=found.gpus,
        why_no_gpu=found.missing,
        packages=there,
        tpu=None if isinstance(asked, Missing) else asked,
        why_no_tpu=asked if isinstance(asked, Missing) else None,
        backends=backends_of(cpu, found, there, asked),
    )
