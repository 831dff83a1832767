"""The display of a run or a climb in a terminal: a progress bar, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events import Event, Failed, Finished, Listener
from .notes import Notes, print_note
from .standing import Standing

if TYPE_CHECKING:
    from rich.console import Console


def in_terminal(console: Console, standing: Callable[[], Standing], notes: Notes) -> Listener:
    """Return a listener that draws a bar, and prints notes above."""
    from rich import progress as bars

    display = bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TextColumn("{task.fields[counted]}", markup=False),
        bars.TimeRemainingColumn(),
        console=console,
    )
    now = standing()
    task = display.add_task(now.description, total=now.total, counted=now.counted)
    display.start()

    def listen(event: Event) -> None:
        now = standing()
        for note in notes(event):
            print_note(console, note)
        display.update(
            task,
            description=now.description,
            completed=now.done,
            total=now.total,
            counted=now.counted,
        )
        if isinstance(event, Finished | Failed):
            display.stop()

    return listen
