"""`run_in_thread`: runs a collector in a thread with an event loop of its own.

This works in a notebook, whose own loop is running. Ctrl-C reaches the calling thread, which asks
the collector to end in an orderly way.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..collector import Collector
    from .item_flow import Flow

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5

_ABANDON_SECONDS = 2.0
"""Seconds for which a collector that is interrupted twice may take to cancel its work."""


class Abandoned(KeyboardInterrupt):
    """The user interrupted a collection twice, so it did not end in an orderly way."""


class _Apart:
    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Flow] | None = None
        self._interrupted = False
        self.flow: Flow | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        threading.Thread(target=self._work, name="paninifs-collect", daemon=True).start()

    def _work(self) -> None:
        try:
            self.flow = asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 (raised in the caller's thread)
            self.error = error
        finally:
            self.done.set()

    async def _run(self) -> Flow:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._interrupted:
            self._collector.interrupt()
        return await self._collector.run()

    def interrupt(self) -> None:
        self._interrupted = True
        self._soon(self._collector.interrupt)

    def abandon(self) -> None:
        """Cut the collector off, as if it were killed, so that it does not go on in a notebook."""
        if self._task is not None:
            self._soon(self._task.cancel)
        self.done.wait(_ABANDON_SECONDS)

    def _soon(self, work: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended at this moment
                self._loop.call_soon_threadsafe(work)


def run_in_thread(collector: Collector) -> Flow:
    """Run a collector; return how it ended.

    Raises
    ------
    KeyboardInterrupt
        The user interrupted it. After the first interrupt, decided items are committed first;
        after a second one, the collector is cut off (`Abandoned`).
    """
    apart = _Apart(collector)
    interrupted = False
    while not apart.done.is_set():
        try:
            apart.done.wait(_LOOK_SECONDS)
        except KeyboardInterrupt:
            if interrupted:
                apart.abandon()
                raise Abandoned from None
            interrupted = True
            apart.interrupt()
            _log.warning("stopping: what was collected is being written")
    if apart.error is not None:
        raise apart.error
    if interrupted:
        raise KeyboardInterrupt
    assert apart.flow is not None
    return apart.flow
