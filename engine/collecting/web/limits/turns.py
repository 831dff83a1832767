"""`Turns`: waits until a host may be asked, in the order of asking, across processes.

`rate` computes when a turn is due; `shared_state` stores the times of earlier ones.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ...outcome import NotKept
from .hosts import Host
from .rate import due
from .shared_state import LONGEST_PAUSE, Locked, SharedState

_LOCKED_SECONDS = 0.001
"""Seconds to wait before locking the file is tried again; processes hold it for some 50 µs."""


class Turns:
    """Gives each request its turn.

    Parameters
    ----------
    state
        The state that processes share.
    patience
        Longest pause of a host to wait for, in seconds.
    """

    def __init__(self, state: SharedState, patience: float) -> None:
        self._state = state
        self._patience = patience

    @asynccontextmanager
    async def turn(
        self, host: Host, ready: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[None]:
        """Wait for a host's turn; the request must be written within the block, at once.

        The turn counts from the end of the block, as a process may be delayed between reading the
        clock and writing. It is also noted before, in case the process is killed in between.

        Parameters
        ----------
        host
            The host to ask.
        ready
            Whether the request can still be written once it is due: the connection may have been
            closed while it waited.

        Raises
        ------
        ConnectionResetError
            It is not ready. No turn was taken.
        NotKept
            The host wants to be left alone for longer than the patience lasts ("busy").
        """
        async with host.turn:
            while True:
                with self._state.locked(host.limit) as file:
                    wait = self._wait(host, file)
                    if wait <= 0 and file is not None:
                        if not ready():
                            raise ConnectionResetError("the connection was closed before its turn")
                        asked = file.shard.of(host.limit, host.rate)
                        was_due = asked.note(self._state.now(), host.rate)
                        file.write()
                        yield
                        asked.correct(self._state.now(), was_due, host.rate)
                        file.write()
                        return
                await self._sleep(host, wait)

    async def near(self, host: Host, seconds: float) -> None:
        """Wait until a host's turn is at most some seconds away, without taking it."""
        while True:
            with self._state.locked(host.limit) as file:
                wait = self._wait(host, file)
            if file is not None:
                wait -= seconds
            if wait <= 0:
                return
            await self._sleep(host, wait)

    async def pause(self, host: Host, seconds: float) -> None:
        """Pause a host; no process asks it until the pause is over."""
        seconds = min(seconds, LONGEST_PAUSE)
        while True:
            with self._state.locked(host.limit) as file:
                if file is not None:
                    until = self._state.now() + seconds
                    asked = file.shard.of(host.limit, host.rate)
                    asked.paused_until = max(asked.paused_until, until)
                    file.write()
                    return
            await asyncio.sleep(_LOCKED_SECONDS)

    def _wait(self, host: Host, file: Locked | None) -> float:
        """Return the seconds until a host's turn, or until to try to lock the file again."""
        if file is None:
            return _LOCKED_SECONDS
        asked = file.shard.of(host.limit, host.rate)
        now = self._state.now()
        pause = asked.paused_until - now
        host.paused_until = asked.paused_until
        if pause > self._patience:
            raise NotKept("busy", f"{host.name} asks to be left alone for {math.ceil(pause)} s")
        return max(due(asked.times, host.rate) - now, pause)

    @staticmethod
    async def _sleep(host: Host, wait: float) -> None:
        with host.waiting():
            await asyncio.sleep(wait)
