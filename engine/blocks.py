"""The blocks of a graph over texts, on a backend: micro-batches, several of them under way at once.

Where the texts come from, and where the arrays go, is `compute`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..graphs.block import TEXT
from ..graphs.fusion import fuse
from ..graphs.graph import Graph
from ..graphs.kernels import load
from ..storage.errors import BlockError, DeviceLost
from ..storage.text import PackedText
from .micro_batch import MicroBatch

Where = Callable[[int, int], str]
"""What to call the texts ``[start, stop)`` in a message."""


@dataclass(frozen=True)
class Part:
    """What the blocks made of the texts ``[start, stop)``."""

    start: int
    stop: int
    arrays: Mapping[str, npt.NDArray[Any]]  # by field, in the host's memory
    seconds: Mapping[str, float]  # by block, as the host sees it


class Blocks:
    """The blocks of a graph, bound to a backend."""

    def __init__(self, graph: Graph, backend: str, micro_batch: MicroBatch | None = None) -> None:
        self._kernels = load(backend)
        self._steps = [(block, block.bind(backend)) for block in fuse(graph).blocks]
        self._fields = [one.name for one in graph.fields]
        self._micro_batch = micro_batch or MicroBatch(*self._kernels.MICRO_BATCH)

    @property
    def enough(self) -> MicroBatch | None:
        """What keeps the backend busy, so that batches are joined until they are as much.

        None where one micro-batch at a time does: then they are taken as they are read.
        """
        several = self._kernels.IN_FLIGHT
        if several == 1:
            return None
        return MicroBatch(several * self._micro_batch.rows, several * self._micro_batch.text_bytes)

    def run(self, text: PackedText, where: Where) -> Iterator[Part]:
        """Compute every field of the texts, and yield them part by part, in order.

        A micro-batch that the memory has no room for is halved, and tried again.

        Raises
        ------
        BlockError
            A block failed, or a single text is too much for the memory.
        DeviceLost
            The device failed.
        """
        bounds = self._micro_batch.bounds(text)

        def compute(pair: tuple[int, int]) -> Part:
            return self._part(text, *pair, where)

        if self._kernels.IN_FLIGHT == 1:
            yield from map(compute, bounds)
        else:
            with ThreadPoolExecutor(self._kernels.IN_FLIGHT, "paninifs-offload") as pool:
                # In the task's own context, by which dask tells which worker this is.
                sent = [pool.submit(copy_context().run, compute, pair) for pair in bounds]
                yield from (part.result() for part in sent)

    def _part(self, text: PackedText, start: int, stop: int, where: Where) -> Part:
        try:
            return self._whole(text[start:stop], start, stop, where)
        except MemoryError as error:
            if stop - start == 1:
                raise BlockError(
                    f"a text of {text[start:stop].nbytes:,} bytes is too much for the memory "
                    f"(at {where(start, stop)})"
                ) from error
        middle = (start + stop) // 2
        halves = [self._part(text, *pair, where) for pair in ((start, middle), (middle, stop))]
        joined = {
            name: np.concatenate([half.arrays[name] for half in halves]) for name in self._fields
        }
        spent = {block: sum(half.seconds[block] for half in halves) for block in halves[0].seconds}
        return Part(start, stop, joined, spent)

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
