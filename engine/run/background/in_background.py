"""`Background`: work in a thread of its own, and the handle that waits for its result.

A run and a climb are such work. What happens to it at the end of the process is in `active`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from ....storage.errors import PaniniError, UsageError
from ...monitoring.events import EventStream, Failed
from .active import began, ended, heard, is_interactive

if TYPE_CHECKING:
    from distributed import Client

WAKE_SECONDS = 0.5
"""Seconds after which a thread that waits looks for signals."""

T = TypeVar("T")


class Background(ABC, Generic[T]):
    """Work in progress, or ended.

    Attributes
    ----------
    noun, again : str
        What it is, and how it is taken up again, for messages.
    events : EventStream
        What happens, as it happens; listen with `EventStream.subscribe`.
    results : str
        URL of the store.
    cancelled : bool
        Whether `cancel` was called.
    """

    noun = "run"
    again = "Submit it again to resume"

    def __init__(self, client: Client, results: str) -> None:
        self.events = EventStream()
        self.results = results
        self.cancelled = False
        self._client = client
        self._value: T | None = None
        self._error: BaseException | None = None
        # Not joined: Python considers a thread ended if Ctrl-C interrupts the join.
        self._ended = threading.Event()

    def _begin(self) -> None:
        """Start the work; the last step of a subclass's constructor."""
        began(self)
        name = f"paninifs-{self.noun}"
        threading.Thread(target=self._drive, name=name, daemon=True).start()

    def result(self, timeout: float | None = None) -> T:
        """Wait until the work is complete; return what it made.

        Raises
        ------
        TimeoutError
            `timeout` seconds have passed; the work continues.
        PaniniError
            It did not finish; the error says why. Starting it again resumes it where it stopped.
        KeyboardInterrupt
            Waiting was interrupted; the work continues, unless the program ends.
        """
        error = self.exception(timeout)
        if error is None:
            assert self._value is not None  # the thread ends with one or the other
            return self._value
        if isinstance(error, PaniniError):  # the frames of the work's thread say nothing more
            raise error.with_traceback(None)
        raise error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the work has ended; return the error that `result` raises, or None.

        As of `concurrent.futures.Future`, except that work that was cancelled returns its
        `RunCancelled`.

        Raises
        ------
        TimeoutError
            `timeout` seconds have passed; the work continues.
        """
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise UsageError(f"timeout must be a non-negative number of seconds, not {timeout!r}")
        try:
            over = self.wait(timeout)
        except KeyboardInterrupt:
            if self.done or not is_interactive():
                raise
            raise KeyboardInterrupt(
                f"only the waiting was interrupted: the {self.noun} goes on in the background. "
                f"{self.noun}.cancel() stops it, {self.noun}.result() waits for it again; "
                "pf.running() finds it"
            ) from None
        if not over:
            raise TimeoutError(f"the {self.noun} has not finished after {timeout} s")
        heard(self)
        return self._error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the work has ended, in whatever way; return False if it has not by then."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        # Python handles a Ctrl-C that another thread received only once this one runs again.
        while not self._ended.wait(min(WAKE_SECONDS, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                return False
        return True

    @abstractmethod
    def cancel(self) -> None:
        """Stop the work, and keep what is done; starting it again resumes it."""

    @abstractmethod
    def abandon(self) -> None:
        """Release what others wait for, of work that was cancelled and has not stopped in time."""

    def is_on(self, client: Client) -> bool:
        """Return whether the work uses a client."""
        return self._client is client

    @property
    def done(self) -> bool:
        """Whether the work has ended, successfully or not."""
        return self._ended.is_set()

    @abstractmethod
    def _work(self) -> T:
        """Do the work, in the background thread."""

    @abstractmethod
    def _succeeded(self, seconds: float) -> None:
        """Publish that the work is done, and how long it took."""

    @abstractmethod
    def _close(self) -> None:
        """Release what the work used."""

    def _drive(self) -> None:
        began_at = time.perf_counter()
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 (raised again by result)
            self._error = error
            self.events.publish(Failed(error))
        else:
            self._succeeded(time.perf_counter() - began_at)
        finally:
            try:
                self._close()
            finally:
                ended(self, self._error)
                self._ended.set()
