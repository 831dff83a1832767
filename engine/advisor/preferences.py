"""`check_preferences`: which of the user's preferred machines this one is, and what to do.

A process cannot switch to another accelerator: its user chooses one in a menu, or when submitting a
job. So this is only advice, in the user's order of preference. Without a GPU, a TPU is next, and a
CPU last. Ranking all machines for a piece of work is in `advise`.
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
from ..costs.work import TYPICAL
from ..hardware.gpu import Gpu
from ..hardware.platform import current_platform
from ..rendering.quantities import dollars, duration, units

CPU = "CPU"


@dataclass(frozen=True)
class PreferenceCheck:
    """Which of the preferred machines this one is, with notes for its user."""

    machine: str  # this machine's name in the catalogue
    preferred: bool  # whether it is among the preferred ones
    notes: tuple[str, ...]  # one sentence each

    def __str__(self) -> str:
        """Return the notes, one per line."""
        return "\n".join(self.notes)


def check_preferences(
    prefer: Sequence[str],
    gpus: Sequence[Gpu],
    own: Machine | None,
    remedy: str | None,
    catalogue: Catalogue,
) -> PreferenceCheck:
    """Return which of the preferred machines this one is, and when another one pays off.

    Parameters
    ----------
    prefer : sequence of str
        Machines of the catalogue, best first, such as ``["L4", "T4", "A100"]``.
    gpus : sequence of Gpu
        The usable GPUs of this machine.
    own : Machine, optional
        This machine, for its price; None if that is unknown.
    remedy : str, optional
        How to get another machine on this platform.

    Raises
    ------
    UsageError
        The list is empty, or has an unknown machine; the message lists the known ones.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> check = check_preferences(["L4", "T4"], [], None, "choose one", open_catalogue())
    >>> print(check.notes[0])
    this machine (CPU) is none of L4, T4: choose one (L4, else T4)
    """
    if isinstance(prefer, str) or not prefer:
        raise UsageError("prefer must be a list of machines such as prefer=['L4', 'T4', 'A100']")
    wanted = [catalogue.machine(name) for name in prefer]
    here = _name_of(gpus, wanted, catalogue)
    better = prefer[: prefer.index(here)] if here in prefer else prefer
    notes = [_situation(here, prefer, better, remedy)]
    if better and own is None:
        notes.append(
            "whether another machine pays off is unknown: the catalogue has no price for this one"
        )
    elif own is not None:
        notes += _upgrades(own, [one for one in wanted if one.name in better], catalogue)
    if not gpus:
        notes.append(_without_gpu(wanted))
    return PreferenceCheck(here, here in prefer, tuple(notes))


def check_this_machine(prefer: Sequence[str]) -> PreferenceCheck:
    """Check preferences on this machine, by today's catalogue or the user's own."""
    catalogue = open_catalogue()
    own = describe_this_machine(catalogue) if catalogued_machine(catalogue) else None
    return check_preferences(prefer, usable_gpus(), own, current_platform().gpu_remedy, catalogue)


def _name_of(gpus: Sequence[Gpu], wanted: Sequence[Machine], catalogue: Catalogue) -> str:
    """Return this machine's name; an A100 of any memory size matches a preferred A100."""
    if not gpus:
        return CPU
    known = machine_with_gpu(gpus[0], wanted) or machine_with_gpu(
        gpus[0], catalogue.machines.values()
    )
    return known.name if known else gpus[0].name


def _situation(here: str, prefer: Sequence[str], better: Sequence[str], remedy: str | None) -> str:
    if not better:
        return f"this machine ({here}) is your first choice of {', '.join(prefer)}"
    instead = f"{remedy or 'use another machine'} ({', else '.join(better)})"
    if here in prefer:
        return f"this machine ({here}) is not {', '.join(better)}, which you prefer: {instead}"
    return f"this machine ({here}) is none of {', '.join(prefer)}: {instead}"


def _without_gpu(wanted: Sequence[Machine]) -> str:
    """Return what is left if no GPU is available."""
    if "tpu" in BACKENDS:
        return "if no GPU is available, a TPU is next, and the CPU last"
    none = (
        ", so the TPUs that you name cannot be used yet" if any(_tpu(one) for one in wanted) else ""
    )
    return (
        "if no GPU is available, a TPU would be next, but the engine has no backend for it "
        f"yet{none}; the CPU is last, and computes the same bits"
    )


def _tpu(machine: Machine) -> bool:
    return machine.kind == "tpu"


def _upgrades(here: Machine, wanted: Sequence[Machine], catalogue: Catalogue) -> Iterator[str]:
    """Yield, for each other machine, whether it pays off to use it instead of this one."""
    for other in wanted:
        try:
            mine, theirs = (_cost_on(one, catalogue) for one in (here, other))
        except UsageError as error:
            yield f"whether {other.name} would pay off is unknown: {error}"
            continue
        yield (
            f"{other.name} instead of {here.name}: {TYPICAL.texts:,} texts of "
            f"{TYPICAL.mean_bytes:g} bytes take {duration(theirs.hours * 3600)} instead of "
            f"{duration(mine.hours * 3600)}, and cost {_paid(theirs)} instead of {_paid(mine)}: "
            f"{_verdict(compare(_alternative(other, theirs), _alternative(here, mine)))}"
        )


def _verdict(found: Return) -> str:
    """Return in words whether a comparison favours the other machine."""
    saves, cheaper = found.hours_saved > 0, found.usd_extra < 0
    if saves and cheaper:
        return "it pays off"
    if not (saves or cheaper):
        return "it does not pay off for the hashing"
    worth = dollars(abs(found.usd_extra / found.hours_saved)) if found.hours_saved else None
    if saves:
        return f"it pays off if an hour is worth {worth} or more"
    return f"it pays off unless an hour is worth {worth} or more" if worth else "it pays off"


def _cost_on(machine: Machine, catalogue: Catalogue) -> Cost:
    """Return the time and cost of `TYPICAL` on a machine."""
    offer = catalogue.usual_offer(machine, leaving_out=("free",))
    if machine.backend not in BACKENDS:
        raise UsageError(f"the engine has no backend {machine.backend!r}")
    cost = price(predict(machine, TYPICAL).seconds, machine, *offer) if offer else None
    if cost is None or cost.usd is None:
        raise UsageError(f"the price of {machine.name} is not known")
    return cost


def _alternative(machine: Machine, cost: Cost) -> Alternative:
    return Alternative(machine.name, cost.hours, cost.usd or 0.0)


def _paid(cost: Cost) -> str:
    return units(cost.units) if cost.units else dollars(cost.usd or 0.0)
