"""`predict`: how long a piece of work takes on a machine, and what it needs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """How long a piece of work takes on a machine, once, and the memory it needs there."""

    seconds: float  # from the command to its end
    parts: Mapping[str, float]  # seconds by what takes them: "start", "reading", "hashing", ...
    bound: str  # the part that the rest waits for
    host_bytes: int  # of memory that the machine itself needs
    device_bytes: int  # of memory that its GPU or TPU needs; 0 where it has none
    basis: str  # "calibrated", "scaled" from another machine's figures, or "arithmetic"
