"""`in_time`: calls a function that may not return.

No thread of Python can be stopped. So the function is called in a thread of its own, which is left
behind if it takes too long, and the process ends soon after.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""Seconds until the process ends, in which the answer that there is none is sent."""


def in_time(function: Callable[[], T], seconds: float, *, ends_process: bool) -> T | None:
    """Return what a function returns, or None if it takes longer.

    The calls of one thread are made in one other thread, for objects that threads cannot share.

    Parameters
    ----------
    ends_process : bool
        Whether the process ends if it takes longer: `GRACE_SECONDS` later, or, if the function
        holds Python's lock so that nothing else can run, without an answer.

    Examples
    --------
    >>> in_time(lambda: 1, 10.0, ends_process=False)
    1
    >>> in_time(threading.Event().wait, 0.01, ends_process=False)
    """
    caller = _callers.current or _Caller()
    _callers.current = None
    caller.calls.put(function)
    with ExitStack() as watched:
        if ends_process:
            watched.enter_context(_Deadline(seconds + 2 * GRACE_SECONDS))
        try:
            value, error = caller.answers.get(timeout=seconds)
        except Empty:
            if ends_process:
                timer = threading.Timer(GRACE_SECONDS, os._exit, [1])
                timer.daemon = True
                timer.start()
            return None
    _callers.current = caller
    if error is not None:
        raise error
    found: T = value
    return found


class _Callers(threading.local):
    current: _Caller | None = None


_callers = _Callers()


class _Caller:
    """A thread that calls functions, one after the other."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self.answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        threading.Thread(target=self._work, name="paninifs-objective", daemon=True).start()

    def _work(self) -> None:
        while True:
            function = self.calls.get()
            try:
                answer: tuple[Any, BaseException | None] = function(), None
            except BaseException as error:  # noqa: BLE001 (raised again by `in_time`)
                answer = None, error
            self.answers.put(answer)


class _Deadline(AbstractContextManager[None]):
    """Ends the process from outside of Python, whose lock the function may hold.

    There is one such timer per process; with several threads, the last call sets it. If a function
    holds the lock, no other call begins.
    """

    _lock = threading.Lock()
    _open: list[Any] = []  # noqa: RUF012 (of all deadlines: where Python would print its frames)
    _active = 0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        with _Deadline._lock:
            if not _Deadline._open:
                _Deadline._open.append(open(os.devnull, "w"))  # noqa: PTH123 (it stays)
            _Deadline._active += 1
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=_Deadline._open[0])

    def __exit__(self, *_: object) -> None:
        with _Deadline._lock:
            _Deadline._active -= 1
            if not _Deadline._active:
                faulthandler.cancel_dump_traceback_later()
