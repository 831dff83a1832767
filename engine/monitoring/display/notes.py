"""`notes_of`: the messages for the user in a run's events."""

from __future__ import annotations

from collections.abc import Sequence

from ..bottleneck import busy_in_words
from ..events import Event, Finished, Indexed, Notice, Planned, Restored, WorkerLost


def notes_of(event: Event) -> Sequence[str]:
    """Return the messages for the user in an event, one sentence each."""
    match event:
        case Indexed():
            return event.notes
        case Planned(rows_at_risk=at_risk, memory=memory) if memory:
            notes = [f"a worker will need about {memory}"]
            if event.shards > 1:
                work = f", {event.seconds_at_risk:.0f} s of work" if event.seconds_at_risk else ""
                notes += [
                    f"stopping loses at most {at_risk:,} texts per thread{work}; the rest is kept"
                ]
            return notes
        case Restored():
            return [f"{event.shards:,} finished shards copied back from {event.mirror}"]
        case Finished(bill=bill, record=record):
            busy = [f"busy: {busy_in_words(record)}"] if record else []
            return [*busy, f"cost: {bill}"] if bill else busy
        case Notice():
            return [event.text]
        case WorkerLost():
            return [f"{event.reason}; the other workers continue without {event.worker}"]
    return []
