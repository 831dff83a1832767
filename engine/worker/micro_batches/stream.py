"""`Stream`: the micro-batches of one call after another, several of them in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Self, TypeVar

import numpy.typing as npt

from ..failing_rows import OnFailure
from ..values.inputs import Inputs
from .adaptive_size import Fixed, Turn
from .micro_batch import MicroBatch
from .pace import Pace

AnyTurn = Turn | Fixed

Where = Callable[[int, int], str]
"""Function that describes the location of texts ``[start, stop)``, for messages."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Texts that the blocks are run for.

    Parameters
    ----------
    where : callable
        Describes the location of texts.
    failed : callable, optional
        Called with the number of each text that a block of the user's own fails for, and with the
        failure, perhaps twice; its fields are filled. It raises `BlockError` to end the run. By
        default the first failure ends the run, without a search for the text.
    """

    inputs: Inputs
    where: Where
    failed: OnFailure | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The results of the blocks for the texts ``[start, stop)`` of a call."""

    start: int
    stop: int
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # by field, on the host
    seconds: Mapping[str, float] = field(default_factory=dict)  # by block, measured on the host
    searched: bool = False  # for texts that a block failed for

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays; strings count as the host's pointers to them."""
        return sum(array.nbytes for array in self.arrays.values())


AnyCall = TypeVar("AnyCall", bound=Call)


@dataclass(frozen=True)
class _Sent(Generic[AnyCall]):
    call: AnyCall
    turn: AnyTurn
    began: float  # when its call began
    is_last: bool  # of its call
    part: Future[Part]


class Stream(Generic[AnyCall]):
    """Cuts calls into micro-batches, and yields their parts in order.

    Those of the next calls are begun before the parts of the first are collected, so that what
    computes them never waits for the next call.

    Parameters
    ----------
    compute : callable
        Computes texts ``[start, stop)`` of a call.
    begin : callable
        Returns the sizes to use for a call.
    pace : Pace or None
        Limits the texts per micro-batch further.
    in_flight : int
        Micro-batches in flight. If it is 1, the caller's thread computes them.

    Examples
    --------
    >>> two_rows = Fixed(MicroBatch(rows=2))
    >>> call = Call(inputs=Inputs({}, 5), where=lambda *_: "")
    >>> def compute(call, turn, start, stop):
    ...     return Part(start=start, stop=stop)
    >>> with Stream(compute, lambda call: two_rows, None, in_flight=1) as stream:
    ...     [(part.start, part.stop) for _, part in stream.send(call)]
    [(0, 2), (2, 4), (4, 5)]
    """

    def __init__(
        self,
        compute: Callable[[AnyCall, AnyTurn, int, int], Part],
        begin: Callable[[AnyCall], AnyTurn],
        pace: Pace | None,
        in_flight: int,
    ) -> None:
        self._compute, self._begin, self._pace = compute, begin, pace
        self._in_flight = in_flight
        self._pool = ThreadPoolExecutor(in_flight, "paninifs-offload") if in_flight > 1 else None
        self._sent: deque[_Sent[AnyCall]] = deque()
        self._ended = 0.0  # when the last call that was collected ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def oldest(self) -> Future[Part] | None:
        """The part that is collected next, if there is one."""
        return self._sent[0].part if self._sent else None

    def send(self, call: AnyCall) -> Iterator[tuple[AnyCall, Part]]:
        """Begin all micro-batches of a call; yield parts of this and earlier calls.

        A call without texts has one empty part.
        """
        turn, began = self._begin(call), time.perf_counter()
        for start, stop in self._cut(call.inputs, turn):
            is_last = stop == len(call.inputs)
            part = self._begun(call, turn, start, stop)
            self._sent.append(_Sent(call, turn, began, is_last, part))
            # One micro-batch may wait; more would only hold memory.
            while len(self._sent) > (self._in_flight if self._pool else 0):
                yield self._collected()

    def done(self) -> Iterator[tuple[AnyCall, Part]]:
        """Yield the parts that are computed by now."""
        while self._sent and self._sent[0].part.done():
            yield self._collected()

    def rest(self) -> Iterator[tuple[AnyCall, Part]]:
        """Wait for the parts that are left, and yield them."""
        while self._sent:
            yield self._collected()

    def _begun(self, call: AnyCall, turn: AnyTurn, start: int, stop: int) -> Future[Part]:
        if self._pool is not None and stop > start:
            # In the task's own context, by which dask finds the current worker.
            computed = partial(self._compute, call, turn, start, stop)
            return self._pool.submit(copy_context().run, computed)
        part: Future[Part] = Future()
        empty = Part(start=start, stop=stop)
        part.set_result(self._compute(call, turn, start, stop) if stop > start else empty)
        return part

    def _collected(self) -> tuple[AnyCall, Part]:
        sent = self._sent.popleft()
        part = sent.part.result()
        if sent.is_last:
            now = time.perf_counter()  # calls overlap, so the time since the last one ended counts
            sent.turn.ended(now - max(sent.began, self._ended))
            self._ended = now
        return sent.call, part

    def _cut(self, inputs: Inputs, turn: AnyTurn) -> Iterator[tuple[int, int]]:
        """Yield micro-batches ``[start, stop)``, each of the size that is current at that time.

        On a device they are about equal, as a small one takes almost as long as a large one.
        """
        start = 0
        while start < len(inputs):
            size = turn.size if self._pool is None else _even(turn.size, inputs[start:])
            stop = inputs.stop(size, start)
            if self._pace is not None and stop - start > self._pace.rows:
                stop = start + self._pace.rows
                turn.spoiled()
            yield start, stop
            start = stop
        if not len(inputs):
            yield 0, 0


def _even(size: MicroBatch, inputs: Inputs) -> MicroBatch:
    """Return a size, at most the given one, that cuts the inputs into about equal parts.

    >>> from ....storage.text import PackedText
    >>> _even(MicroBatch(100, 1000), Inputs.of_text(PackedText.from_strings(["un"] * 130)))
    MicroBatch(rows=65, text_bytes=1000)
    """
    rows = -(-len(inputs) // -(-len(inputs) // size.rows))
    parts = -(-inputs.nbytes // size.text_bytes)
    # A few more bytes, as texts are not cut: otherwise some would be left for another part.
    text_bytes = int(1.05 * inputs.nbytes / parts) if parts > 1 else size.text_bytes
    return MicroBatch(rows, min(size.text_bytes, text_bytes))
