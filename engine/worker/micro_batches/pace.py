"""`Pace`: limits the texts per call of a slow block, so that a run reports progress every second.

A limit that memory and speed set is in `adaptive_size`; the smaller of the two applies.
"""

from __future__ import annotations

import threading

FIRST_TEXTS = 16
"""Texts of the first call, when nothing is known of the block."""

CALL_SECONDS = 1.0
"""Seconds of a call up to which the next one may be larger."""

LONG_SECONDS = 4 * CALL_SECONDS
"""Seconds of a call from which the next one is smaller, if that costs no speed."""

GROWTH = 4
"""Factor by which calls become larger."""

MIN_GAIN = 1.25
"""Speedup by a larger call from which calls become larger still, however long they take: such a
block spends most of its time on what it does once per call."""

MAX_LOSS = 0.9
"""Share of the speed that smaller calls must keep."""

TEXT_BYTES = 64
"""Work per text in addition to its bytes, in bytes."""


class Pace:
    """The most texts per call of a graph's blocks, learnt from the time that calls take.

    Shared by all threads of a process.

    Examples
    --------
    Of a block that takes 20 ms per text, calls grow until they take more than a second.

    >>> pace = Pace()
    >>> for _ in range(9):
    ...     pace.measured(pace.rows, 0, 0.02 * pace.rows)
    >>> pace.rows
    64

    One that takes two seconds per call, whatever it is given, gets as much as there is.

    >>> pace = Pace()
    >>> for _ in range(9):
    ...     pace.measured(pace.rows, 0, 2)
    >>> pace.rows
    4194304
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows, self._floor = FIRST_TEXTS, 1
        self._rate = 0.0  # work per second of the size before
        self._shrinking = False

    @property
    def rows(self) -> int:
        """The most texts of the next call."""
        return self._rows

    def measured(self, rows: int, nbytes: int, seconds: float) -> None:
        """Record the time that a call took for `rows` texts of `nbytes` bytes."""
        rate = (nbytes + TEXT_BYTES * rows) / max(seconds, 1e-9)
        with self._lock:
            full = rows == self._rows  # others say little about this size
            if self._shrinking and full and rate < MAX_LOSS * self._rate:
                self._rows = self._floor = 2 * rows
                self._shrinking = False
            elif full and not self._shrinking and self._may_grow(rate, seconds):
                self._rows, self._rate = GROWTH * rows, rate
            elif seconds > LONG_SECONDS and rows <= self._rows and rows > self._floor:
                self._rate = max(self._rate, rate) if self._shrinking else rate
                self._rows, self._shrinking = max(rows // 2, self._floor), True
            elif full:
                self._shrinking = False

    def _may_grow(self, rate: float, seconds: float) -> bool:
        return seconds <= CALL_SECONDS or rate > MIN_GAIN * self._rate
