"""`fit`: whether a piece of work fits in a machine's memory.

For models it is computed from their parameters, not from tables of "up to a billion parameters on
that card", which contradict one another. Times on a GPU or TPU assume FP16, so the parameters
have to fit there in FP16; a CPU computes in FP32.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..costs.catalogue import Machine
from ..costs.prediction import Prediction
from ..costs.work import HALF_PARAMETER_BYTES, PARAMETER_BYTES, Work


@dataclass(frozen=True)
class Fit:
    """Whether work fits, with a reason."""

    fits: bool | None  # None if the machine's memory is not known
    reason: str  # empty if there is nothing to say


def fit(work: Work, machine: Machine, prediction: Prediction | None) -> Fit:
    """Return whether work fits in a machine: its models, one at a time, or the predicted memory.

    Examples
    --------
    >>> from paninifs.engine.costs.work import Model
    >>> work = Work(1000, kind="embedding", models=(Model("large", 7_000_000_000),))
    >>> t4 = Machine(name="T4", title="T4", kind="gpu", backend="cuda", memory_gb=16)
    >>> fit(work, t4, None).reason
    'needs 16.0 GB in FP16 (2 bytes per parameter) of its 16.0 GB'
    """
    available = machine.memory_bytes
    need, wording = _needed(work, prediction, device=machine.kind != "cpu")
    if prediction is not None and machine.ram_gb and prediction.host_bytes > machine.ram_gb * 1e9:
        host, ram = _gb(prediction.host_bytes), _gb(machine.ram_gb * 1e9)
        return Fit(False, f"needs {host} of host memory, but the host has {ram}")
    if available is None:
        return Fit(None, f"its memory is not known; the work needs {wording}" if need else "")
    if need <= available:
        return Fit(True, f"needs {wording} of its {_gb(available)}" if need else "")
    return Fit(False, f"needs {wording}, but has {_gb(available)}")


def _needed(work: Work, prediction: Prediction | None, *, device: bool) -> tuple[int, str]:
    """Return the bytes needed where the work is done, as a number and in words."""
    if work.models:
        each, precision = (HALF_PARAMETER_BYTES, "FP16") if device else (PARAMETER_BYTES, "FP32")
        need = work.model_bytes(each)
        return need, f"{_gb(need)} in {precision} ({each} bytes per parameter)"
    if prediction is None:
        return 0, ""
    need = prediction.device_bytes if device else prediction.host_bytes
    return need, _gb(need)


def _gb(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB"
