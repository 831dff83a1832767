"""The live displays of a run, one file per kind; `show` selects the one for the environment.

The tab on dask's dashboard is in `dashboard`. May import the rest of `monitoring`, and `rendering`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..events import EventStream


def show(events: EventStream, card: Callable[[], str]) -> None:
    """Show a run until it ends: a bar in a terminal, a card in a notebook.

    Parameters
    ----------
    events : EventStream
        The events of the run.
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


def display(events: EventStream, card: Callable[[], str], text: str, *, live: bool) -> None:
    """Show a run as the value of a notebook's cell; in a terminal print `text`.

    Parameters
    ----------
    live : bool
        Whether to keep the card up to date.
    """
    from rich.console import Console

    if not Console().is_jupyter:
        print(text)  # noqa: T201 (what IPython would print)
        return
    from .notebook import Notebook

    shown = Notebook(card)
    if live:
        events.subscribe(shown.listen)
