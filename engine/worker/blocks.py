"""The blocks of a graph over texts, on a backend: micro-batches, several of them under way at once.

Where the texts come from, and where the arrays go, is `compute`'s business.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...graphs.block import TEXT
from ...graphs.fusion import fuse
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...storage.errors import BlockError, DeviceLost
from ...storage.text import PackedText
from .adaptive import Adaptive, Fixed, Turn
from .budget import most_times, room
from .exclusive import Gate
from .micro_batch import MicroBatch

AnyTurn = Turn | Fixed

Where = Callable[[int, int], str]
"""What to call the texts ``[start, stop)`` in a message."""


@dataclass(frozen=True)
class Part:
    """What the blocks made of the texts ``[start, stop)``."""

    start: int
    stop: int
    arrays: Mapping[str, npt.NDArray[Any]]  # by field, in the host's memory
    seconds: Mapping[str, float]  # by block, as the host sees it

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays; of strings as the host's pointers to them."""
        return sum(array.nbytes for array in self.arrays.values())


def _cut(text: PackedText, turn: AnyTurn) -> Iterator[tuple[int, int]]:
    """Yield micro-batches, ``[start, stop)``, of the size that is right by then."""
    start = 0
    while start < len(text):
        stop = turn.size.stop(text, start)
        yield start, stop
        start = stop


_gate = Gate()
"""Of this process's micro-batches, which share its memory."""

_learnt: dict[tuple[str, str, int, float], Adaptive] = {}
"""By backend, blocks, bytes a row and the most that there is room for: of this process's tasks."""


def _learning(graph: Graph, backend: str) -> Adaptive:
    """Return what was learnt in this process of a graph's blocks on a backend."""
    kernels = load(backend)
    key = backend, graph.label, graph.row_bytes, most_times(kernels)
    home = MicroBatch(*kernels.MICRO_BATCH)
    return _learnt.setdefault(key, Adaptive(home, key[-1], kernels.IN_FLIGHT, graph.row_bytes))


class Blocks:
    """The blocks of a graph, bound to a backend.

    Parameters
    ----------
    micro_batch : MicroBatch, optional
        How much a block is given at once. When left out it is adapted to the texts, the blocks and
        the memory, and what is learnt is kept for the process's other tasks.
    """

    def __init__(self, graph: Graph, backend: str, micro_batch: MicroBatch | None = None) -> None:
        self._kernels = load(backend)
        self._steps = [(block, block.bind(backend)) for block in fuse(graph).blocks]
        self._fields = [one.name for one in graph.fields]
        self._sizes = Fixed(micro_batch) if micro_batch else _learning(graph, backend)

    @property
    def size(self) -> MicroBatch:
        """How much a block is given at once at most, as of now."""
        return self._sizes.size

    @property
    def enough(self) -> MicroBatch | None:
        """What keeps the backend busy now, so that batches are joined until they are as much.

        None where one micro-batch at a time does: then they are taken as they are read.
        """
        several = self._kernels.IN_FLIGHT
        return None if several == 1 else self._sizes.size.times(several)

    def run(self, text: PackedText, where: Where) -> Iterator[Part]:
        """Compute every field of the texts, and yield them part by part, in order.

        A micro-batch that the memory has no room for is halved, and tried again; a single text
        while nothing else is computed.

        Raises
        ------
        BlockError
            A block failed, or a single text is too much for the memory.
        DeviceLost
            The device failed.
        """
        turn = self._sizes.begin(room(self._kernels), len(text), text.nbytes)

        def compute(pair: tuple[int, int]) -> Part:
            return self._part(text, *pair, where, turn)

        began = time.perf_counter()
        if self._kernels.IN_FLIGHT == 1:
            yield from map(compute, _cut(text, turn))
        else:
            with ThreadPoolExecutor(self._kernels.IN_FLIGHT, "paninifs-offload") as pool:
                # In the task's own context, by which dask tells which worker this is.
                sent: deque[Future[Part]] = deque()
                for pair in _cut(text, turn):
                    sent.append(pool.submit(copy_context().run, compute, pair))
                    # One waits; more would only hold memory.
                    if len(sent) > self._kernels.IN_FLIGHT:
                        yield sent.popleft().result()
                while sent:
                    yield sent.popleft().result()
        turn.ended(time.perf_counter() - began)

    def _part(self, text: PackedText, start: int, stop: int, where: Where, turn: AnyTurn) -> Part:
        rows, nbytes = stop - start, text[start:stop].nbytes
        try:
            with _gate.beside_others(), self._kernels.counted() as count:
                part = self._whole(text[start:stop], start, stop, where)
        except MemoryError:
            if rows > 1:
                turn.refused(rows, nbytes)
        else:
            turn.took(rows, nbytes, max(count.nbytes, part.nbytes + nbytes))
            return part
        if rows == 1:  # others may have held what it needs
            return self._alone(text, start, where)
        middle = (start + stop) // 2
        pairs = ((start, middle), (middle, stop))
        halves = [self._part(text, *pair, where, turn) for pair in pairs]
        joined = {
            name: np.concatenate([half.arrays[name] for half in halves]) for name in self._fields
        }
        spent = {block: sum(half.seconds[block] for half in halves) for block in halves[0].seconds}
        return Part(start, stop, joined, spent)

    def _alone(self, text: PackedText, row: int, where: Where) -> Part:
        try:
            with _gate.alone():
                return self._whole(text[row : row + 1], row, row + 1, where)
        except MemoryError as error:
            raise BlockError(
                f"a text of {text[row : row + 1].nbytes:,} bytes is too much for the memory "
                f"(at {where(row, row + 1)})"
            ) from error

    def _whole(self, text: PackedText, start: int, stop: int, where: Where) -> Part:
        seconds: dict[str, float] = {}
        running = ""

        def work(there: PackedText) -> dict[str, Any]:
            nonlocal running
            values: dict[str, Any] = {TEXT: there}
            for block, code in self._steps:
                running, began = block.name, time.perf_counter()
                returned = code(*(values[name] for name in block.inputs), **block.params)
                made = block.outputs(returned, len(there))
                values |= {name: self._kernels.asarray(array) for name, array in made.items()}
                seconds[block.name] = time.perf_counter() - began
            return {name: values[name] for name in self._fields}

        try:
            arrays = self._kernels.offload(text, work)
        except (MemoryError, DeviceLost):
            raise
        except BlockError as error:
            raise BlockError(f"{error} (at {where(start, stop)})") from error
        except Exception as error:
            raise BlockError(
                f"block {running!r} raised {type(error).__name__}: {error} "
                f"(at {where(start, stop)})"
            ) from error
        return Part(start, stop, arrays, seconds)
