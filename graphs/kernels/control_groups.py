"""Limits that control groups set to the memory of this process: of a container, a service, a job.

psutil ignores control groups; dask reads the limit of the outermost one only. Only the standard
library is needed. What all of the machine's memory comes to is in `engine.hardware.memory`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@dataclass(frozen=True)
class MemoryGroup:
    """A control group that limits memory."""

    limit: int  # bytes
    used: int  # bytes that cannot be reclaimed


def memory_groups() -> Iterator[MemoryGroup]:
    """Yield the control group of this process and its parents, as far as they set a limit.

    A limit may be larger than the machine's memory.
    """
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _around(V2, path, ("memory.max", "memory.high"), "memory.current")
        elif "memory" in controllers.split(","):
            yield from _around(V1, path, ("memory.limit_in_bytes",), "memory.usage_in_bytes")


def _around(mount: str, path: str, limits: tuple[str, ...], usage: str) -> Iterator[MemoryGroup]:
    """Yield groups from the innermost to the outermost.

    In a container the path may be the one on the host. Then only the outermost group is found,
    which is the container's.
    """
    top = ROOT / mount
    inner = top / path.strip("/")
    for folder in [inner, *inner.parents]:
        found = [number for name in limits if (number := _number(folder / name)) is not None]
        used = _number(folder / usage)
        if found and used is not None:
            yield MemoryGroup(min(found), max(0, used - _file_cache(folder)))
        if folder == top:
            return


def _number(path: Path) -> int | None:
    """Return the number in a file; None if the file does not exist or contains ``max``."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _file_cache(folder: Path) -> int:
    """Return the bytes of a group's file cache that are reclaimed when memory runs short."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    counted = {name: int(number) for name, _, number in (line.partition(" ") for line in lines)}
    return counted.get("total_inactive_file", counted.get("inactive_file", 0))
