"""`recommended_cluster`: the cluster that `connect` starts here, in agreement with `advise`.

`connect` knows no corpus and no graph. A usable GPU is always used: a large corpus of short texts
takes no longer with it than with the cores of its host alone, as these read for it, and models,
which cannot be foreseen, are tens of times as fast. The price is the seconds that CUDA takes to
start. Where the cores are predicted to be faster all the same, the answer says so in its one line.
What can be started at all is found in `hardware.selection`.
"""

from __future__ import annotations

from dataclasses import replace

from ...storage.errors import PaniniError
from ..costs.calibration import Calibration
from ..costs.catalogue import Catalogue, Machine
from ..costs.catalogue_files import open_catalogue
from ..costs.prediction import predict
from ..costs.this_machine import calibration_of, describe_this_machine
from ..costs.work import TYPICAL, Work
from ..hardware.cpu import processor
from ..hardware.selection import Selection, select_cluster
from ..rendering.quantities import times
from .ranking import ALIKE


def recommended_cluster(
    workers: int | tuple[int, int] | None = None,
    *,
    catalogue: Catalogue | None = None,
    work: Work = TYPICAL,
) -> Selection:
    """Return the cluster to start on this machine, and why.

    Parameters
    ----------
    workers : int or pair of int, optional
        Requested number of workers, or its minimum and maximum.
    catalogue : Catalogue, optional
        By default today's, or the user's own.
    work : Work
        What the cluster is for, if that is known.
    """
    selected = select_cluster(workers)
    if selected.cluster != "cuda":
        return selected
    try:
        own = describe_this_machine(catalogue or open_catalogue())
        note = note_on_cores(own, work, calibration_of(processor()))
    except (PaniniError, OSError):  # nothing can be predicted, so there is nothing to add
        return selected
    return replace(selected, why=selected.why + note)


def note_on_cores(machine: Machine, work: Work, calibration: Calibration | None = None) -> str:
    """Return that the cores of a GPU's host are faster without it; empty if they are not.

    Raises
    ------
    UsageError
        Too little is known about the machine.

    Examples
    --------
    >>> t4 = open_catalogue().machine("T4")
    >>> note_on_cores(t4, TYPICAL)
    ''
    >>> note_on_cores(replace(t4, cores=7, gpus=4), TYPICAL)
    "; for hashing, connect('cpu') is predicted to be 1.4 times as fast"
    """
    if machine.kind != "gpu" or work.kind != "hashing":
        return ""
    cores = replace(machine, kind="cpu", backend="cpu")
    with_gpu, without = (predict(one, work, calibration) for one in (machine, cores))
    faster = with_gpu.seconds / without.seconds
    if faster < ALIKE:
        return ""
    return f"; for hashing, connect('cpu') is predicted to be {times(faster)} times as fast"
