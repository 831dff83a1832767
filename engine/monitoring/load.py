"""`Load`: what a cluster's workers hold and do, as they told its scheduler last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """All workers of a cluster together, at a moment."""

    workers: int
    threads: int
    cpu: float  # cores that they keep busy
    memory: int  # bytes that they hold
    memory_limit: int | None  # bytes that they may hold; None: nobody says of one of them
    spilled: int  # bytes that they have put on disk
    device: float | None = None  # share of the time in which their devices compute; None: no device
    device_memory: int | None = None  # bytes of the devices' memory that are taken
    device_memory_total: int | None = None  # bytes


def load_of(workers: Mapping[str, Mapping[str, Any]]) -> Load:
    """Return the load of workers, as `Client.scheduler_info` tells of them.

    Each worker tells of the first device that it sees, whether it computes there or not.

    Examples
    --------
    >>> one = {
    ...     "nthreads": 2,
    ...     "memory_limit": 100,
    ...     "metrics": {"cpu": 150.0, "memory": 40, "spilled_bytes": {"disk": 7}},
    ... }
    >>> load_of({"tcp://a": one, "tcp://b": one})
    ... # doctest: +NORMALIZE_WHITESPACE
    Load(workers=2, threads=4, cpu=3.0, memory=80, memory_limit=200, spilled=14,
         device=None, device_memory=None, device_memory_total=None)
    """
    every = list(workers.values())
    limits = [one["memory_limit"] for one in every]
    devices = [
        (one["metrics"]["gpu"], one["gpu"])
        for one in every
        if one["metrics"].get("gpu") and one.get("gpu")
    ]
    return Load(
        len(every),
        sum(one["nthreads"] for one in every),
        sum(one["metrics"]["cpu"] for one in every) / 100,
        sum(one["metrics"]["memory"] for one in every),
        sum(limits) if limits and all(limits) else None,
        sum(one["metrics"].get("spilled_bytes", {}).get("disk", 0) for one in every),
        *_devices(devices),
    )


def _devices(
    devices: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> tuple[float | None, int | None, int | None]:
    """Return how busy devices are, and how much of their memory is taken, of how much."""
    if not devices:
        return None, None, None
    busy = sum(now["utilization"] or 0 for now, _ in devices) / len(devices) / 100
    taken = sum(now["memory-used"] or 0 for now, _ in devices)
    return busy, taken, sum(one["memory-total"] or 0 for _, one in devices)
