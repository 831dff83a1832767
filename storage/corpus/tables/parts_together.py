"""Partitions of a dask frame that this process computes when they are read.

Those that share work, as the partitions of a join do, are computed together, as many as
`MOST_BYTES` allows: one by one, each would repeat what all share. How a run computes them on its
cluster is in `engine.run.frames`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from ...rows import SourceFile
from ...rows.frame_rows import FrameRows
from .frame_parts import brought, frame_rows, number_of

MOST_BYTES = 1 << 30
"""Bytes of values that are kept at once."""

_SHARED = 2.0
"""How many times as many tasks all partitions take one by one as together, if they share work."""


def share_work(parts: Sequence[Any]) -> bool:
    """Return whether partitions take far fewer tasks together than one by one.

    Parameters
    ----------
    parts : sequence of dask.delayed.Delayed
        All partitions of a frame.
    """
    if len(parts) < 2:
        return False
    from dask.optimization import cull

    graph = parts[0].__dask_graph__()
    alone, _ = cull(dict(graph), [parts[0].key])
    return len(alone) * len(parts) > _SHARED * len(graph)


def brought_together(files: Iterable[SourceFile], parts: Sequence[Any]) -> tuple[SourceFile, ...]:
    """Return partitions, as files, whose rows are computed here when they are read.

    Only those that were computed together last are kept.

    Parameters
    ----------
    files : iterable of SourceFile
        Partitions, with the bytes of their values.
    parts : sequence of dask.delayed.Delayed
        All partitions of the frame, by number.
    """
    files = tuple(files)
    sizes = {number_of(file): file.size for file in files}
    # Whether they share work takes a while to find, and these files may never be read.
    groups = lru_cache(maxsize=1)(lambda: _groups(sizes, parts))
    compute = lru_cache(maxsize=1)(partial(_computed, parts))
    return brought(files, lambda number: compute(groups()[number])[number])


def _groups(sizes: Mapping[int, int], parts: Sequence[Any]) -> dict[int, tuple[int, ...]]:
    """Return, for each partition, the numbers of those that are computed with it."""
    groups: list[list[int]] = []
    shared, nbytes = share_work(parts), 0
    for number, size in sorted(sizes.items()):
        if not groups or not shared or nbytes + size > MOST_BYTES:
            groups.append([])
            nbytes = 0
        groups[-1].append(number)
        nbytes += size
    return {number: tuple(group) for group in groups for number in group}


def _computed(parts: Sequence[Any], numbers: Sequence[int]) -> dict[int, FrameRows]:
    from dask.delayed import delayed

    rows: Any = delayed(frame_rows, pure=False)
    together: Any = delayed([rows(parts[number]) for number in numbers])
    return dict(zip(numbers, together.compute(), strict=True))
