"""`Missing`: why something is not there to compute with, and what mends it. Words, nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Why a device cannot be computed with.

    Examples
    --------
    >>> print(Missing("there is no NVIDIA GPU in this machine"))
    there is no NVIDIA GPU in this machine
    """

    reason: str  # a sentence without its full stop
    remedy: str | None = None  # a command, a menu's entry; None where nothing that we know of helps
    there: bool = False  # whether this machine has one all the same

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason
