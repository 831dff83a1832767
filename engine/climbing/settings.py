"""`ClimbSettings`: what decides which candidates a climb proposes and accepts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...storage.errors import UsageError

CLIMBERS = 8

MOST_NEIGHBOURS, LEAST_NEIGHBOURS = 512, 4
"""Limits of the default number of neighbours."""

GENERATIONS = 48
"""Rounds of each climber for which the default number of neighbours leaves enough evaluations."""

NEIGHBOURS = 32
"""Default number of neighbours if no number of evaluations is given."""


@dataclass(frozen=True, kw_only=True)
class ClimbSettings:
    """Settings of a climb. With the same settings, objective and space, its states are the same.

    Attributes
    ----------
    seed : int
    climbers : int
        Number of climbers. Each has one round of candidates in flight.
    neighbours : int
        Candidates of a round.
    threshold : float
        A state is left for a candidate whose score is higher by more than this.
    patience : int
        Rounds without such a candidate after which the state is a summit.
    backtracks : int
        Excursions from a summit that may fail before a climber leaves it for another.
    tabu : int
        Number of recent candidates that a climber does not propose again.
    temperature : float
        Of annealing: a score lower by x is accepted with probability exp(-x / temperature).
    cooling : float
        Factor of the temperature after every round of a climber.
    proposer : str
    """

    seed: int = 0
    climbers: int = CLIMBERS
    neighbours: int = NEIGHBOURS
    threshold: float = 1e-3
    patience: int = 3
    backtracks: int = 3
    tabu: int = 1024
    temperature: float = 0.0
    cooling: float = 0.95
    proposer: str = "neighbourhoods"

    def __post_init__(self) -> None:
        for name, least in (
            ("seed", 0),
            ("climbers", 1),
            ("neighbours", 1),
            ("patience", 1),
            ("backtracks", 0),
            ("tabu", 0),
        ):
            value = getattr(self, name)
            most = 2**63 - 1 if name == "seed" else 1_000_000
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise UsageError(
                    f"{name} must be a whole number from {least} to {most:,}, not {value!r}"
                )
        for name in ("threshold", "temperature"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise UsageError(f"{name} must be a non-negative number, not {value!r}")
        if not isinstance(self.cooling, int | float) or not 0 < self.cooling <= 1:
            raise UsageError(f"cooling must be above 0 and at most 1, not {self.cooling!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)


def default_neighbours(evaluations: int | None, climbers: int) -> int:
    """Return the number of candidates of a round for a number of evaluations, a power of two.

    Many candidates at once keep workers busy, but the next round does not know of them yet.

    Examples
    --------
    >>> default_neighbours(1_000, 8), default_neighbours(200_000, 8), default_neighbours(None, 8)
    (4, 512, 32)
    """
    if evaluations is None or not isinstance(climbers, int) or climbers < 1:
        return NEIGHBOURS  # `ClimbSettings` refuses such climbers
    share = max(1, evaluations // (climbers * GENERATIONS))
    return min(MOST_NEIGHBOURS, max(LEAST_NEIGHBOURS, 1 << (share.bit_length() - 1)))
