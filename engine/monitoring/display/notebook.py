"""A run in a notebook: a card that is replaced in place through the kernel's own channel.

So no port need be open, which in Colab none is.
"""

from __future__ import annotations

import html
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ...rendering.terminal import visible
from ..events import Event, Looked, ShardDone, TaskBegun
from .notes import notes_of

EVERY_SECONDS = 0.5
MOST_NOTES = 20  # the newest
_FREQUENT = (ShardDone, TaskBegun, Looked)


class Notebook:
    """Shows a run's card, and what there is to tell of it.

    Parameters
    ----------
    card : callable
        Returns the run as it is now, as HTML.
    """

    def __init__(self, card: Callable[[], str]) -> None:
        from IPython import display

        self._card = card
        self._html: Any = display.HTML
        self._notes = deque[str](maxlen=MOST_NOTES)
        self._shown = time.monotonic()
        self._handle: Any = display.DisplayHandle()  # type: ignore[no-untyped-call]
        self._handle.display(self._page())  # type: ignore[no-untyped-call]

    def listen(self, event: Event) -> None:
        """Show the run anew, if it was not done just now."""
        self._notes.extend(notes_of(event))
        now = time.monotonic()
        if now - self._shown > EVERY_SECONDS or not isinstance(event, _FREQUENT):
            self._shown = now
            self._handle.update(self._page())

    def _page(self) -> Any:
        notes = "".join(f"<br>note: {html.escape(visible(note))}" for note in self._notes)
        return self._html(self._card() + notes)
