"""The backends that this machine can use; for the others, the reason and the remedy.

The devices themselves are detected in `cpu`, `nvml` and `tpu`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...graphs.kernels import BACKENDS
from .cpu import Cpu
from .nvml import Nvidia
from .packages import Packages
from .tpu import Tpu
from .unavailable import Unavailable


@dataclass(frozen=True)
class Backend:
    """A backend, and whether this machine can compute with it now."""

    name: str
    usable: bool
    what: str  # what it computes with, or why it is not usable
    remedy: str | None = None  # how to make it usable; None if no way is known


def backends_of(
    cpu: Cpu, nvidia: Nvidia, packages: Packages, tpu: Tpu | Unavailable
) -> tuple[Backend, ...]:
    """Return every backend of the engine, and always `tpu`, even while the engine has none.

    Examples
    --------
    >>> from paninifs import hardware
    >>> {one.name: one.usable for one in hardware().backends}["cpu"]
    True
    """
    states: dict[str, str | Unavailable] = {
        "reference": "plain NumPy: slow, for comparison",
        "cpu": f"{cpu.cores} cores, SHA-256 by {cpu.what}",
        "cuda": why_no_cuda(nvidia, packages) or "; ".join(map(str, nvidia.gpus)),
        "tpu": tpu if isinstance(tpu, Unavailable) else str(tpu),
    }
    for name in states.keys() - BACKENDS.keys():
        states[name] = Unavailable(f"the engine has no backend {name!r} yet ({states[name]})")
    return tuple(_backend(name, state) for name, state in states.items())


def _backend(name: str, state: str | Unavailable) -> Backend:
    if isinstance(state, Unavailable):
        return Backend(name, usable=False, what=state.reason, remedy=state.remedy)
    return Backend(name, usable=True, what=state)


def why_no_cuda(nvidia: Nvidia, packages: Packages) -> Unavailable | None:
    """Return why this machine cannot compute with GPUs; None if it can."""
    if nvidia.unavailable:
        return nvidia.unavailable
    usable = [gpu for gpu in nvidia.gpus if not gpu.unusable]
    if usable:
        return packages.trouble_with(usable)
    reasons = {gpu.name: gpu.unusable for gpu in nvidia.gpus if gpu.unusable}
    reason = "; ".join(f"the {name} cannot be used: {why.reason}" for name, why in reasons.items())
    remedy = next((why.remedy for why in reasons.values() if why.remedy), None)
    return Unavailable(reason, remedy, there=True)
