"""The display of a run in a terminal: a progress bar, drawn by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import Event, Failed, Finished, Listener
from ..progress import Progress
from .notes import Notes, print_note

if TYPE_CHECKING:
    from rich.console import Console


def in_terminal(console: Console, notes: Notes) -> Listener:
    """Return a listener that draws a run's bar, and prints its notes above."""
    from rich import progress as bars

    display = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("texts {task.fields[rate]}"),
        bars.TimeRemainingColumn(),
        console=console,
    )
    task = display.add_task("counting rows", total=None, rate="")
    progress = Progress()
    display.start()

    def listen(event: Event) -> None:
        progress.listen(event)
        now = progress.snapshot()
        for note in notes(event):
            print_note(console, note)
        rate = f"({now.texts_per_second:,.0f}/s)" if now.elapsed else ""
        display.update(
            task,
            description=_description(now),
            completed=now.rows_computed,
            total=now.rows or None,
            rate=rate,
        )
        if isinstance(event, Finished | Failed):
            display.stop()

    return listen


def _description(now: Progress) -> str:
    if now.state == "staging":
        return now.staging
    return (now.state == "running" and now.stage) or now.state
