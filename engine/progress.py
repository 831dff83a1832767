"""How far a run has come, folded from its events, and the two displays that show it.

In a terminal the display is rich's; in a notebook a piece of HTML that is replaced in place
through the kernel's own channel, so no port need be open.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .events import Event, Failed, Finished, Indexed, Planned, ShardDone

if TYPE_CHECKING:
    from rich.console import Console

    from .run import Run

_HTML_SECONDS = 0.5


@dataclass
class Progress:
    """Counts of a run. Rates and times leave out what an earlier run had done.

    Attributes
    ----------
    state : str
        ``indexing``, ``running``, ``finished`` or ``failed``.
    rows, shards : int
        Of the corpus.
    rows_done, shards_done : int
        By this run and earlier ones.
    rows_before : int
        By earlier ones.
    quarantined : int
        Rows set aside by this run.
    text_bytes : int
        Bytes of text that this run read.
    seconds : dict
        By block, and ``read`` and ``write``; added up over workers.
    elapsed : float
        Seconds since the plan.
    """

    state: str = "indexing"
    rows: int = 0
    shards: int = 0
    rows_done: int = 0
    shards_done: int = 0
    rows_before: int = 0
    quarantined: int = 0
    text_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0
    _began: float | None = field(default=None, repr=False)

    def listen(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case Indexed():
                self.rows = event.rows
            case Planned():
                self.state = "running"
                self.shards, self.rows = event.shards, event.rows
                self.rows_before = self.rows_done = event.rows_done
                self.shards_done = event.shards_done
                self._began = time.perf_counter()
            case ShardDone():
                self.shards_done += 1
                self.rows_done += event.rows
                self.quarantined += event.quarantined
                self.text_bytes += event.text_bytes
                for name, seconds in event.seconds.items():
                    self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            case Finished():
                self.elapsed = self._since_plan()
                self.state = "finished"
            case Failed():
                self.elapsed = self._since_plan()
                self.state = "failed"

    def snapshot(self) -> Progress:
        """Return a copy that no longer changes."""
        now = copy(self)
        now.seconds = dict(self.seconds)
        if self.state == "running":
            now.elapsed = self._since_plan()
        return now

    def _since_plan(self) -> float:
        return 0.0 if self._began is None else time.perf_counter() - self._began

    @property
    def texts_per_second(self) -> float:
        """Texts that this run has done a second."""
        return (self.rows_done - self.rows_before) / self.elapsed if self.elapsed else 0.0

    def line(self) -> str:
        """Return one line for people."""
        if self.state == "indexing":
            return "counting rows"
        aside = f", {self.quarantined:,} quarantined" if self.quarantined else ""
        rate = f", {self.texts_per_second:,.0f} texts/s" if self.elapsed else ""
        return f"{self.state}, {self.rows_done:,} of {self.rows:,} texts{aside}{rate}"


def show(run: Run) -> None:
    """Show a run's progress wherever its user sits."""
    from rich.console import Console

    console = Console(stderr=True)
    run.events.subscribe(_in_notebook(run) if console.is_jupyter else _in_terminal(console))


def _in_terminal(console: Console) -> Callable[[Event], None]:
    from rich import progress as bars

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
        if isinstance(event, Indexed):
            for note in event.notes:
                console.print(f"note: {note}", markup=False, highlight=False)
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


def _in_notebook(run: Run) -> Callable[[Event], None]:
    from IPython import display as notebook

    progress = Progress()
    handle: Any = notebook.DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display(notebook.HTML(_as_html(progress, run)))  # type: ignore[no-untyped-call]
    last = 0.0

    def listen(event: Event) -> None:
        nonlocal last
        progress.listen(event)
        now = time.monotonic()
        if now - last > _HTML_SECONDS or not isinstance(event, ShardDone):
            last = now
            page = _as_html(progress.snapshot(), run)
            handle.update(notebook.HTML(page))  # type: ignore[no-untyped-call]

    return listen


def _as_html(progress: Progress, run: Run) -> str:
    link = html.escape(run.dashboard_link, quote=True)
    return (
        f'<progress max="{max(progress.rows, 1)}" value="{progress.rows_done}"></progress> '
        f"{html.escape(progress.line())} &rarr; <code>{html.escape(run.results)}</code> "
        f'(<a href="{link}" target="_blank">dask dashboard</a>)'
    )
