"""`notes_of` and `details_of`: the messages for the user in a run's events.

Notes are what every user has to know; details are shown on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...rendering.terminal import visible
from ..bottleneck import bottleneck_of, busy_in_words
from ..events import Event, Finished, Indexed, Notice, Planned, Restored, WorkerLost

if TYPE_CHECKING:
    from rich.console import Console

    from ...costs.bill import Bill

LONG_SECONDS = 60.0
"""Seconds of a run, or of work at risk, from which its details become notes."""

BOUND_SECONDS = 10.0
"""Seconds of a run from which it is worth a note what limited it."""

EXPENSIVE_USD, EXPENSIVE_UNITS = 0.05, 0.5
"""Cost of a run, in US dollars or compute units, from which it becomes a note."""

Notes = Callable[[Event], Sequence[str]]


def notes_of(event: Event) -> Sequence[str]:
    """Return the messages for the user in an event, one sentence each."""
    match event:
        case Indexed():
            return event.notes
        case Planned() if event.seconds_at_risk >= LONG_SECONDS:
            return list(_planned(event))
        case Restored():
            return [f"{_counted(event.shards)} copied back from {event.mirror}"]
        case Finished():
            return list(_finished(event))
        case Notice():
            return [event.text]
        case WorkerLost():
            return [f"{event.reason}; the other workers continue without {event.worker}"]
    return []


def details_of(event: Event) -> Sequence[str]:
    """Return the notes of an event, and what is of interest to some users only."""
    match event:
        case Planned():
            return list(_planned(event))
        case Finished(bill=bill, record=record):
            busy = [f"busy: {busy_in_words(record)}"] if record else []
            return [*busy, f"cost: {bill}"] if bill else busy
    return notes_of(event)


def print_note(console: Console, note: str) -> None:
    """Print a note for the user."""
    console.print(
        f"note: {visible(note)}", markup=False, highlight=False, emoji=False, soft_wrap=True
    )


def _planned(event: Planned) -> Iterator[str]:
    if not event.memory:
        return
    yield f"a worker will need about {event.memory}"
    if event.shards > 1:
        work = f", {event.seconds_at_risk:.0f} s of work" if event.seconds_at_risk else ""
        each = " per thread" if event.rows_at_risk < event.rows else ""
        yield f"stopping loses at most {event.rows_at_risk:,} texts{each}{work}"


def _finished(event: Finished) -> Iterator[str]:
    record, bill = event.record, event.bill
    if record and record.seconds >= BOUND_SECONDS and (bound := bottleneck_of(record)):
        yield f"the run was bound by {bound}"
    if bill and _is_expensive(bill):
        yield f"cost: {bill}"


def _counted(shards: int) -> str:
    return f"{shards:,} finished shard{'' if shards == 1 else 's'}"


def _is_expensive(bill: Bill) -> bool:
    cost = bill.here.cost
    return cost is not None and (
        (cost.usd or 0.0) >= EXPENSIVE_USD or (cost.units or 0.0) >= EXPENSIVE_UNITS
    )
