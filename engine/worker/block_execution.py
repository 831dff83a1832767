"""`Blocks`: runs a graph's blocks over texts on a backend, in micro-batches.

Reading the texts and filling the arrays of a shard is in `compute`. How large micro-batches are,
and how many are in flight, is in `micro_batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ...graphs.fusion import fuse
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...storage.errors import BlockError, DeviceLost
from .failing_rows import BlockFailure, OnFailure, Search
from .micro_batches.adaptive_size import Adaptive, Fixed
from .micro_batches.budget import JOINED, in_flight, max_scale, memory_budget
from .micro_batches.exclusive import SharedExclusiveLock
from .micro_batches.micro_batch import MicroBatch
from .micro_batches.pace import Pace
from .micro_batches.stream import AnyTurn, Call, Part, Stream, Where
from .user_code import Sources, in_words
from .values.inputs import Inputs
from .values.setups import arguments_of

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
        key, Adaptive(base, scale, in_flight(kernels), graph.row_bytes)
    )


_paces: WeakKeyDictionary[Callable[..., Any], dict[str, Pace]] = WeakKeyDictionary()
"""What this process has learnt of graphs, by their first function of the user's and the backend."""


def _shared_pace(graph: Graph, backend: str) -> Pace | None:
    """Return the pace of a graph; None if it has built-in blocks only, which are never slow."""
    own = next((block.function for block in graph.maps if block.function is not None), None)
    if own is None:
        return None
    try:
        return _paces.setdefault(own, {}).setdefault(f"{backend} {graph.label}", Pace())
    except TypeError:  # an object that cannot be a key
        return Pace()


