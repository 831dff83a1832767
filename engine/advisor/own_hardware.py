"""`hardware`: this machine's hardware, and what a run over short texts is expected to do on it.

The hardware is detected in `engine.hardware`, the run is predicted in `costs.prediction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...storage.errors import PaniniError
from ..costs.catalogue_files import open_catalogue
from ..costs.prediction import predict
from ..costs.this_machine import calibration_of, describe_this_machine
from ..costs.work import TYPICAL
from ..hardware import Hardware, detect
from ..hardware.cpu import processor


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a run of the default graph over texts of 100 bytes is predicted to do."""

    texts_per_second: float  # on the whole machine, with the start of the run
    bound: str  # what limits it, such as "reading and writing", "hashing", "bus"
    limits: Mapping[str, float]  # with a GPU: texts per second that each part allows, by name
    basis: str  # "calibrated", "scaled" from another machine, or "arithmetic"

    def __str__(self) -> str:
        rate = f"{self.texts_per_second / 1e6:.2g} million per second"
        return f"{rate}, bound by {self.bound} ({self.basis})"


@dataclass(frozen=True, kw_only=True)
class OwnHardware(Hardware):
    """Hardware of this machine, the backends that it can use now, and what limits a run."""

    expected: Expected | None  # None if too little is known about the machine


def hardware() -> OwnHardware:
    """Return this machine's hardware, the backends that it can use now, and what limits a run.

    This takes a second. If there are signs of a TPU it takes a few seconds, because JAX is queried
    in a separate process that exits at once. The calling process never occupies a device.

    Returns
    -------
    OwnHardware

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a SHA-256 implementation that this process cannot use.

    Examples
    --------
    >>> import paninifs as pf
    >>> machine = pf.hardware()
    >>> machine.backend("cpu").usable, machine.memory.free > 0
    (True, True)
    >>> machine.expected.texts_per_second > 0
    True
    """
    found = detect()
    return OwnHardware(**vars(found), expected=expected_here())


def expected_here() -> Expected | None:
    """Predict `TYPICAL` work on this machine; None if too little is known about it."""
    try:
        own = describe_this_machine(open_catalogue())
        found = predict(own, TYPICAL, calibration_of(processor()))
    except (PaniniError, OSError):
        return None
    return Expected(
        texts_per_second=TYPICAL.texts / found.seconds,
        bound=found.bound,
        limits=found.limits,
        basis=found.basis,
    )
