"""`describe_death`: why dask gave up on a task whose worker kept dying.

What happens to such a task is decided in `dispatch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dask.utils import format_bytes

if TYPE_CHECKING:
    from distributed import Client, KilledWorker

KILLED_FOR_MEMORY = "worker-restart-memory"
"""Topic under which dask's nannies report workers that they killed, with the memory held."""


def describe_death(client: Client, killed: KilledWorker) -> str:
    """Return how often a task's worker died, and the cause if it is known."""
    worker = killed.last_worker
    events = [event for _, event in client.get_events(KILLED_FOR_MEMORY) or ()]
    held = [event["rss"] for event in events if event["worker"] == worker.address]
    cause = "for an unknown reason, probably lack of memory"
    if held:
        share = f"{format_bytes(held[-1])} of {format_bytes(worker.memory_limit)}"
        cause = f"for lack of memory: it held {share}"
    return f"a worker died {killed.allowed_failures + 1} times ({cause})"
