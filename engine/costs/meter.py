"""`Meter`: what a run has cost so far, and the highest speed that its machine could reach.

The bill at the end of a run is in `bill`.
"""

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
    """Cost of some time on a machine, in units, dollars or both, as far as known."""

    units: float | None  # compute units
    usd: float | None  # US dollars

    def __str__(self) -> str:
        """Return the cost in words.

        >>> print(Spent(1.5, 0.0))
        1.5 units
        """
        if self.units:
            return units(self.units)
        return dollars(self.usd) if self.usd is not None else "not known"


@dataclass(frozen=True)
class Limit:
    """Speed that a run would have if only its kernels took time."""

    texts_per_second: float
    basis: str  # see `Prediction.basis`


class Meter:
    """Looks up a run's machine in the catalogue, once, on first use.

    Parameters
    ----------
    cluster : str, optional
        Location of the cluster, if it is not on this machine; then costs and limit are unknown.
    is_default : bool
        Whether the graph is the default one, the only one with a known limit.

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
        """Return what a number of seconds costs; None if no price is known."""
        if self._priced is None:
            return None
        cost = price(seconds, *self._priced)
        return Spent(cost.units, cost.usd)

    def limit(self, rows: int, text_bytes: int) -> Limit | None:
        """Return how fast a number of texts could be computed; None if unknown."""
        catalogue = self._catalogue
        if not self._is_default or self._cluster is not None or catalogue is None or not rows:
            return None
        try:
            measured = calibration_of(processor())
            found = predict(
                describe_this_machine(catalogue), Work(rows, text_bytes / rows), measured
            )
        except UsageError:  # too little is known about the machine
            return None
        return Limit(rows / found.parts["hashing"], found.basis)

    @cached_property
    def _priced(self) -> tuple[Machine, Offer, Plan] | None:
        """The machine and how it is paid for; None if unknown."""
        catalogue = self._catalogue
        own = catalogued_machine(catalogue) if catalogue and self._cluster is None else None
        offer = own and catalogue and catalogue.usual_offer(own, leaving_out=("free",))
        return (own, *offer) if own and offer else None

    @cached_property
    def _catalogue(self) -> Catalogue | None:
        try:
            return open_catalogue()
        except (PaniniError, OSError):  # the user's own file: the bill at the end reports the error
            return None
