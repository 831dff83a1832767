"""`cascade`: which of the machines that a user would rather have this one is, and what to do.

A process cannot get itself another accelerator: its user picks one in a menu, or with a job. So it
is advice, in the order of the user's own preference; a TPU where no GPU is to be had, a CPU last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...graphs.kernels import BACKENDS
from ...storage.errors import UsageError
from ..costs.catalogue import Catalogue, Machine
from ..costs.catalogue_files import open_catalogue
from ..costs.prediction import predict
from ..costs.pricing import Alternative, Cost, Return, compare, price
from ..costs.this_machine import (
    catalogued_machine,
    describe_this_machine,
    machine_with_gpu,
    usable_gpus,
)
from ..costs.work import Work
from ..hardware.gpu import Gpu
from ..hardware.platform import current_platform
from ..rendering.quantities import dollars, duration, units

MEASURE = Work(100_000_000, mean_bytes=100)
"""What machines are compared with each other by."""

CPU = "CPU"


@dataclass(frozen=True)
class Cascade:
    """Which of the preferred machines is here, and what its user should know."""

    here: str  # as a catalogue calls it
    preferred: bool  # whether it is among those
    told: tuple[str, ...]  # a sentence each

    def __str__(self) -> str:
        """Return it, a line each."""
        return "\n".join(self.told)


def cascade(
    prefer: Sequence[str],
    gpus: Sequence[Gpu],
    own: Machine | None,
    remedy: str | None,
    catalogue: Catalogue,
) -> Cascade:
    """Say which of the preferred machines is here, what to pick instead, and when that pays.

    Parameters
    ----------
    prefer : sequence of str
        Machines of the catalogue, the best first, as ``["L4", "T4", "A100"]``.
    gpus : sequence of Gpu
        Those of this machine that can be used.
    own : Machine, optional
        This machine, for its price; None where none is known.
    remedy : str, optional
        How one gets another machine where this one is.

    Raises
    ------
    UsageError
        There are none, or one that is unknown: the message lists those that there are.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> print(cascade(["L4", "T4"], [], None, "choose one", open_catalogue()).told[0])
    none of L4, T4 is here, but a CPU: choose one (L4, else T4)
    """
    if isinstance(prefer, str) or not prefer:
        raise UsageError("prefer is a list of machines, as prefer=['L4', 'T4', 'A100']")
    wanted = [catalogue.machine(name) for name in prefer]
    here = _called(gpus, wanted, catalogue)
    better = prefer[: prefer.index(here)] if here in prefer else prefer
    told = [_said(here, prefer, better, remedy)]
    if better and own is None:
        told.append("whether another one pays is not known: the catalogue has no price of this one")
    elif own is not None:
        told += _upgrades(own, [one for one in wanted if one.name in better], catalogue)
    if not gpus:
        told.append(_without_gpu(wanted))
    return Cascade(here, here in prefer, tuple(told))


def look_for(prefer: Sequence[str]) -> Cascade:
    """Return the cascade of this machine, by today's catalogue or the user's own."""
    catalogue = open_catalogue()
    own = describe_this_machine(catalogue) if catalogued_machine(catalogue) else None
    return cascade(prefer, usable_gpus(), own, current_platform().gpu_remedy, catalogue)


def _called(gpus: Sequence[Gpu], wanted: Sequence[Machine], catalogue: Catalogue) -> str:
    """Return what this machine is called; an A100 of any size is the one that is wanted."""
    if not gpus:
        return CPU
    known = machine_with_gpu(gpus[0], wanted) or machine_with_gpu(
        gpus[0], catalogue.machines.values()
    )
    return known.name if known else gpus[0].name


def _said(here: str, prefer: Sequence[str], better: Sequence[str], remedy: str | None) -> str:
    if not better:
        return f"{here} is here, the first of {', '.join(prefer)}"
    instead = f"{remedy or 'take another machine'} ({', else '.join(better)})"
    if here in prefer:
        return f"{here} is here, and not {', '.join(better)}, which you prefer: {instead}"
    return f"none of {', '.join(prefer)} is here, but a {here}: {instead}"


def _without_gpu(wanted: Sequence[Machine]) -> str:
    """Say what is left where no GPU is to be had."""
    if "tpu" in BACKENDS:
        return "where no GPU is to be had, a TPU is next, and the CPU last"
    none = ", so those that you name are of no use yet" if any(_tpu(one) for one in wanted) else ""
    return (
        "where no GPU is to be had a TPU would be next, but the engine has no backend for it so "
        f"far{none}; the CPU is last, and computes the same bits"
    )


def _tpu(machine: Machine) -> bool:
    return machine.kind == "tpu"


def _upgrades(here: Machine, wanted: Sequence[Machine], catalogue: Catalogue) -> Iterator[str]:
    """Yield when another machine instead of this one pays, for each that can be reckoned."""
    for other in wanted:
        try:
            mine, theirs = (_taken(one, catalogue) for one in (here, other))
        except UsageError as error:
            yield f"whether {other.name} would pay is not known: {error}"
            continue
        yield (
            f"{other.name} instead of {here.name}: {MEASURE.texts:,} texts of "
            f"{MEASURE.mean_bytes:g} bytes take {duration(theirs.hours * 3600)} instead of "
            f"{duration(mine.hours * 3600)}, and cost {_paid(theirs)} instead of {_paid(mine)}: "
            f"{_whether(compare(_alternative(other, theirs), _alternative(here, mine)))}"
        )


def _whether(found: Return) -> str:
    """Say whether what saves time, or money, pays."""
    saves, cheaper = found.hours_saved > 0, found.usd_extra < 0
    if saves and cheaper:
        return "it pays"
    if not (saves or cheaper):
        return "it does not pay for the hashing"
    worth = dollars(abs(found.usd_extra / found.hours_saved)) if found.hours_saved else None
    if saves:
        return f"it pays where an hour is worth {worth} or more"
    return f"it pays unless an hour is worth {worth} or more" if worth else "it pays"


def _taken(machine: Machine, catalogue: Catalogue) -> Cost:
    """Return what the measure takes and costs on a machine."""
    had = catalogue.usual_offer(machine, leaving_out=("free",))
    if machine.backend not in BACKENDS:
        raise UsageError(f"the engine has no backend {machine.backend!r}")
    cost = price(predict(machine, MEASURE).seconds, machine, *had) if had else None
    if cost is None or cost.usd is None:
        raise UsageError(f"no price of {machine.name} is known")
    return cost


def _alternative(machine: Machine, cost: Cost) -> Alternative:
    return Alternative(machine.name, cost.hours, cost.usd or 0.0)


def _paid(cost: Cost) -> str:
    return units(cost.units) if cost.units else dollars(cost.usd or 0.0)
