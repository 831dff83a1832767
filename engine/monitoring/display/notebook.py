"""The display of a run, a climb or a collection in a notebook: a card, updated in place.

It is updated through the kernel's own channel, so it needs no open port; Colab has none. The
cards themselves are in `card`, `climb_card` and `collect_card`.
"""

from __future__ import annotations

import html
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ...rendering.terminal import visible
from ..events import (
    Climbed,
    Collected,
    Event,
    LoadSampled,
    ShardDone,
    TaskBegun,
    TextsComputed,
    WritesAwaited,
)
from .notes import Notes

EVERY_SECONDS = 0.5
"""Seconds between updates, except for rare events."""

MOST_NOTES = 20
"""Maximum number of notes shown; the newest are kept."""

_FREQUENT = (ShardDone, TaskBegun, TextsComputed, WritesAwaited, LoadSampled, Climbed, Collected)


class Notebook:
    """Shows the card of a run, a climb or a collection, and its notes below.

    Parameters
    ----------
    card : callable
        Returns the current state as HTML.
    notes : callable
        Returns the messages for the user in an event.
    """

    def __init__(self, card: Callable[[], str], notes: Notes) -> None:
        from IPython import display

        self._card, self._notes_of = card, notes
        self._html: Any = display.HTML
        self._notes = deque[str](maxlen=MOST_NOTES)
        self._shown = time.monotonic()
        self._handle: Any = display.DisplayHandle()  # type: ignore[no-untyped-call]
        self._handle.display(self._page())  # type: ignore[no-untyped-call]

    def listen(self, event: Event) -> None:
        """Update the card, unless it was updated just now and the event is a frequent one."""
        self._notes.extend(self._notes_of(event))
        now = time.monotonic()
        if now - self._shown > EVERY_SECONDS or not isinstance(event, _FREQUENT):
            self._shown = now
            self._handle.update(self._page())

    def _page(self) -> Any:
        notes = "".join(f"<br>note: {html.escape(visible(note))}" for note in self._notes)
        return self._html(self._card() + notes)
