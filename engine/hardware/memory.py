"""RAM: the size, the limit set by control groups, and what is free now.

How control groups are read is in `graphs.kernels.control_groups`.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from ...graphs.kernels.control_groups import memory_groups


@dataclass(frozen=True)
class Memory:
    """RAM, in bytes."""

    total: int  # of the machine
    limit: int | None  # set by control groups (of a container, a job); None if there is none
    free: int  # what this process could still allocate, now

    @property
    def usable(self) -> int:
        """The most that this process may hold."""
        return self.total if self.limit is None else self.limit


def ram() -> Memory:
    """Return the size of the RAM, its limit and what is free.

    Examples
    --------
    >>> found = ram()
    >>> 0 < found.free <= found.usable <= found.total
    True
    """
    machine = psutil.virtual_memory()
    groups = [one for one in memory_groups() if one.limit < machine.total]
    free = min((one.limit - one.used for one in groups), default=machine.available)
    return Memory(
        machine.total,
        min((one.limit for one in groups), default=None),
        max(0, min(free, machine.available)),
    )
