"""`Adaptive`: chooses the size of micro-batches by the memory and time that earlier ones took.

Pure arithmetic: running the blocks is in `block_execution`, the memory available in `budget`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import cycle
from statistics import median

from .micro_batch import MicroBatch

LOW, AIM, HIGH = 0.7, 0.8, 0.9
"""Shares of the memory budget: below `LOW` sizes grow towards `AIM`; above `HIGH` they halve."""

FIRST_GUESS = 2.0
"""Bytes of memory per byte of text and fields, assumed before anything was measured."""

MIN_SPEEDUP = 1.02
"""Speedup over the size in use that another size needs to replace it: larger sizes cost memory."""

ROUNDS = 8
"""Calls with each size before sizes are compared; in turn, so that a slow spell affects all."""

RETRY_CALLS = 256
"""Calls until a size that lost a comparison is tried again: the texts may have changed."""

MIN_CALM, MAX_CALM = 64, 4096
"""Number of micro-batches that must fit after an out-of-memory failure before a larger size is
tried; it doubles with each failure, from the minimum to the maximum."""

OFFSET_BYTES = 8
"""Maximum bytes per text in addition to the text itself."""


class Comparison:
    """The size in use and candidates to replace it, run in turn."""

    def __init__(self, current: float, candidates: Sequence[float]) -> None:
        self.current = current
        self.rates: dict[float, list[float]] = {scale: [] for scale in (*candidates, current)}
        self._turns = cycle(self.rates)

    @property
    def smallest_call(self) -> float:
        """The scale that a call must exceed; in a smaller call, two sizes would be the same."""
        return sorted(self.rates)[-2]

    def next_scale(self) -> float:
        """Return the size whose turn it is."""
        return next(self._turns)

    def winner(self) -> float | None:
        """Return the size to use from now on, or None until enough calls were measured."""
        if min(map(len, self.rates.values())) < ROUNDS:
            return None
        current = self.rates[self.current]
        medians = {scale: median(rates) for scale, rates in self.rates.items()}
        best = max(medians, key=lambda scale: medians[scale])
        # Most rounds must be won: on a busy machine, a single call may take twice as long.
        wins = sum(a > b for a, b in zip(self.rates[best], current, strict=False))
        sure = wins >= ROUNDS - 1 and medians[best] >= MIN_SPEEDUP * medians[self.current]
        return best if sure else self.current


class Adaptive:
    """Micro-batch sizes of one graph on one backend, shared by all threads of a process.

    A size is a multiple (scale) of the backend's own size. It is limited by memory, and among the
    allowed sizes the one that is measurably fastest is used. The memory that a micro-batch uses is
    estimated as a measured factor times its bytes of text and of fields.

    Parameters
    ----------
    base : MicroBatch
        The backend's own size, suitable if memory is plentiful; the first size used.
    max_scale : float
        Largest multiple of `base`.
    in_flight : int
        Micro-batches that use memory at the same time.
    row_bytes : int
        Bytes per text of its fields.

    Examples
    --------
    >>> sizes = Adaptive(MicroBatch(1000, 1 << 20), max_scale=1, in_flight=1, row_bytes=124)
    >>> sizes.begin(budget=1 << 30, rows=5000, nbytes=300_000).size
    MicroBatch(rows=1000, text_bytes=1048576)
    >>> sizes.begin(budget=1 << 20, rows=5000, nbytes=300_000).size
    MicroBatch(rows=250, text_bytes=262144)
    """

    def __init__(self, base: MicroBatch, max_scale: float, in_flight: int, row_bytes: int) -> None:
        self._base, self._max_scale = base, max_scale
        self._in_flight, self._row_bytes = in_flight, row_bytes + OFFSET_BYTES
        self._min_scale = 1 / max(base.rows, base.text_bytes)  # one text at a time
        self._lock = threading.Lock()
        self._factor, self._largest = FIRST_GUESS, 0
        self._allowed = max_scale  # limit set by the memory budget
        self._ceiling = max_scale  # limit set by out-of-memory failures
        self._calm_needed, self._calm = MIN_CALM, 0
        self._fastest = 1.0
        self._comparison: Comparison | None = None
        self._lost_at: dict[float, int] = {}  # scale: number of the call at which it lost
        self._calls = 0

    @property
    def size(self) -> MicroBatch:
        """The size in use."""
        with self._lock:
            return self._base.times(min(self._fastest, self._limit))

    @property
    def largest(self) -> MicroBatch:
        """The largest size that may be used, if memory allows."""
        return self._base.times(self._max_scale)

    @property
    def factor(self) -> float:
        """Bytes that a micro-batch uses per byte of its texts and their fields."""
        return self._factor

    def begin(self, budget: int, rows: int, nbytes: int) -> Turn:
        """Begin a call that cuts `rows` texts, of `nbytes` bytes, into micro-batches.

        Parameters
        ----------
        budget : int
            Bytes available for the micro-batches in flight.
        """
        with self._lock:
            self._calls += 1
            self._fit(budget)
            comparison = self._comparison_for(self._scale(rows, nbytes))
            scale = comparison.next_scale() if comparison else self._fastest
        return Turn(self, scale, comparison, rows * self._row_bytes + nbytes)

    def fitted(self, rows: int, nbytes: int, used: int) -> None:
        """Record that a micro-batch of `rows` texts and `nbytes` of text used `used` bytes."""
        held = nbytes + rows * self._row_bytes
        with self._lock:
            # A small one predicts little about a large one: fixed overheads weigh more in it.
            if held > 2 * self._largest:
                self._factor = used / held
            elif 2 * held >= self._largest:
                self._factor = max(self._factor, used / held)
            self._largest = max(self._largest, held)
            self._calm += 2 * self._scale(rows, nbytes) >= self._ceiling
            if self._calm >= self._calm_needed and self._ceiling < self._max_scale:
                self._ceiling, self._calm = min(2 * self._ceiling, self._max_scale), 0

    def failed(self, rows: int, nbytes: int) -> None:
        """Record that a micro-batch of `rows` texts and `nbytes` of text did not fit in memory."""
        with self._lock:
            half = max(self._scale(rows, nbytes) / 2, self._min_scale)
            if half < self._ceiling:  # else others that were in flight have failed already
                self._ceiling, self._comparison = half, None
                self._calm_needed, self._calm = min(2 * self._calm_needed, MAX_CALM), 0

    def within_limits(self, scale: float) -> MicroBatch:
        """Return the size of a scale, or the largest that memory currently allows."""
        with self._lock:
            return self._base.times(min(scale, self._limit))

    def measured(self, comparison: Comparison, scale: float, rate: float) -> None:
        """Record the rate, in bytes per second, of a call that used a scale."""
        with self._lock:
            comparison.rates[scale].append(rate)
            winner = comparison.winner()
            if winner is not None and comparison is self._comparison:
                self._lost_at |= dict.fromkeys(set(comparison.rates) - {winner}, self._calls)
                self._fastest, self._comparison = winner, None

    @property
    def _limit(self) -> float:
        return min(self._allowed, self._ceiling)

    def _fit(self, budget: int) -> None:
        """Halve the allowed scale if it uses too much of the budget; grow it if it uses little."""
        use = self._use(self._allowed, budget)
        if use < LOW:
            most = AIM / use * self._allowed if use else self._max_scale
            self._allowed = min(2 * self._allowed, most, self._max_scale)
        while self._allowed > self._min_scale and self._use(self._allowed, budget) > HIGH:
            self._allowed /= 2

    def _use(self, scale: float, budget: int) -> float:
        size = self._base.times(scale)
        held = size.text_bytes + size.rows * self._row_bytes
        return self._in_flight * self._factor * held / max(budget, 1)

    def _scale(self, rows: int, nbytes: int) -> float:
        return max(rows / self._base.rows, nbytes / self._base.text_bytes)

    def _comparison_for(self, scale: float) -> Comparison | None:
        """Return the comparison that a call takes part in, if it is large enough for that."""
        if self._comparison is not None and max(self._comparison.rates) > self._limit:
            self._comparison = None
        if self._comparison is None and (candidates := self._candidates(scale)):
            self._comparison = Comparison(self._fastest, candidates)
        large_enough = self._comparison and scale > self._comparison.smallest_call
        return self._comparison if large_enough else None

    def _candidates(self, scale: float) -> list[float]:
        """Return the sizes that a call of this scale may try, except those that lost recently."""
        smaller_of_pair = {2 * self._fastest: self._fastest, self._fastest / 2: self._fastest / 2}
        return [
            candidate
            for candidate, smaller in smaller_of_pair.items()
            if self._largest  # the memory use has to be known before growing
            and max(candidate, self._fastest) <= self._limit
            and scale > smaller
            and self._calls - self._lost_at.get(candidate, -RETRY_CALLS) >= RETRY_CALLS
        ]


class Turn:
    """The micro-batch sizes of one call, and the feedback on them."""

    def __init__(
        self, sizes: Adaptive, scale: float, comparison: Comparison | None, held: int
    ) -> None:
        self._sizes, self._scale, self._comparison, self._held = sizes, scale, comparison, held

    @property
    def size(self) -> MicroBatch:
        """Maximum size of the next micro-batch."""
        return self._sizes.within_limits(self._scale)

    def fitted(self, rows: int, nbytes: int, used: int) -> None:
        """Record the bytes that a micro-batch of `rows` texts and `nbytes` of text used."""
        self._sizes.fitted(rows, nbytes, used)

    def failed(self, rows: int, nbytes: int) -> None:
        """Record that a micro-batch did not fit in memory."""
        self._comparison = None
        self._sizes.failed(rows, nbytes)

    def spoiled(self) -> None:
        """Leave this call out of comparisons: part of its time was a search for failing texts."""
        self._comparison = None

    def ended(self, seconds: float) -> None:
        """Record how long the whole call took."""
        if self._comparison is not None and seconds > 0:
            self._sizes.measured(self._comparison, self._scale, self._held / seconds)


class Fixed:
    """A fixed micro-batch size set by the user; ignores feedback."""

    def __init__(self, size: MicroBatch) -> None:
        self.size = size

    def begin(self, *_: int) -> Fixed:
        """Begin a call."""
        return self

    def fitted(self, *_: int) -> None:
        """Ignore the memory used."""

    def failed(self, *_: int) -> None:
        """Ignore the failure: the size does not change."""

    def spoiled(self) -> None:
        """Ignore it."""

    def ended(self, _: float) -> None:
        """Ignore the time taken."""
