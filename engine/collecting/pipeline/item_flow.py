"""`Flow`: the state that the loops of a collector share: counts, signals, and how it ends."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from ....storage.errors import PaniniError, RunFailed

Ending = Literal["finished", "limited", "stopped", "failed"]


class Signal:
    """Wakes the one loop that waits for it, once however often it was set."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the loop, now or as soon as it waits."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until the signal was set since the last time, or for some seconds."""
        try:
            # Not `wait_for`, which in Python 3.11 can lose the cancellation of its caller.
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()


class Flow:
    """The state of a session, in memory. Used by the loops' own thread alone.

    Attributes
    ----------
    listed, decided
        Sequence numbers up to which items are listed, and decided.
    held
        Bytes of contents and texts that are not committed.
    ending, why
        How the session ends, and why, once that is decided.
    error
        The exception to raise at its end.
    """

    def __init__(self, *, listed: int, decided: int, held: int) -> None:
        self.listed, self.decided, self.held = listed, decided, held
        self.to_fetch, self.to_extract, self.to_decide = Signal(), Signal(), Signal()
        self.room = Signal()
        self.listing_over = self.fetching_over = self.extracting_over = False
        self.exhausted = False
        """Whether the source has listed everything."""
        self.ending: Ending | None = None
        self.why = ""
        self.late = False
        """Whether a limit of time is reached."""
        self.error: BaseException | None = None
        self._after_listing: tuple[Ending, str, BaseException | None] = ("finished", "", None)
        self.stopped = asyncio.Event()
        self.stopped_at = 0.0

    def stop(self, how: Ending, why: str, error: BaseException | None = None) -> None:
        """End the session: nothing more is listed or begun. Only the first reason counts."""
        if self.ending is not None:
            return
        self.ending, self.why, self.error = how, why, error
        self.stopped_at = time.monotonic()
        self.stopped.set()
        self.wake()

    def end_listing(self, how: Ending, why: str, error: BaseException | None = None) -> None:
        """End the session as `stop` does, but only once every listed item is decided."""
        self._after_listing = (how, why, error)

    def fail(self, why: str, error: BaseException) -> None:
        """Note that nothing can be committed, even if the session was to end for another reason."""
        if self.error is None:
            self.ending, self.why, self.error = "failed", why, error

    def finish(self) -> None:
        """Note that nothing is left to do."""
        if self.ending is None:
            self.ending, self.why, self.error = self._after_listing

    @property
    def stopping(self) -> bool:
        """Whether the session is to end before everything is done."""
        return self.ending is not None

    @property
    def hurried(self) -> bool:
        """Whether fetched items are left to another session."""
        return self.late or self.ending in ("stopped", "failed")

    @property
    def pending(self) -> int:
        """Items that are listed and not decided."""
        return self.listed - self.decided

    def wake(self) -> None:
        """Wake every loop."""
        for signal in (self.to_fetch, self.to_extract, self.to_decide, self.room):
            signal.set()


def explained(error: Exception) -> PaniniError:
    """Return an error that says how to go on, with other errors as its cause."""
    if isinstance(error, PaniniError):
        return error
    failure = RunFailed(
        f"collecting failed: {type(error).__name__}: {error}; collect again to go on"
    )
    failure.__cause__ = error
    return failure
