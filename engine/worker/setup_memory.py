"""`measure_setups`: how much memory the models of a run's blocks take side by side, on a worker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil
from distributed.worker import get_worker

from ...graphs.block import MapBlock
from ...graphs.kernels import Kernels, load
from ..monitoring.projection import USABLE_SHARE
from .sent_graph import GraphKey, held_graph
from .task import settle
from .unused_memory import release_unused_memory
from .values.setups import arguments_of, close_unused


@dataclass
class Memory:
    """One kind of a worker's memory, of the host or of its device.

    Attributes
    ----------
    room : int or None
        Bytes that a worker has for what blocks make by their ``setup``; None: no known limit.
    taken : dict
        Bytes that it takes, by block.
    """

    room: int | None = None
    taken: dict[str, int] = field(default_factory=dict)

    def fits(self, names: Sequence[str]) -> bool:
        """Return whether what these blocks make fits together. One alone has to."""
        return self.room is None or len(names) < 2 or self.of(names) <= self.room

    def of(self, names: Sequence[str]) -> int:
        """Return the bytes that these blocks take together."""
        return sum(self.taken.get(name, 0) for name in names)


@dataclass
class SetupMemory:
    """The memory of a worker that blocks' ``setup`` takes."""

    host: Memory
    device: Memory

    def fits(self, names: Sequence[str]) -> bool:
        """Return whether a worker has room for what these blocks make together."""
        return self.host.fits(names) and self.device.fits(names)


def measure_setups(key: GraphKey, names: Sequence[str], backend: str) -> SetupMemory:
    """Make what blocks need by their ``setup``, one after the other, while there is room.

    If there is room for all, they stay for the tasks that follow. Otherwise they are closed, and
    the memory of those that were not made is what the blocks declare.
    """
    worker = get_worker()
    settle(worker)
    kernels = load(backend)
    kernels.prepare()
    if close_unused():
        release_unused_memory()
    limit, resident = worker.memory_manager.memory_limit, _resident()
    free = kernels.free_memory()
    found = SetupMemory(
        Memory(max(0, int(USABLE_SHARE * limit) - resident) if limit else None),
        Memory(None if free is None else int(USABLE_SHARE * free)),
    )
    with held_graph(key) as graph:
        blocks = {block.name: block for block in graph.maps}
        with ExitStack() as made:
            measured = _made(made, [blocks[name] for name in names], backend, kernels, found)
            # A declared size includes the libraries that the first model has imported.
            kind = found.host if free is None else found.device
            kind.taken |= {name: blocks[name].setup_bytes for name in names[measured:]}
        if not found.fits(names):
            close_unused()
            release_unused_memory()
    return found


def _made(
    made: ExitStack,
    blocks: Sequence[MapBlock],
    backend: str,
    kernels: Kernels,
    found: SetupMemory,
) -> int:
    """Make what blocks need while there is room; return how many blocks were measured."""
    for number, block in enumerate(blocks):
        kind = found.host if kernels.free_memory() is None else found.device
        if kind.room is not None and sum(kind.taken.values()) + block.setup_bytes > kind.room:
            return number
        resident, free = _resident(), kernels.free_memory() or 0
        made.enter_context(arguments_of([block], backend))
        found.host.taken[block.name] = max(0, _resident() - resident)
        found.device.taken[block.name] = max(0, free - (kernels.free_memory() or 0))
        if not found.fits([one.name for one in blocks[: number + 1]]):
            return number + 1
    return len(blocks)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
