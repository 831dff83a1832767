"""What this machine can compute with, backend by backend; why not, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass

from ...graphs.kernels import BACKENDS
from .cpu import Cpu
from .nvml import Nvidia
from .packages import Packages
from .tpu import Tpu
from .unavailable import Missing


@dataclass(frozen=True)
class Backend:
    """A backend, and whether this machine can compute with it now."""

    name: str
    usable: bool
    what: str  # what it computes with; where it is not usable, why
    remedy: str | None = None  # what makes it usable; None where nothing that we know of does


def backends_of(
    cpu: Cpu, nvidia: Nvidia, packages: Packages, tpu: Tpu | Missing
) -> tuple[Backend, ...]:
    """Return every backend of the engine's, and the TPU's whether it has one or not.

    Examples
    --------
    >>> from paninifs import hardware
    >>> {one.name: one.usable for one in hardware().backends}["cpu"]
    True
    """
    found: dict[str, str | Missing] = {
        "reference": "plain NumPy: slow, for comparison",
        "cpu": f"{cpu.cores} cores, SHA-256 by {cpu.what}",
        "cuda": why_no_cuda(nvidia, packages) or "; ".join(map(str, nvidia.gpus)),
        "tpu": tpu if isinstance(tpu, Missing) else str(tpu),
    }
    for name in found.keys() - BACKENDS.keys():
        found[name] = Missing(f"the engine has no backend {name!r} so far ({found[name]})")
    return tuple(_backend(name, one) for name, one in found.items())


def _backend(name: str, found: str | Missing) -> Backend:
    if isinstance(found, Missing):
        return Backend(name, usable=False, what=found.reason, remedy=found.remedy)
    return Backend(name, usable=True, what=found)


def why_no_cuda(nvidia: Nvidia, packages: Packages) -> Missing | None:
    """Say why nothing can be computed with GPUs here; None when it can."""
    if nvidia.missing:
        return nvidia.missing
    usable = [gpu for gpu in nvidia.gpus if not gpu.unusable]
    if usable:
        return packages.trouble_with(usable)
    told = {gpu.name: gpu.unusable for gpu in nvidia.gpus if gpu.unusable}
    reason = "; ".join(f"the {name} cannot be used: {why.reason}" for name, why in told.items())
    remedy = next((why.remedy for why in told.values() if why.remedy), None)
    return Missing(reason, remedy, there=True)
