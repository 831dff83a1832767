"""Where a cluster runs, in words: on this machine, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client


def remote_location(client: Client) -> str | None:
    """Describe where a cluster on other machines runs; None if it was started on this one."""
    from distributed import LocalCluster

    if isinstance(client.cluster, LocalCluster):
        return None
    scheduler = client.scheduler
    return f"the cluster at {scheduler.address}" if scheduler else "a cluster elsewhere"


def cluster_location(client: Client) -> str:
    """Describe where a cluster runs.

    Examples
    --------
    >>> import paninifs as pf
    >>> with pf.connect("threads", quiet=True) as client:
    ...     print(cluster_location(client))
    threads of one process of this machine
    """
    remote = remote_location(client)
    if remote is not None:
        return remote
    processes = getattr(client.cluster, "processes", True)
    return ("processes" if processes else "threads of one process") + " of this machine"
