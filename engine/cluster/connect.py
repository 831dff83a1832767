"""`connect`: a dask client for a cluster started by name, or found by address.

How local clusters are started is in `local`, who can reach them in `network`. What is done on a
cluster is in `run`.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ...storage.errors import BackendUnavailable, UsageError
from ...storage.messages.tracebacks import short_traceback
from ..hardware.loopback import LOOPBACK
from ..monitoring.dashboard.link import announce, dashboard_link
from ..monitoring.dashboard.telemetry import install, page_for
from .leaving import Leaving
from .local import BACKEND_KEY, CLUSTERS
from .main_guard import MAIN_GUARD, require_no_loading
from .network import Endpoint, warn_if_exposed, warn_if_plain
from .size import ClusterSize

if TYPE_CHECKING:
    from distributed import Client, Security


@short_traceback
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
        one worker in this process, ready in a second, for small corpora; ``"cuda"``: one worker
        process per GPU of this machine that CUDA_VISIBLE_DEVICES leaves visible; or the address of
        a scheduler, such as ``"tcp://10.0.0.5:8786"`` or ``"tls://..."``. By default what
        `advise` assumes of this machine: ``"cuda"`` if a GPU and its packages can be used, else
        ``"cpu"``. A GPU is used because it is faster for models, and no slower for short texts;
        if the cores alone are predicted to be faster, that is printed with the choice.
    workers, threads, memory
        Size of a local cluster: processes (default: one per core, or per GPU), threads per worker
        (default: one; for ``"threads"`` one per core; for ``"cuda"`` an even share of the cores),
        and host memory per worker (``"2GiB"``; default: an even share). With ``workers=(1, 8)`` a
        ``"cpu"`` cluster grows and shrinks between the two with the amount of work.
    host : str
        The interface on which the scheduler and the workers of a local cluster listen, by address
        or name. The dashboard stays on loopback, because TLS does not cover it: reach it from
        other hosts through ``ssh -L 8787:127.0.0.1:8787``.
    security : distributed.Security, optional
        Certificates for TLS, for a local cluster or to join a running one. By default, those of
        dask's configuration and environment (``DASK_DISTRIBUTED__COMM__TLS__...``).
        deploy/docs/clusters.md has the commands.
    prefer : sequence of str, optional
        Machines that you would prefer, best first, such as ``["L4", "T4", "A100"]``. Prints which
        of them this machine is. If it is none of them, also prints which one to choose, in which
        menu, and when that pays off. A process cannot switch machines itself.
    otherwise : "go on" or "stop"
        Whether to continue if this machine is none of them, or to raise an error.
    quiet : bool
        Print nothing.

    Returns
    -------
    distributed.Client
        Closing it closes a local cluster. `submit` uses the newest client by default.

    Warns
    -----
    UnencryptedScheduler
        Other hosts can reach the cluster, or it is on another host, and it does not use TLS.

    Raises
    ------
    BackendUnavailable
        The name is unknown; this machine lacks what the cluster needs; no scheduler answers at
        the address with these certificates; or the machine is none of the preferred ones and
        `otherwise` is ``"stop"``.

    Examples
    --------
    >>> with connect(workers=1, quiet=True) as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    if _is_importing_main():
        sys.exit(f"a worker tried to start a cluster of its own: {MAIN_GUARD}")
    require_no_loading("connect")
    size, endpoint = ClusterSize(workers, threads, memory), Endpoint(host, security)
    if prefer is not None:
        _check_preferences(prefer, otherwise, cluster, quiet=quiet)
    if cluster is None:
        from ..advisor.local_cluster import recommended_cluster

        chosen = recommended_cluster(workers)
        cluster = chosen.cluster
        if not quiet:
            print(chosen)  # noqa: T201 (a choice made for the user, who has to know it)
    if "://" in cluster:
        warn_if_plain(cluster, stacklevel=3)
        client = _running(cluster, size, endpoint)
    elif cluster in CLUSTERS:
        warn_if_exposed(endpoint, stacklevel=3)
        client = CLUSTERS[cluster](size, endpoint)
    else:
        choices = ", ".join(CLUSTERS)
        raise BackendUnavailable(
            f"unknown cluster {cluster!r}; choose one of {choices}, or a scheduler's address such "
            "as tcp://HOST:8786"
        )
    problem = install(client)  # reported by each run: why the dashboard's tab is missing
    if not quiet:
        announce(dashboard_link(client, page_for(problem)))
    return client


def _check_preferences(
    prefer: Sequence[str], otherwise: str, cluster: str | None, *, quiet: bool
) -> None:
    """Print which of the preferred machines this is; raise if none and `otherwise` is "stop"."""
    from ..advisor.preferences import check_this_machine

    if otherwise not in ("go on", "stop"):
        raise UsageError(f"otherwise must be 'go on' or 'stop', not {otherwise!r}")
    if cluster is not None:
        raise UsageError(
            f"prefer selects among machines, so it cannot be combined with cluster={cluster!r}"
        )
    found = check_this_machine(prefer)
    if not found.preferred and otherwise == "stop":
        raise BackendUnavailable(f"{found}\n(otherwise='stop')")
    if not quiet:
        print(found)  # noqa: T201 (the user asked for it)


def _is_importing_main() -> bool:
    """Return whether this is a worker process that is still importing the user's script."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def backend_of(client: Client) -> str:
    """Return the backend that a cluster was started for.

    ``"cpu"`` if the scheduler was started by other means and does not record a backend.
    """
    return str(client.get_metadata(BACKEND_KEY, "cpu"))


def _running(address: str, size: ClusterSize, endpoint: Endpoint) -> Client:
    from distributed import Client

    if size != ClusterSize() or endpoint.host != LOOPBACK:
        raise UsageError(
            f"{address} is already running: workers, threads, memory and host cannot be set"
        )

    class JoinedClient(Leaving, Client):  # dask recognises clients by that word in the class name
        pass

    try:
        return JoinedClient(address, security=endpoint.security)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError, MemoryError) as error:  # the server may not be dask
        raise BackendUnavailable(
            f"no dask scheduler answers at {address}: {error}{_advice(address)}"
        ) from error


def _advice(address: str) -> str:
    if address.startswith("tls://"):
        return (
            "; a TLS scheduler accepts only certificates of its own authority: pass security=, or "
            "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE and ...__TLS__CLIENT__CERT and __KEY "
            "(see deploy/docs/clusters.md)"
        )
    return "; if the scheduler was started with certificates, its address begins with tls://"
