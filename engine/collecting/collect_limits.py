"""`Limits`: how much a collection may list, receive, take and cost, over all of its sessions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ...storage.errors import UsageError
from ..rendering.quantities import duration
from .ledger.source_state import Spent

_GIB = float(1 << 30)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the collection of one source, over all of its sessions; None means unlimited.

    Attributes
    ----------
    items
        Items to list, whatever becomes of them; counted anew by a refresh.
    received_bytes
        Bytes of bodies from servers, also of listing.
    seconds
    dollars
        Price of time and received bytes, at the two rates below, in US dollars.
    dollars_per_hour, dollars_per_gib
        Prices of the machine that collects, and of each GiB received, in US dollars.

    Raises
    ------
    UsageError
        A limit is not positive, or dollars are given without a rate.
    """

    items: int | None = None
    received_bytes: int | None = None
    seconds: float | None = None
    dollars: float | None = None
    dollars_per_hour: float = 0.0
    dollars_per_gib: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            whole = one.name in ("items", "received_bytes")
            if value is not None:
                price = one.name.startswith("dollars_")
                _require(one.name, value, whole=whole, price=price)
        if self.dollars is not None and not (self.dollars_per_hour or self.dollars_per_gib):
            raise UsageError(
                "a limit of dollars needs a price: of an hour of this machine (--dollars-per-hour, "
                "dollars_per_hour=) or of a GiB that it receives (--dollars-per-gib, "
                "dollars_per_gib=)"
            )

    def cost(self, spent: Spent) -> float:
        """Return the price of what was used, in US dollars.

        >>> from paninifs.engine.collecting.ledger.source_state import Spent
        >>> Limits(dollars_per_hour=0.5).cost(Spent(seconds=7200))
        1.0
        """
        hours, gib = spent.seconds / 3600, spent.received_bytes / _GIB
        return hours * self.dollars_per_hour + gib * self.dollars_per_gib

    def is_late(self, spent: Spent) -> bool:
        """Return whether more time would exceed a limit, so that not even texts can be extracted.

        >>> from paninifs.engine.collecting.ledger.source_state import Spent
        >>> Limits(received_bytes=9, seconds=60).is_late(Spent(received_bytes=9, seconds=50))
        False
        """
        timed = self.dollars is not None and self.dollars_per_hour > 0
        return (self.seconds is not None and spent.seconds >= self.seconds) or (
            timed and self.cost(spent) >= (self.dollars or 0.0)
        )

    def reached(self, spent: Spent) -> str:
        """Return which limit is reached, in words; empty if none is."""
        if self.received_bytes is not None and spent.received_bytes >= self.received_bytes:
            return f"{self.received_bytes:,} bytes are received"
        if self.seconds is not None and spent.seconds >= self.seconds:
            return f"{duration(self.seconds)} have passed"
        if self.dollars is not None and self.cost(spent) >= self.dollars:
            return f"{self.dollars:,.2f} dollars are spent"
        return ""


def _require(name: str, value: Any, *, whole: bool, price: bool) -> None:
    kinds = int if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value < 0 or (value == 0 and not price):
        name = name if price else f"max_{name.removeprefix('received_')}"
        raise UsageError(
            f"{name} must be a positive {'whole ' if whole else ''}number, not {value!r}"
        )
