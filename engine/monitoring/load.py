"""`Load`: the processor, memory and device load of a cluster's workers, by their latest heartbeats.

Its fields declare how each figure is shown; `load_of` measures them. How far a run has come is in
`progress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dask.utils import format_bytes

from ..rendering.palette import GREEN, ORANGE, VERMILION
from .figure_declaration import Chart, Line, Metric, Words, figure


def _threads(load: Load) -> str:
    workers = "1 worker" if load.workers == 1 else f"{load.workers:,} workers"
    return f"{load.cpu:.1f} of {load.threads:,} threads, {workers}"


def _memory(load: Load) -> str:
    of = f" of {format_bytes(load.memory_limit)}" if load.memory_limit else ""
    return f"{format_bytes(load.memory)}{of}"


def _device(load: Load) -> str | None:
    if load.device is None:
        return None
    taken = f"{format_bytes(load.device_memory or 0)}"
    total = f" of {format_bytes(load.device_memory_total or 0)}"
    return f"{100 * load.device:.0f} % busy, {taken}{total} taken"


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of all workers of a cluster together, at one moment."""

    workers: int = figure(metric=Metric("workers", "Workers"))
    threads: int = figure(
        metric=Metric("worker_threads", "Threads of all workers"),
        column="threads",
    )
    cpu: float = figure(  # cores kept busy
        words=Words("processor", _threads),
        metric=Metric("worker_threads_busy", "Busy threads of all workers"),
        column="cpu",
        digits=3,
        line=Line(Chart.THREADS, "cpu", ORANGE, column="cpu"),
    )
    memory: int = figure(  # bytes held
        words=Words("memory", _memory),
        metric=Metric("worker_memory_bytes", "Bytes that all workers hold"),
        column="memory",
        line=Line(Chart.MEMORY, "memory", GREEN, column="memory"),
    )
    memory_limit: int | None = None  # bytes; None: unknown for at least one worker
    spilled: int = figure(  # bytes on disk
        words=Words("spilled to disk", lambda load: format_bytes(load.spilled)),
        metric=Metric("worker_spilled_bytes", "Bytes that all workers have spilled to disk"),
        column="spilled",
        line=Line(Chart.MEMORY, "spilled", VERMILION, column="spilled"),
    )
    device: float | None = figure(  # share of the time that devices compute; None: no device
        default=None,
        words=Words("device", _device),
        metric=Metric("device_busy_ratio", "Share of the time that the devices compute"),
        column="device",
        line=Line(Chart.DEVICE, "device", ORANGE, column="device"),
    )
    device_memory: int | None = figure(  # bytes of the devices' memory that are taken
        default=None,
        metric=Metric("device_memory_bytes", "Bytes taken of the devices' memory"),
        column="device_memory",
    )
    device_memory_total: int | None = None  # bytes


def load_of(workers: Mapping[str, Mapping[str, Any]]) -> Load:
    """Return the load of workers, which are described as by `Client.scheduler_info`.

    Each worker reports the first device that it sees, whether it computes there or not.

    Examples
    --------
    >>> worker = {
    ...     "nthreads": 2,
    ...     "memory_limit": 100,
    ...     "metrics": {"cpu": 150.0, "memory": 40, "spilled_bytes": {"disk": 7}},
    ... }
    >>> load_of({"tcp://a": worker, "tcp://b": worker})
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
        workers=len(every),
        threads=sum(one["nthreads"] for one in every),
        cpu=sum(one["metrics"]["cpu"] for one in every) / 100,
        memory=sum(one["metrics"]["memory"] for one in every),
        memory_limit=sum(limits) if limits and all(limits) else None,
        spilled=sum(one["metrics"].get("spilled_bytes", {}).get("disk", 0) for one in every),
        **_devices(devices),
    )


def _devices(devices: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Return how busy the devices are and how much of their memory is taken; empty without any."""
    if not devices:
        return {}
    return {
        "device": sum(now["utilization"] or 0 for now, _ in devices) / len(devices) / 100,
        "device_memory": sum(now["memory-used"] or 0 for now, _ in devices),
        "device_memory_total": sum(one["memory-total"] or 0 for _, one in devices),
    }
