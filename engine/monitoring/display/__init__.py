"""The live displays of a run, wherever its user sits. A file each; this one chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...run.handle import Run


def show(run: Run) -> None:
    """Show a run until it ends: a bar in a terminal, a piece of HTML in a notebook."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        from .notebook import Notebook

        run.events.subscribe(Notebook(run._repr_html_).listen)
    else:
        from .bar import in_terminal

        run.events.subscribe(in_terminal(console))
