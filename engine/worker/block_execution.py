"""`Blocks`: runs a graph's blocks over texts on a backend, in micro-batches, several at once.

Reading the texts and filling the arrays of a shard is in `compute`, choosing the size of
micro-batches in `adaptive_batch_size`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ...graphs.fusion import fuse
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...storage.errors import BlockError, DeviceLost
from .adaptive_batch_size import Adaptive, Fixed, Turn
from .budget import max_scale, memory_budget
from .exclusive import SharedExclusiveLock
from .failing_rows import BlockFailure, OnFailure, Search
from .micro_batch import MicroBatch
from .pace import Pace
from .user_code import Sources, in_words
from .values.inputs import Inputs
from .values.setups import arguments_of

AnyTurn = Turn | Fixed

Where = Callable[[int, int], str]
"""Function that describes the location of texts ``[start, stop)``, for messages."""


@dataclass(frozen=True)
class Call:
    """What the micro-batches of one call of `Blocks.run` share."""

    inputs: Inputs
    where: Where
    turn: AnyTurn
    failed: OnFailure | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The results of the blocks for the texts ``[start, stop)``."""

    start: int
    stop: int
    arrays: Mapping[str, npt.NDArray[Any]]  # by field, in the host's memory
    seconds: dict[str, float]  # by block, measured on the host
    searched: bool = False  # for texts that a block failed for
    ran: Mapping[str, int] = field(default_factory=dict)  # texts, by block with a condition

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays; strings count as the host's pointers to them."""
        return sum(array.nbytes for array in self.arrays.values())


def _cut(inputs: Inputs, turn: AnyTurn, pace: Pace | None) -> Iterator[tuple[int, int]]:
    """Yield micro-batches ``[start, stop)``, each of the size that is current at that time."""
    start = 0
    while start < len(inputs):
        stop = inputs.stop(turn.size, start)
        if pace is not None and stop - start > pace.rows:
            stop = start + pace.rows
            turn.spoiled()
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
        """Amount of input that keeps the backend busy; smaller batches are joined up to it.

        None if one micro-batch at a time keeps it busy; then batches are used as they are read.
        """
        in_flight = self._kernels.IN_FLIGHT
        return None if in_flight == 1 else self._sizes.size.times(in_flight)

    def run(self, inputs: Inputs, where: Where, failed: OnFailure | None = None) -> Iterator[Part]:
        """Compute every field for the inputs' texts; yield the parts in order.

        A micro-batch that does not fit in memory is halved and retried. A single text is retried
        while nothing else is computed.

        Parameters
        ----------
        failed : callable, optional
            Called with the number of each text that a block of the user's own fails for, and with
            the failure, perhaps twice; its fields are filled. It raises `BlockError` to end the
            run. By default the first failure ends the run, without a search for the text.

        Raises
        ------
        BlockError
            A block failed, or a single text does not fit in memory.
        DeviceLost
            The device failed.
        """
        turn = self._sizes.begin(memory_budget(self._kernels), len(inputs), inputs.nbytes)
        call = Call(inputs, where, turn, failed)

        def compute(pair: tuple[int, int]) -> Part:
            return self._part(call, *pair)

        began = time.perf_counter()
        if self._kernels.IN_FLIGHT == 1:
            yield from map(compute, _cut(inputs, turn, self._pace))
        else:
            with ThreadPoolExecutor(self._kernels.IN_FLIGHT, "paninifs-offload") as pool:
                # In the task's own context, by which dask finds the current worker.
                sent: deque[Future[Part]] = deque()
                for pair in _cut(inputs, turn, self._pace):
                    sent.append(pool.submit(copy_context().run, compute, pair))
                    # One micro-batch may wait; more would only hold memory.
                    if len(sent) > self._kernels.IN_FLIGHT:
                        yield sent.popleft().result()
                while sent:
                    yield sent.popleft().result()
        turn.ended(time.perf_counter() - began)

    def _part(self, call: Call, start: int, stop: int) -> Part:
        rows, nbytes = stop - start, call.inputs[start:stop].nbytes
        try:
            with _memory_lock.shared(), self._kernels.count_allocations() as count:
                part = self._whole(call, start, stop)
        except MemoryError:
            if rows > 1:
                call.turn.failed(rows, nbytes)
        else:
            if part.searched:  # its time and memory are not those of a micro-batch of this size
                call.turn.spoiled()
            else:
                call.turn.fitted(rows, nbytes, max(count.nbytes, part.nbytes + nbytes))
                if self._pace is not None:
                    self._pace.measured(rows, nbytes, sum(part.seconds.values()))
            return part
        if rows == 1:  # other micro-batches may have held the memory that it needs
            return self._alone(call, start)
        middle = (start + stop) // 2
        halves = [self._part(call, *pair) for pair in ((start, middle), (middle, stop))]
        joined = {
            field.name: np.concatenate([half.arrays[field.name] for half in halves])
            for field in self._fields
        }
        spent = {
            block: sum(half.seconds.get(block, 0.0) for half in halves)
            for block in halves[0].seconds | halves[1].seconds
        }
        ran = Counter(halves[0].ran) + Counter(halves[1].ran)
        return Part(
            start=start,
            stop=stop,
            arrays=joined,
            seconds=spent,
            searched=any(half.searched for half in halves),
            ran=ran,
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
            ran=search.ran,
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
