"""`Budget`: how long a climb may go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...storage.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """Limits of a climb, over all of its sessions; None means unlimited.

    Attributes
    ----------
    evaluations : int, optional
        Rounded up to whole rounds.
    seconds, dollars : float, optional
    """

    evaluations: int | None = None
    seconds: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        if self.evaluations is not None:
            _require(self.evaluations, "evaluations", int)
        _require(self.seconds, "seconds", (int, float))
        _require(self.dollars, "dollars", (int, float))
        if self.evaluations is None and self.seconds is None and self.dollars is None:
            raise UsageError("give a budget: evaluations=, seconds= or dollars=")

    def rounds(self, neighbours: int) -> int:
        """Return the most rounds that may be proposed.

        >>> Budget(evaluations=100).rounds(32)
        4
        """
        return 2**62 if self.evaluations is None else -(-self.evaluations // neighbours)

    def is_spent(self, seconds: float, usd: float | None) -> bool:
        """Return whether the time or the money is spent."""
        late = self.seconds is not None and seconds >= self.seconds
        return late or (self.dollars is not None and usd is not None and usd >= self.dollars)


def _require(value: Any, name: str, kind: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
        whole = "whole " if kind is int else ""
        raise UsageError(f"{name} must be a positive {whole}number, not {value!r}")
