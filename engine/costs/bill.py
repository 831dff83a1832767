"""`bill`: what a finished run cost on its machine, and what it would have cost elsewhere.

The cost of a run in progress is in `meter`.
"""

from __future__ import annotations

import html
from contextlib import suppress
from dataclasses import dataclass

from ...storage.errors import UsageError
from ..rendering.quantities import dollars, duration, units
from .catalogue import HERE, Catalogue, Machine
from .catalogue_files import OWN, open_catalogue
from .prediction import predict
from .pricing import Cost, price
from .this_machine import catalogued_machine
from .work import Work

SHOWN = ("CPU", "T4", "L4", "A100")
"""Machines that a run is compared with, besides those of the user's own catalogue."""

SHORT_SECONDS = 10.0
"""Seconds up to which a run is compared with no other machine: most of its time is not computing,
and the same everywhere."""


@dataclass(frozen=True)
class Item:
    """A machine, and the time and cost of the run there."""

    machine: str
    seconds: float
    cost: Cost | None  # None if the catalogue has no price
    free: bool = False  # in at least one plan

    def __str__(self) -> str:
        """Return machine, time and cost in words.

        >>> print(Item("T4", 12.34, None))
        T4 12 s
        """
        time = f"{self.machine} {duration(self.seconds)}"
        if self.cost is not None and self.cost.units:
            return f"{time}, {units(self.cost.units)}"
        if self.cost is not None and self.cost.usd is not None:
            return f"{time}, {dollars(self.cost.usd)}"
        return time


@dataclass(frozen=True)
class Bill:
    """What a run cost, and what it would have cost elsewhere."""

    here: Item
    elsewhere: tuple[Item, ...]  # predicted; like `here`, from the submission to the end
    as_of: str  # the catalogue's date

    def __str__(self) -> str:
        """Return the bill as two sentences, or one of a short run."""
        unpriced = "" if self.here.cost else " (its price is not known)"
        if self.here.seconds < SHORT_SECONDS:
            return f"{self.here}{unpriced}"
        if not self.elsewhere:
            return (
                f"{self.here}{unpriced}. Elsewhere: not known; only the default graph is predicted"
            )
        free = [one.machine for one in (self.here, *self.elsewhere) if one.free]
        nothing = f"; free in the plan 'free': {' and '.join(free)}" if free else ""
        others = "; ".join(map(str, self.elsewhere))
        return (
            f"{self.here}{unpriced}. Elsewhere, by the catalogue of {self.as_of}: {others}{nothing}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def bill(work: Work | None, seconds: float, cluster: str | None = None) -> Bill:
    """Return what a run cost.

    Parameters
    ----------
    work : Work, optional
        The work of the run; None if its graph is not the default one, the only one predicted.
    seconds : float
        Duration, from the submission to the end.
    cluster : str, optional
        Location of the cluster, if it is not on this machine.

    Raises
    ------
    UsageError
        The user's own catalogue cannot be read.

    Examples
    --------
    >>> print(bill(Work(10**8, mean_bytes=100), seconds=95))  # doctest: +ELLIPSIS
    this machine 95 s (its price is not known). Elsewhere, by the catalogue of ...
    """
    catalogue = open_catalogue()
    own = catalogued_machine(catalogue) if cluster is None else None
    mine = Item(cluster or HERE, seconds, None) if own is None else _item(own, seconds, catalogue)
    if work is None or seconds < SHORT_SECONDS:
        return Bill(mine, (), catalogue.as_of)
    others = []
    for machine in catalogue.machines.values():
        if machine != own and _is_shown(machine):
            with suppress(UsageError):  # too little is known about the machine
                found = predict(machine, work)
                others.append(_item(machine, found.seconds - found.parts["start"], catalogue))
    return Bill(mine, tuple(others), catalogue.as_of)


def _is_shown(machine: Machine) -> bool:
    return machine.name in SHOWN or OWN in machine.sources.values()


def _item(machine: Machine, seconds: float, catalogue: Catalogue) -> Item:
    offer = catalogue.usual_offer(machine, leaving_out=("free",))
    cost = price(seconds, machine, *offer) if offer else None
    free = any(offer.free for offer in machine.offers.values())
    return Item(machine.name, seconds, cost, free)
