"""The live displays of a run, a climb or a collection; `show` selects the one for the environment.

The tab on dask's dashboard is in `dashboard`. May import the rest of `monitoring`, and `rendering`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..events import EventStream
from .standing import Standing


def show(
    events: EventStream,
    card: Callable[[], str],
    standing: Callable[[], Standing],
    *,
    verbose: bool = False,
) -> None:
    """Show work until it ends: a bar in a terminal, a card in a notebook, lines in a log.

    Parameters
    ----------
    events : EventStream
        The events of a run, a climb or a collection.
    card : callable
        Returns the current state as HTML; called in notebooks only.
    standing : callable
        Returns how far the work has come; not called in notebooks.
    verbose : bool
        Show details besides the notes.
    """
    from rich.console import Console

    from .notes import details_of, notes_of

    notes = details_of if verbose else notes_of
    console = Console(stderr=True)
    if console.is_jupyter:
        from .notebook import Notebook

        events.subscribe(Notebook(card, notes).listen)
    elif console.is_terminal and not console.is_dumb_terminal:
        from .bar import in_terminal

        events.subscribe(in_terminal(console, standing, notes))
    else:
        from .log import in_log

        events.subscribe(in_log(console, standing, notes))


def display(events: EventStream, card: Callable[[], str], text: str, *, live: bool) -> None:
    """Show work as the value of a notebook's cell; in a terminal print `text`.

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
    from .notes import notes_of

    shown = Notebook(card, notes_of)
    if live:
        events.subscribe(shown.listen)
