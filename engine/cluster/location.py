"""Where a cluster is, in words: of this machine, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client


def elsewhere(client: Client) -> str | None:
    """Return where a cluster is that is not of this machine; None of one that is."""
    from distributed import LocalCluster

    if isinstance(client.cluster, LocalCluster):
        return None
    scheduler = client.scheduler
    return f"the cluster at {scheduler.address}" if scheduler else "a cluster elsewhere"


def place_of(client: Client) -> str:
    """Return what a cluster is.

    Examples
    --------
    >>> import paninifs as pf
    >>> with pf.connect("threads", quiet=True) as client:
    ...     print(place_of(client))
    threads of one process of this machine
    """
    there = elsewhere(client)
    if there is not None:
        return there
    processes = getattr(client.cluster, "processes", True)
    return ("processes" if processes else "threads of one process") + " of this machine"
