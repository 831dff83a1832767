"""`Blocks`: runs a graph's blocks over texts on a backend, in micro-batches, several at once.

Reading the texts and filling the arrays of a shard is in `compute`, choosing the size of
micro-batches in `adaptive_batch_size`.
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
from .adaptive_batch_size import Adaptive, Fixed, Turn
from .budget import max_scale, memory_budget
from .exclusive import SharedExclusiveLock
from .micro_batch import MicroBatch

AnyTurn = Turn | Fixed

Where = Callable[[int, int], str]
"""Function that describes the location of texts ``[start, stop)``, for messages."""


@dataclass(frozen=True)
class Part:
    """The results of the blocks for the texts ``[start, stop)``."""

    start: int
    stop: int
    arrays: Mapping[str, npt.NDArray[Any]]  # by field, in the host's memory
    seconds: Mapping[str, float]  # by block, measured on the host

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays; strings count as the host's pointers to them."""
        return sum(array.nbytes for array in self.arrays.values())


def _cut(text: PackedText, turn: AnyTurn) -> Iterator[tuple[int, int]]:
    """Yield micro-batches ``[start, stop)``, each of the size that is current at that time."""
    start = 0
    while start < len(text):
        stop = turn.size.stop(text, start)
        yield start, stop
        start = stop


_memory_lock = SharedExclusiveLock()
"""Held by this process's micro-batches, which share its memory."""

_adaptive_sizes: dict[tuple[str, str, int, float], Adaptive] = {}
"""Sizes learnt by this process's tasks, by backend, blocks, bytes per row and largest scale."""


def _shared_sizes(graph: Graph, backend: str) -> Adaptive:
    """Return the sizes that this process has learnt for a graph's blocks on a backend."""
    kernels = load(backend)
    scale = max_scale(kernels)
    key = backend, graph.label, graph.row_bytes, scale
    base = MicroBatch(*kernels.MICRO_BATCH)
    return _adaptive_sizes.setdefault(
        key, Adaptive(base, scale, kernels.IN_FLIGHT, graph.row_bytes)
    )


class Blocks:
    """The blocks of a graph, bound to a backend.

    Parameters
    ----------
    micro_batch : MicroBatch, optional
        Fixed size of one call of a block. By default the size is adapted to the texts, the blocks
        and the memory, and shared with the other tasks of this process.
    begun : callable, optional
        Called before every call of a block, with its name and the location of the texts.
    """

    def __init__(
        self,
        graph: Graph,
        backend: str,
        micro_batch: MicroBatch | None = None,
        begun: Callable[[str, str], object] | None = None,
    ) -> None:
        self._begun = begun
        self._kernels = load(backend)
        self._steps = [(block, block.bind(backend)) for block in fuse(graph).blocks]
        self._fields = [field.name for field in graph.fields]
        self._sizes = Fixed(micro_batch) if micro_batch else _shared_sizes(graph, backend)

    @property
    def size(self) -> MicroBatch:
        """Current maximum size of one call of a block."""
        return self._sizes.size

    @property
    def joined_batch(self) -> MicroBatch | None:
        """Amount of input that keeps the backend busy; smaller batches are joined up to it.

        None if one micro-batch at a time keeps it busy; then batches are used as they are read.
        """
        in_flight = self._kernels.IN_FLIGHT
        return None if in_flight == 1 else self._sizes.size.times(in_flight)

    def run(self, text: PackedText, where: Where) -> Iterator[Part]:
        """Compute every field of the texts; yield the parts in order.

        A micro-batch that does not fit in memory is halved and retried. A single text is retried
        while nothing else is computed.

        Raises
        ------
        BlockError
            A block failed, or a single text does not fit in memory.
        DeviceLost
            The device failed.
        """
        turn = self._sizes.begin(memory_budget(self._kernels), len(text), text.nbytes)

        def compute(pair: tuple[int, int]) -> Part:
            return self._part(text, *pair, where, turn)

        began = time.perf_counter()
        if self._kernels.IN_FLIGHT == 1:
            yield from map(compute, _cut(text, turn))
        else:
            with ThreadPoolExecutor(self._kernels.IN_FLIGHT, "paninifs-offload") as pool:
                # In the task's own context, by which dask finds the current worker.
                sent: deque[Future[Part]] = deque()
                for pair in _cut(text, turn):
                    sent.append(pool.submit(copy_context().run, compute, pair))
                    # One micro-batch may wait; more would only hold memory.
                    if len(sent) > self._kernels.IN_FLIGHT:
                        yield sent.popleft().result()
                while sent:
                    yield sent.popleft().result()
        turn.ended(time.perf_counter() - began)

    def _part(self, text: PackedText, start: int, stop: int, where: Where, turn: AnyTurn) -> Part:
        rows, nbytes = stop - start, text[start:stop].nbytes
        try:
            with _memory_lock.shared(), self._kernels.count_allocations() as count:
                part = self._whole(text[start:stop], start, stop, where)
        except MemoryError:
            if rows > 1:
                turn.failed(rows, nbytes)
        else:
            turn.fitted(rows, nbytes, max(count.nbytes, part.nbytes + nbytes))
            return part
        if rows == 1:  # other micro-batches may have held the memory that it needs
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
            with _memory_lock.exclusive():
                return self._whole(text[row : row + 1], row, row + 1, where)
        except MemoryError as error:
            raise BlockError(
                f"a text of {text[row : row + 1].nbytes:,} bytes does not fit in memory "
                f"(at {where(row, row + 1)})"
            ) from error

    def _whole(self, text: PackedText, start: int, stop: int, where: Where) -> Part:
        seconds: dict[str, float] = {}
        running = ""

        def work(on_device: PackedText) -> dict[str, Any]:
            nonlocal running
            values: dict[str, Any] = {TEXT: on_device}
            for block, code in self._steps:
                running, began = block.name, time.perf_counter()
                if self._begun is not None:
                    self._begun(block.name, where(start, stop))
                returned = code(*(values[name] for name in block.inputs), **block.params)
                made = block.outputs(returned, len(on_device))
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
