"""`Meter`: what a run comes to while it goes on, and the most that its machine could do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...storage.errors import PaniniError, UsageError
from ..hardware.cpu import processor
from ..hardware.platform import current_platform
from ..rendering.quantities import dollars, units
from .catalogue import Catalogue, Machine, Offer, Plan
from .catalogue_files import open_catalogue
from .prediction import predict
from .pricing import price
from .this_machine import calibration_of, catalogued_machine, describe_this_machine, usable_gpus
from .work import Work


@dataclass(frozen=True)
class Spent:
    """What some seconds of a machine cost; of the two what is known."""

    units: float | None  # compute units
    usd: float | None  # US dollars

    def __str__(self) -> str:
        """Return it for people.

        >>> print(Spent(1.5, 0.0))
        1.5 units
        """
        if self.units:
            return units(self.units)
        return dollars(self.usd) if self.usd is not None else "not known"


@dataclass(frozen=True)
class Limit:
    """How fast a run could be if nothing but its kernels took any time."""

    texts_per_second: float
    basis: str  # see `Prediction.basis`


class Meter:
    """Looks a run's machine up in the catalogue, once, when it is first asked.

    Parameters
    ----------
    cluster : str, optional
        Where the cluster is, when it is not of this machine: then nothing is known of it.
    is_default : bool
        Whether the graph is the default one, which alone has a limit.

    Examples
    --------
    >>> meter = Meter(None, is_default=True)
    >>> meter.limit(1000, 100_000).texts_per_second > 100_000
    True
    """

    def __init__(self, cluster: str | None, *, is_default: bool) -> None:
        self._cluster, self._is_default = cluster, is_default

    @property
    def machine(self) -> str:
        """The machine, in words."""
        if self._cluster is not None:
            return self._cluster
        own = processor()
        gpus = "".join(f", {gpu.name}" for gpu in usable_gpus())
        return f"{own.name} ({own.architecture}), {own.cores} cores, SHA-256 by {own.hashing}{gpus}"

    @property
    def platform(self) -> str:
        """The service that runs this process, in words."""
        return str(current_platform())

    def cost(self, seconds: float) -> Spent | None:
        """Return what so many seconds cost; None where no price is known."""
        if self._priced is None:
            return None
        cost = price(seconds, *self._priced)
        return Spent(cost.units, cost.usd)

    def limit(self, rows: int, text_bytes: int) -> Limit | None:
        """Return how fast so many texts could be computed; None where that is not known."""
        catalogue = self._catalogue
        if not self._is_default or self._cluster is not None or catalogue is None or not rows:
            return None
        try:
            measured = calibration_of(processor())
            found = predict(
                describe_this_machine(catalogue), Work(rows, text_bytes / rows), measured
            )
        except UsageError:  # too little is known of it
            return None
        return Limit(rows / found.parts["hashing"], found.basis)

    @cached_property
    def _priced(self) -> tuple[Machine, Offer, Plan] | None:
        """The machine, and how it is paid for, where that is known."""
        catalogue = self._catalogue
        own = catalogued_machine(catalogue) if catalogue and self._cluster is None else None
        had = own and catalogue and catalogue.usual_offer(own, leaving_out=("free",))
        return (own, *had) if own and had else None

    @cached_property
    def _catalogue(self) -> Catalogue | None:
        try:
            return open_catalogue()
        except (PaniniError, OSError):  # the user's own: the bill at the end says what is wrong
            return None
