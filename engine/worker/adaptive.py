"""`Adaptive`: how much the next micro-batch holds, by what those before it took and how fast.

Numbers in, numbers out: what computes, and how much memory it has left, is asked of the backend.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import cycle
from statistics import median

from .micro_batch import MicroBatch

LOW, AIM, HIGH = 0.7, 0.8, 0.9
"""Of the room that there is: grown below the first, towards the second, halved above the third."""

FIRST_GUESS = 2.0
"""Bytes taken for every byte of text and of fields, before anything was measured."""

PAYS = 1.02
"""How much faster a size has to be than the one in use: what is larger for nothing is let be."""

ROUNDS = 8
"""Calls with each size before they are compared: in turn, so that a slow spell meets all."""

AGAIN = 256
"""Calls until a size that lost is tried again: the texts may have become others."""

CALM, MOST_CALM = 64, 4096
"""Micro-batches that fit until more is tried after a refusal: twice as many each time, at most."""

OFFSET_BYTES = 8
"""Of a text, beside its bytes, at most."""


class Match:
    """A size in use and others beside it, tried in turn."""

    def __init__(self, holder: float, rivals: Sequence[float]) -> None:
        self.holder = holder
        self.rates: dict[float, list[float]] = {one: [] for one in (*rivals, holder)}
        self._turns = cycle(self.rates)

    @property
    def least(self) -> float:
        """The size that a call has to be larger than, or two of them would be the same to it."""
        return sorted(self.rates)[-2]

    def turn(self) -> float:
        """Return whose turn it is."""
        return next(self._turns)

    def winner(self) -> float | None:
        """Return which is to be used from now on; None as long as it cannot be said."""
        if min(map(len, self.rates.values())) < ROUNDS:
            return None
        held = self.rates[self.holder]
        medians = {one: median(rates) for one, rates in self.rates.items()}
        best = max(medians, key=lambda one: medians[one])
        # Not once by luck: a busy machine makes a call half as fast as the one before it.
        wins = sum(one > other for one, other in zip(self.rates[best], held, strict=False))
        sure = wins >= ROUNDS - 1 and medians[best] >= PAYS * medians[self.holder]
        return best if sure else self.holder


class Adaptive:
    """How much the micro-batches of one graph on one backend hold; for all threads of a process.

    A size is a multiple of the backend's own: as large as the memory allows, and no larger (or
    smaller) than is seen to pay. What a micro-batch takes is a measured factor times its bytes of
    text and of fields.

    Parameters
    ----------
    home : MicroBatch
        What suits the backend where there is memory enough; what it begins with.
    most : float
        As many times that are never exceeded.
    in_flight : int
        Micro-batches that take memory at once.
    row_bytes : int
        Of a text's fields.

    Examples
    --------
    >>> sizes = Adaptive(MicroBatch(1000, 1 << 20), most=1, in_flight=1, row_bytes=124)
    >>> sizes.begin(room=1 << 30, rows=5000, nbytes=300_000).size
    MicroBatch(rows=1000, text_bytes=1048576)
    >>> sizes.begin(room=1 << 20, rows=5000, nbytes=300_000).size
    MicroBatch(rows=250, text_bytes=262144)
    """

    def __init__(self, home: MicroBatch, most: float, in_flight: int, row_bytes: int) -> None:
        self._home, self._most = home, most
        self._in_flight, self._row_bytes = in_flight, row_bytes + OFFSET_BYTES
        self._least = 1 / max(home.rows, home.text_bytes)  # a text at a time
        self._lock = threading.Lock()
        self._factor, self._largest = FIRST_GUESS, 0
        self._allowed = most  # by the room
        self._ceiling = most  # by what was refused
        self._patience, self._calm = CALM, 0
        self._paying = 1.0
        self._match: Match | None = None
        self._lost: dict[float, int] = {}  # at which call
        self._calls = 0

    @property
    def size(self) -> MicroBatch:
        """What is in use."""
        with self._lock:
            return self._home.times(min(self._paying, self._limit))

    @property
    def largest(self) -> MicroBatch:
        """What may come to be used, if the device has room for it."""
        return self._home.times(self._most)

    @property
    def factor(self) -> float:
        """Bytes that a micro-batch takes for every byte of its texts and their fields."""
        return self._factor

    def begin(self, room: int, rows: int, nbytes: int) -> Turn:
        """Begin a call: so many texts, of so many bytes, that are cut into micro-batches.

        Parameters
        ----------
        room : int
            Bytes that there are for the micro-batches under way.
        """
        with self._lock:
            self._calls += 1
            self._fit(room)
            match = self._match_over(self._scale(rows, nbytes))
            scale = match.turn() if match else self._paying
        return Turn(self, scale, match, rows * self._row_bytes + nbytes)

    def took(self, rows: int, nbytes: int, taken: int) -> None:
        """Learn that a micro-batch of so many texts and bytes of text took so many bytes."""
        held = nbytes + rows * self._row_bytes
        with self._lock:
            # A small one says little of a large one: what takes the same whatever there is to do
            # weighs more in it.
            if held > 2 * self._largest:
                self._factor = taken / held
            elif 2 * held >= self._largest:
                self._factor = max(self._factor, taken / held)
            self._largest = max(self._largest, held)
            self._calm += 2 * self._scale(rows, nbytes) >= self._ceiling
            if self._calm >= self._patience and self._ceiling < self._most:
                self._ceiling, self._calm = min(2 * self._ceiling, self._most), 0

    def refused(self, rows: int, nbytes: int) -> None:
        """Learn that there was no memory for one of so many texts and bytes of text."""
        with self._lock:
            half = max(self._scale(rows, nbytes) / 2, self._least)
            if half < self._ceiling:  # else others that were under way have told already
                self._ceiling, self._match = half, None
                self._patience, self._calm = min(2 * self._patience, MOST_CALM), 0

    def within_limits(self, scale: float) -> MicroBatch:
        """Return a size, or as much of it as there is room for by now."""
        with self._lock:
            return self._home.times(min(scale, self._limit))

    def ended(self, match: Match, scale: float, rate: float) -> None:
        """Learn how many bytes a second a size made of its turn."""
        with self._lock:
            match.rates[scale].append(rate)
            winner = match.winner()
            if winner is not None and match is self._match:
                self._lost |= dict.fromkeys(set(match.rates) - {winner}, self._calls)
                self._paying, self._match = winner, None

    @property
    def _limit(self) -> float:
        return min(self._allowed, self._ceiling)

    def _fit(self, room: int) -> None:
        """Halve what takes too much of the room, and grow what takes little of it."""
        use = self._use(self._allowed, room)
        if use < LOW:
            most = AIM / use * self._allowed if use else self._most
            self._allowed = min(2 * self._allowed, most, self._most)
        while self._allowed > self._least and self._use(self._allowed, room) > HIGH:
            self._allowed /= 2

    def _use(self, scale: float, room: int) -> float:
        size = self._home.times(scale)
        held = size.text_bytes + size.rows * self._row_bytes
        return self._in_flight * self._factor * held / max(room, 1)

    def _scale(self, rows: int, nbytes: int) -> float:
        return max(rows / self._home.rows, nbytes / self._home.text_bytes)

    def _match_over(self, scale: float) -> Match | None:
        """Return the match that a call is a turn of, if it is large enough to tell sizes apart."""
        if self._match is not None and max(self._match.rates) > self._limit:
            self._match = None
        if self._match is None and (rivals := self._rivals(scale)):
            self._match = Match(self._paying, rivals)
        return self._match if self._match and scale > self._match.least else None

    def _rivals(self, scale: float) -> list[float]:
        """Return what such a call may try beside what is in use, and has not lost just now."""
        both = {2 * self._paying: self._paying, self._paying / 2: self._paying / 2}
        return [
            one
            for one, smaller in both.items()
            if self._largest  # before growing, it has to be known what one takes
            and max(one, self._paying) <= self._limit
            and scale > smaller
            and self._calls - self._lost.get(one, -AGAIN) >= AGAIN
        ]


class Turn:
    """A call's micro-batches."""

    def __init__(self, sizes: Adaptive, scale: float, match: Match | None, held: int) -> None:
        self._sizes, self._scale, self._match, self._held = sizes, scale, match, held

    @property
    def size(self) -> MicroBatch:
        """What the next one holds at most."""
        return self._sizes.within_limits(self._scale)

    def took(self, rows: int, nbytes: int, taken: int) -> None:
        """Tell how many bytes one took, of so many texts and bytes of text."""
        self._sizes.took(rows, nbytes, taken)

    def refused(self, rows: int, nbytes: int) -> None:
        """Tell that there was no memory for one."""
        self._match = None
        self._sizes.refused(rows, nbytes)

    def ended(self, seconds: float) -> None:
        """Tell how long they all took."""
        if self._match is not None and seconds > 0:
            self._sizes.ended(self._match, self._scale, self._held / seconds)


class Fixed:
    """The size that a user said: it stays, whatever is told."""

    def __init__(self, size: MicroBatch) -> None:
        self.size = size

    def begin(self, *_: int) -> Fixed:
        """Begin a call."""
        return self

    def took(self, *_: int) -> None:
        """Learn nothing."""

    def refused(self, *_: int) -> None:
        """Learn nothing: the next one is as large."""

    def ended(self, _: float) -> None:
        """Learn nothing."""
