"""The live displays of a run: a file for each kind; `show` chooses by where the user sits.

May import the rest of `monitoring`, and `rendering`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..events import EventStream


def show(events: EventStream, card: Callable[[], str]) -> None:
    """Show a run until it ends: a bar in a terminal, a card in a notebook.

    Parameters
    ----------
    events : EventStream
        The run's.
    card : callable
        Returns the run's current state as HTML; called in notebooks only.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        from .notebook import Notebook

        events.subscribe(Notebook(card).listen)
    else:
        from .bar import in_terminal

        events.subscribe(in_terminal(console))
