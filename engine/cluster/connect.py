"""`connect`: a dask client for a cluster made by name, or found by address.

How local ones are made is in `local_cluster`.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ...storage.errors import BackendUnavailable, UsageError
from ..hardware import selection
from ..hardware.loopback import LOOPBACK
from ..monitoring.dashboard.link import announce, dashboard_link
from ..monitoring.dashboard.telemetry import install, page_for
from .local import BACKEND_KEY, CLUSTERS, MAIN_GUARD, ClusterSize
from .network import Door, warn_of_open_door, warn_of_plain_address

if TYPE_CHECKING:
    from distributed import Client, Security


def connect(
    cluster: str | None = None,
    *,
    workers: int | tuple[int, int] | None = None,
    threads: int | None = None,
    memory: str | None = None,
    host: str = LOOPBACK,
    security: Security | None = None,
    prefer: Sequence[str] | None = None,
    otherwise: Literal["go on", "stop"] = "go on",
    quiet: bool = False,
) -> Client:
    """Start a local cluster, or connect to a running one, and print its dashboard's link.

    Parameters
    ----------
    cluster : str, optional
        ``"cpu"``: worker processes on this machine, listening on loopback only; ``"threads"``:
        one worker in this process, there in a second, for small corpora; ``"cuda"``: a worker
        process for each of this machine's GPUs that CUDA_VISIBLE_DEVICES leaves; or the address of
        a scheduler, as in ``"tcp://10.0.0.5:8786"`` or ``"tls://..."``. When left out ``"cuda"``
        where a GPU and its packages can be used, else ``"cpu"``; which one and why is printed.
    workers, threads, memory
        Size of a local cluster: processes (one a core, or a GPU, when left out), threads a worker
        (one; of ``"threads"`` one a core), memory of the host a worker (``"2GiB"``; an even share
        when left out). With ``workers=(1, 8)`` a cluster of ``"cpu"`` grows and shrinks between the
        two, as there is work.
    host : str
        The interface on which the scheduler and the workers of a local cluster listen, by address
        or name. The dashboard stays on loopback, for TLS does not cover it: others reach it
        through ``ssh -L 8787:127.0.0.1:8787``.
    security : distributed.Security, optional
        Certificates for TLS, of a local cluster or to join a running one with; what dask's
        configuration says, and its environment (``DASK_DISTRIBUTED__COMM__TLS__...``), when left
        out. deploy/README.md has the commands.
    prefer : sequence of str, optional
        Machines that you would rather have, the best first, as ``["L4", "T4", "A100"]``: it is
        printed which of them is here, what to pick instead in which menu, and when that pays. A
        process cannot get itself another one.
    otherwise : "go on" or "stop"
        What to do where none of them is here.
    quiet : bool
        Print nothing.

    Returns
    -------
    distributed.Client
        Closing it closes a local cluster. `submit` finds the newest one by itself.

    Warns
    -----
    UnencryptedScheduler
        Other hosts can reach the cluster, or it is on another host, and it does not speak TLS.

    Raises
    ------
    BackendUnavailable
        The name is unknown, this machine has not got what the cluster needs, nothing answers at
        the address that takes these certificates, or it is none of those to be preferred and the
        user would rather stop.

    Examples
    --------
    >>> with connect(workers=1, quiet=True) as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    if _is_importing_main():
        sys.exit(f"a worker was asked to start a cluster of its own: {MAIN_GUARD}")
    size, door = ClusterSize(workers, threads, memory), Door(host, security)
    if prefer is not None:
        _look_for(prefer, otherwise, cluster, quiet=quiet)
    if cluster is None:
        chosen = selection.select_cluster(workers)
        cluster = chosen.cluster
        if not quiet:
            print(chosen)  # noqa: T201 (what the user did not ask for, and has to know)
    if "://" in cluster:
        warn_of_plain_address(cluster, stacklevel=2)
        client = _running(cluster, size, door)
    elif cluster in CLUSTERS:
        warn_of_open_door(door, stacklevel=2)
        client = CLUSTERS[cluster](size, door)
    else:
        choices = ", ".join(CLUSTERS)
        raise BackendUnavailable(
            f"no cluster {cluster!r}; there are: {choices}, or a scheduler's address like "
            "tcp://HOST:8786"
        )
    untold = install(client)  # a run tells what keeps the tab from being there
    if not quiet:
        announce(dashboard_link(client, page_for(untold)))
    return client


def _look_for(prefer: Sequence[str], otherwise: str, cluster: str | None, *, quiet: bool) -> None:
    """Say which of the machines that the user prefers is here; stop where none is, if asked to."""
    from ..advisor.preferences import check_this_machine

    if otherwise not in ("go on", "stop"):
        raise UsageError(f"otherwise is 'go on' or 'stop', not {otherwise!r}")
    if cluster is not None:
        raise UsageError(f"prefer is about the machine at hand; the cluster {cluster!r} is named")
    found = check_this_machine(prefer)
    if not found.preferred and otherwise == "stop":
        raise BackendUnavailable(f"{found}\n(otherwise='stop')")
    if not quiet:
        print(found)  # noqa: T201 (what the user asked for)


def _is_importing_main() -> bool:
    """Whether this is a worker process that has come no further than importing the script."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def backend_of(client: Client) -> str:
    """Return the backend that a cluster's workers are meant for: the GPUs', where it was made so.

    A scheduler that was started by other means says nothing; then it is ``"cpu"``.
    """
    return str(client.get_metadata(BACKEND_KEY, "cpu"))


def _running(address: str, size: ClusterSize, door: Door) -> Client:
    from distributed import Client

    if size != ClusterSize() or door.host != LOOPBACK:
        raise UsageError(
            f"{address} is running already: workers, threads, memory and host are its own"
        )
    try:
        return Client(address, security=door.security)
    except (OSError, ValueError, TypeError, MemoryError) as error:  # what answers may be no dask
        raise BackendUnavailable(
            f"no dask scheduler answers at {address}: {error}{_advice(address)}"
        ) from error


def _advice(address: str) -> str:
    if address.startswith("tls://"):
        return (
            "; to a scheduler with TLS give certificates of its own authority: security=, or "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and ...__TLS__CLIENT__CERT and __KEY "
            "(deploy/README.md)"
        )
    return "; one that was started with certificates is at tls://, not tcp://"