class Blocks:
    """The blocks of a graph, bound to a backend.

    Parameters
    ----------
    micro_batch : MicroBatch, optional
        Fixed size of one call of a block. By default the size is adapted to the texts, the blocks,
        the time they take and the memory, and shared with the other tasks of this process.
    begun : callable, optional
        Called before every call of a block, with its name and the location of the texts.
    sources : mapping, optional
        Source of the user's functions, for the messages of errors; see `user_code`.
    reductions : mapping, optional
        Results of reductions that the blocks take, by name.

    Attributes
    ----------
    setup_seconds : mapping
        Seconds that the blocks' ``setup`` took when the blocks were entered, by label.
    setup_bytes : int
        Memory of what it made.
    """

    def __init__(
        self,
        graph: Graph,
        backend: str,
        micro_batch: MicroBatch | None = None,
        begun: Callable[[str, str], object] | None = None,
        sources: Sources | None = None,
        reductions: Mapping[str, Any] | None = None,
    ) -> None:
        self._begun = begun
        self._backend, self._kernels = backend, load(backend)
        self._steps = [(block, block.bind(backend)) for block in fuse(graph).maps]
        self._constants = self._kernels.resident(reductions or {})
        self._arguments: Mapping[str, Mapping[str, Any]] = {}
        self._entered = ExitStack()
        self.setup_seconds: Mapping[str, float] = {}
        self.setup_bytes = 0
        self._fields = graph.arrays
        self._sources = sources or {}
        self._sizes = Fixed(micro_batch) if micro_batch else _shared_sizes(graph, backend)
        self._pace = None if micro_batch else _shared_pace(graph, backend)
        self._in_flight = in_flight(self._kernels)

    def __enter__(self) -> Self:
        """Make what the blocks' ``setup`` makes, unless this process has it; see `arguments_of`."""
        blocks = [block for block, _ in self._steps]
        try:
            made = self._entered.enter_context(arguments_of(blocks, self._backend, self._sources))
        except ImportError as error:
            _require_worker_with_module(error, f"a block's setup needs {error.name!r}")
            raise BlockError(f"a block's setup raised {in_words(error)}") from error
        self._arguments, self.setup_bytes = made.by_block, made.nbytes
        self.setup_seconds = made.seconds
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    @property
    def size(self) -> MicroBatch:
        """Current maximum size of one call of a block."""
        size = self._sizes.size
        return size if self._pace is None else replace(size, rows=min(size.rows, self._pace.rows))

    @property
    def joined_batch(self) -> MicroBatch | None:
        """Amount of input that is joined before it is computed.

        None if one micro-batch at a time keeps the backend busy; then batches are used as they are
        read.
        """
        return None if self._in_flight == 1 else self._sizes.size.times(JOINED)

    @property
    def host_buffer(self) -> Callable[[int], npt.NDArray[np.uint8]]:
        """Makes memory of a number of bytes for texts, from which the backend copies fastest."""
        return self._kernels.host_buffer

    def stream(self) -> Stream[Any]:
        """Return what computes every field for the inputs of one call after another.

        A micro-batch that does not fit in memory is halved and retried. A single text is retried
        while nothing else is computed.

        Raises
        ------
        BlockError
            A block failed, or a single text does not fit in memory.
        DeviceLost
            The device failed.
        """
        return Stream(self._part, self._turn, self._pace, self._in_flight)

    def run(self, inputs: Inputs, where: Where, failed: OnFailure | None = None) -> Iterator[Part]:
        """Compute one call; yield its parts. See `Call` and `stream`."""
        with self.stream() as stream:
            call = Call(inputs=inputs, where=where, failed=failed)
            for _, part in chain(stream.send(call), stream.rest()):
                yield part

    def _turn(self, call: Call) -> AnyTurn:
        return self._sizes.begin(memory_budget(self._kernels), len(call.inputs), call.inputs.nbytes)

    def _part(self, call: Call, turn: AnyTurn, start: int, stop: int) -> Part:
        rows, nbytes = stop - start, call.inputs[start:stop].nbytes
        try:
            with _memory_lock.shared(), self._kernels.count_allocations() as count:
                part = self._whole(call, start, stop)
        except MemoryError:
            if rows > 1:
                turn.failed(rows, nbytes)
        else:
            if part.searched:  # its time and memory are not those of a micro-batch of this size
                turn.spoiled()
            else:
                turn.fitted(rows, nbytes, max(count.nbytes, part.nbytes + nbytes))
                if self._pace is not None:
                    self._pace.measured(rows, nbytes, sum(part.seconds.values()))
            return part
        if rows == 1:  # other micro-batches may have held the memory that it needs
            return self._alone(call, start)
        middle = (start + stop) // 2
        halves = [self._part(call, turn, *pair) for pair in ((start, middle), (middle, stop))]
        joined = {
            field.name: np.concatenate([half.arrays[field.name] for half in halves])
            for field in self._fields
        }
        spent = {
            block: sum(half.seconds.get(block, 0.0) for half in halves)
            for block in {**halves[0].seconds, **halves[1].seconds}
        }
        return Part(
            start=start,
            stop=stop,
            arrays=joined,
            seconds=spent,
            searched=any(half.searched for half in halves),
        )

    def _alone(self, call: Call, row: int) -> Part:
        try:
            with _memory_lock.exclusive():
                return self._whole(call, row, row + 1)
        except MemoryError as error:
            raise BlockError(
                f"a text of {call.inputs[row : row + 1].nbytes:,} bytes does not fit in memory "
                f"(at {call.where(row, row + 1)})"
            ) from error

    def _whole(self, call: Call, start: int, stop: int) -> Part:
        failed = None if call.failed is None else _shifted(call.failed, start)
        search = Search(
            self._steps,
            self._kernels,
            self._fields,
            failed,
            begun=self._begun_at(call, start),
            constants=self._constants,
            arguments=self._arguments,
        )
        inputs = call.inputs[start:stop]
        try:
            arrays = self._kernels.offload(
                inputs.values, lambda values: search(Inputs(values, inputs.rows))
            )
        except (MemoryError, DeviceLost, BlockError):
            raise
        except BlockFailure as failure:
            where = call.where(start + failure.start, start + failure.stop)
            raise failure.to_error(where, self._sources) from failure.error
        except Exception as error:
            whole = BlockFailure(search.running, error, (0, stop - start))
            where = call.where(start, stop)
            if isinstance(error, ImportError):
                _require_worker_with_module(error, f"{whole.reason(self._sources)} (at {where})")
            raise whole.to_error(where, self._sources) from error
        return Part(
            start=start,
            stop=stop,
            arrays=arrays,
            seconds=search.seconds,
            searched=search.searched,
        )

    def _begun_at(self, call: Call, start: int) -> Callable[[str, int, int], object] | None:
        """Return what reports a block that begins, for texts numbered from `start`."""
        begun = self._begun
        if begun is None:
            return None
        return lambda block, first, last: begun(block, call.where(start + first, start + last))


def _require_worker_with_module(error: ImportError, what: str) -> None:
    """Raise `CannotLoad` on a worker: another one may have the module."""
    from .sent_graph import CannotLoad, this_worker  # imports dask, which `peek` does without

    if here := this_worker():
        raise CannotLoad(
            f"{here}: {what}; install it there, or send a file of your own with client.upload_file",
            error.name,
        ) from error


def _shifted(failed: OnFailure, start: int) -> OnFailure:
    return lambda row, failure: failed(start + row, failure)
