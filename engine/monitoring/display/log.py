"""The display of a run or a climb where no bar can be drawn: a log file, a pipe, a batch job.

It prints a line every ten seconds, and fewer as the work goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events import Event, Failed, Finished, Listener
from .notes import Notes, print_note
from .standing import Standing

if TYPE_CHECKING:
    from rich.console import Console

EVERY_SECONDS = 10.0
"""Seconds between the first lines."""

LINES_PER_AGE = 12
"""Lines in as much time as the run has taken so far, after its first two minutes."""

MAX_SECONDS = 600.0
"""Maximum number of seconds between lines, so that a living run is never silent for long."""


def in_log(console: Console, standing: Callable[[], Standing], notes: Notes) -> Listener:
    """Return a listener that prints progress and notes as lines."""
    return _Log(console, standing, notes).listen


def pause(age: float) -> float:
    """Return the seconds until the next line of a run that has taken `age` seconds.

    >>> pause(0), pause(3600), pause(1e6)
    (10.0, 300.0, 600.0)
    """
    return min(max(EVERY_SECONDS, age / LINES_PER_AGE), MAX_SECONDS)


class _Log:
    def __init__(self, console: Console, standing: Callable[[], Standing], notes: Notes) -> None:
        self._console, self._standing, self._notes = console, standing, notes
        self._lock = threading.Lock()  # between the run's thread and the one that prints
        self._ended = threading.Event()
        self._lines = 0
        # A timer, not the events: a slow block may publish none for minutes.
        threading.Thread(target=self._tick, name="paninifs-log", daemon=True).start()

    def listen(self, event: Event) -> None:
        with self._lock:
            for note in self._notes(event):
                print_note(self._console, note)
            if isinstance(event, Finished | Failed):
                self._ended.set()
                if self._lines:  # a short run has its summary only
                    self._print()

    def _tick(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(pause(time.monotonic() - began)):
            with self._lock:
                if not self._ended.is_set():
                    self._print()

    def _print(self) -> None:
        line = self._standing().line
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._lines += 1
