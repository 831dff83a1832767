"""`Unavailable`: why a device cannot be used, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unavailable:
    """Why a device cannot be used.

    Examples
    --------
    >>> print(Unavailable("there is no NVIDIA GPU in this machine"))
    there is no NVIDIA GPU in this machine
    """

    reason: str  # a sentence without its full stop
    remedy: str | None = None  # a command or a menu entry; None if no remedy is known
    there: bool = False  # whether this machine has the device

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason
