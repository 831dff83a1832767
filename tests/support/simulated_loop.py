"""An event loop whose time passes only while it waits, and then at once: hours in milliseconds."""

from __future__ import annotations

import asyncio
import selectors


class _Selector(selectors.SelectSelector):
    def __init__(self, late):
        super().__init__()
        self.now = 1000.0
        self._late = late

    def select(self, timeout=None):
        if timeout and timeout > 0:
            self.now += timeout + self._late()
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own; `late` returns by how many seconds a wait is overslept."""

    def __init__(self, late=lambda: 0.0):
        self._simulated = _Selector(late)
        super().__init__(self._simulated)

    def time(self):
        return self._simulated.now


def simulate(main, late=lambda: 0.0):
    """Run a function that is given the clock, and returns a coroutine."""
    loop = SimulatedLoop(late)
    try:
        return loop.run_until_complete(main(loop.time))
    finally:
        loop.close()
