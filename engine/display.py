"""The two live displays of a run's progress.

In a terminal it is rich's; in a notebook a piece of HTML that is replaced in place through the
kernel's own channel, so no port need be open.
"""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .events import (
    Event,
    EventStream,
    Failed,
    Finished,
    Indexed,
    Listener,
    Notice,
    Planned,
    Restored,
    ShardDone,
    WorkerLost,
)
from .progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_HTML_SECONDS = 0.5


def show(events: EventStream, results: str, dashboard_link: str) -> None:
    """Show a run's progress wherever its user sits."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        events.subscribe(_in_notebook(results, dashboard_link))
    else:
        events.subscribe(_in_terminal(console))


def _in_terminal(console: Console) -> Listener:
    from rich import progress as bars

    from .terminal import visible

    display = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("texts {task.fields[rate]}"),
        bars.TimeRemainingColumn(),
        console=console,
        transient=not console.is_terminal,
    )
    task = display.add_task("counting rows", total=None, rate="")
    progress = Progress()
    display.start()

    def listen(event: Event) -> None:
        progress.listen(event)
        now = progress.snapshot()
        for note in _notes(event):
            console.print(f"note: {visible(note)}", markup=False, highlight=False, emoji=False)
        rate = f"({now.texts_per_second:,.0f}/s)" if now.elapsed else ""
        display.update(
            task,
            description=now.state,
            completed=now.rows_done,
            total=now.rows or None,
            rate=rate,
        )
        if isinstance(event, Finished | Failed):
            display.stop()

    return listen


def _notes(event: Event) -> Sequence[str]:
    """Return what an event has to say to a reader, a sentence each."""
    match event:
        case Indexed():
            return event.notes
        case Planned(rows_at_risk=at_risk, memory=memory) if memory:
            notes = [f"a worker will need about {memory}"]
            if event.shards > 1:
                work = f", {event.seconds_at_risk:.0f} s of work" if event.seconds_at_risk else ""
                notes += [
                    f"a stop loses at most {at_risk:,} texts a thread{work}; the rest is kept"
                ]
            return notes
        case Restored():
            return [f"{event.shards:,} finished shards brought back from {event.mirror}"]
        case Finished(bill=bill) if bill:
            return [f"cost: {bill}"]
        case Notice():
            return [event.text]
        case WorkerLost():
            return [f"{event.reason}; the other workers go on without {event.worker}"]
    return []


def _in_notebook(results: str, dashboard_link: str) -> Listener:
    from IPython import display as notebook

    progress, notes = Progress(), list[str]()
    handle: Any = notebook.DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display(notebook.HTML(_as_html(progress, results, dashboard_link)))  # type: ignore[no-untyped-call]
    last = 0.0

    def listen(event: Event) -> None:
        nonlocal last
        progress.listen(event)
        notes.extend(_notes(event))
        now = time.monotonic()
        if now - last > _HTML_SECONDS or not isinstance(event, ShardDone):
            last = now
            page = _as_html(progress.snapshot(), results, dashboard_link)
            page += "".join(f"<br>note: {html.escape(note)}" for note in notes)
            handle.update(notebook.HTML(page))  # type: ignore[no-untyped-call]

    return listen


def _as_html(progress: Progress, results: str, dashboard_link: str) -> str:
    link = html.escape(dashboard_link, quote=True)
    return (
        f'<progress max="{max(progress.rows, 1)}" value="{progress.rows_done}"></progress> '
        f"{html.escape(progress.line())} &rarr; <code>{html.escape(results)}</code> "
        f'(<a href="{link}" target="_blank">dask dashboard</a>)'
    )
