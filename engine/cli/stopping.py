"""`Stopping` and `stoppable`: signals that end a command in order, and in bounded time.

SIGTERM and SIGHUP end a command as Ctrl-C does: the run is cancelled, the store is released, the
cluster is closed. Without handlers they would end it between two instructions, or, as process 1 of
a container, not at all. Only commands have these handlers; a notebook or a script keeps its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import typer

from ...storage.errors import PaniniError
from ...storage.filesystems.redaction import shown
from ..rendering.terminal import plain
from .console import DONE, INTERRUPTED, QUARANTINED, err

STOP_SECONDS = 5.0
"""Seconds that a cancelled run is given to stop; then its store is released without it."""

GRACE_SECONDS = 9.0
"""Seconds from the first signal until the process ends, whatever it does then. Less than the ten
after which Docker kills a container."""

REPEAT_SECONDS = 0.5
"""Seconds after the first signal within which another one is taken for the same: a terminal that is
closed sends several."""

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopping:
    """The handlers of a command's process, from when this is made until the process ends.

    Signals that are ignored, as by ``nohup`` or in the background of a script, stay ignored.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._since = 0.0
        self._received = threading.Lock()  # the only one that a handler may release safely
        self._received.acquire()
        threading.Thread(target=self._end_in_time, name="paninifs-stop", daemon=True).start()
        for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    @property
    def code(self) -> int | None:
        """Exit code of a process that a signal ended, as shells give it; None without a signal."""
        return None if self._number is None else 128 + self._number

    def end(self, reason: BaseException) -> NoReturn:
        """End the process for whatever the command raised, with the code of the signal, if any."""
        finished = isinstance(reason, SystemExit) and reason.code in (None, DONE, QUARANTINED)
        if self.code is None or finished:
            raise reason
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # the terminal is gone: Python would flush once more, and exit with 120
                with suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(self.code) from reason

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (Python's signature)
        now = time.monotonic()
        if self._number is None:
            self._number, self._since = number, now
            self._received.release()
            raise KeyboardInterrupt
        if now - self._since > REPEAT_SECONDS:
            self._end_at_once()

    def _end_in_time(self) -> None:
        self._received.acquire()
        time.sleep(GRACE_SECONDS)
        self._end_at_once()

    def _end_at_once(self) -> NoReturn:
        """End without another instruction, which harms no store: worker processes end with this."""
        with suppress(OSError):
            os.write(2, b"\nended at once\n")
        os._exit(self.code or 1)


@contextmanager
def stoppable(results: str, kept: str = "finished shards") -> Iterator[None]:
    """Cancel the run of this process and exit, on Ctrl-C or on a signal that `Stopping` handles.

    Parameters
    ----------
    kept : str
        What the store keeps, in words.
    """
    from ..run.background.active import going

    try:
        yield
    except KeyboardInterrupt:
        for run in going():  # also one that `submit` has not returned yet
            run.cancel()
            try:
                with suppress(PaniniError):  # before the cluster closes
                    run.result(timeout=STOP_SECONDS)
            except TimeoutError:
                run.abandon()
        err.print(f"\nstopped; {kept} are kept in {plain(shown(results))}. To resume, run again")
        raise typer.Exit(INTERRUPTED) from None
