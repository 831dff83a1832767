"""`connect`: a dask client for a cluster made by name, or found by address.

The one table of clusters is here. Local ones listen on loopback only.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..storage.errors import BackendUnavailable, UsageError
from . import cuda_cluster

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8787
_GUARD = (
    'in a script, put everything from connect() on under  if __name__ == "__main__":  for the '
    "workers import it"
)
PROFILING_DEADLOCKS = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)
"""There `sys._current_frames`, of which dask's profiler asks a hundred times a second, stops the
whole process for good when a thread begins or ends at a bad moment (CPython issue 106883)."""

LOST_WORKER_TIMEOUT = "1 day"
WORKER_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": 256 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
_BACKEND = ["paninifs", "backend"]  # where the scheduler keeps it, for every client
SMALL_CORPUS = 64 << 20  # bytes; done in a second or two, as long as worker processes take to start


@dataclass(frozen=True)
class ClusterSize:
    """How large a local cluster is to be; None leaves it to dask and the machine."""

    workers: int | None = None  # processes
    threads: int | None = None  # a worker
    memory: str | None = None  # a worker, as in "2GiB"


def connect(
    cluster: str = "cpu",
    *,
    workers: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
    quiet: bool = False,
) -> Client:
    """Start a local cluster, or connect to a running one, and print its dashboard's link.

    Parameters
    ----------
    cluster : str
        ``"cpu"``: worker processes on this machine, listening on loopback only; ``"threads"``:
        one worker in this process, there in a second, for small corpora; ``"cuda"``: a worker
        process for each of this machine's GPUs that CUDA_VISIBLE_DEVICES leaves; or the address of
        a scheduler, as in ``"tcp://10.0.0.5:8786"`` or ``"tls://..."``.
    workers, threads, memory
        Size of a local cluster: processes (one a core, or a GPU, when left out), threads a worker
        (one; of ``"threads"`` one a core), memory of the host a worker (``"2GiB"``; an even share
        when left out).
    quiet : bool
        Print nothing.

    Returns
    -------
    distributed.Client
        Closing it closes a local cluster. `submit` finds the newest one by itself.

    Raises
    ------
    BackendUnavailable
        The name is unknown, this machine has not got what the cluster needs, or nothing answers at
        the address.

    Examples
    --------
    >>> with connect(workers=1, quiet=True) as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    if _is_importing_main():
        sys.exit(f"a worker was asked to start a cluster of its own: {_GUARD}")
    size = ClusterSize(workers, threads, memory)
    if "://" in cluster:
        client = _running(cluster, size)
    elif cluster in CLUSTERS:
        client = CLUSTERS[cluster](size)
    else:
        choices = ", ".join(CLUSTERS)
        raise BackendUnavailable(
            f"no cluster {cluster!r}; there are: {choices}, or a scheduler's address like "
            "tcp://HOST:8786"
        )
    if not quiet:
        print(f"dask dashboard: {client.dashboard_link}")  # noqa: T201 (what the user asked for)
    return client


def _is_importing_main() -> bool:
    """Whether this is a worker process that has come no further than importing the script."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


@contextmanager
def _ctrl_c_spared() -> Iterator[None]:
    """Start processes that Ctrl-C, which a terminal sends to all of them, does not reach.

    The client alone decides what it means; workers that died of it would bury its answer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _kernels_prepared() -> Iterator[None]:
    """Compile the kernels meanwhile, once for all workers of this host, if they are not cached.

    Whatever goes wrong is left to the worker that needs them: it prepares them too, and reports.
    """
    from ..graphs.kernels import load

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: load("cpu").prepare())
        yield


def cluster_for(corpus_bytes: int) -> str:
    """Return the local cluster that a corpus is done with soonest.

    The kernels let go of the GIL, so threads keep up with processes; what they lack is a memory of
    their own, which can be watched and given back.

    >>> cluster_for(10_000_000), cluster_for(10_000_000_000)
    ('threads', 'cpu')
    """
    return "threads" if corpus_bytes <= SMALL_CORPUS else "cpu"


def _cpu(size: ClusterSize) -> Client:
    from dask.system import CPU_COUNT

    _configure_dask(WORKER_ENVIRONMENT)
    return _local(
        size,
        n_workers=size.workers or CPU_COUNT,
        threads_per_worker=size.threads or 1,
    )


def _cuda(size: ClusterSize) -> Client:
    gpus = cuda_cluster.require_gpus(size.workers)  # before anything heavy is imported
    from dask_cuda import LocalCUDACluster

    _configure_dask(WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT)
    arguments = cuda_cluster.cluster_arguments(
        gpus, **_loopback(), threads=size.threads, memory=size.memory
    )
    with _starting(size):
        client = _owner_of(LocalCUDACluster(**arguments))
    client.set_metadata(_BACKEND, "cuda")
    return client


def backend_of(client: Client) -> str:
    """Return the backend that a cluster's workers are meant for: the GPUs', where it was made so.

    A scheduler that was started by other means says nothing; then it is ``"cpu"``.
    """
    return str(client.get_metadata(_BACKEND, "cpu"))


def _leave_profiling_off() -> None:
    """Keep dask from asking for Python's frames where that can stop the process for good."""
    import dask

    if PROFILING_DEADLOCKS:
        dask.config.set({"distributed.worker.profile.enabled": False})


def _configure_dask(environment: dict[str, Any]) -> None:
    """Set what holds for every kind of worker process, and has no argument."""
    import dask

    # dask has workers give memory back at once, and glibc then maps every array of a shard anew: a
    # fifth of their time went into clearing pages.
    key = "distributed.nanny.pre-spawn-environ"
    dask.config.set({f"{key}.{name}": value for name, value in environment.items()})
    # 15 s after a worker died dask looks whether one of its name is there, and gives the place up
    # for ever where it is not: as when the next one has just died too, and is being started again.
    dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_WORKER_TIMEOUT})


def _threads(size: ClusterSize) -> Client:
    from dask.system import CPU_COUNT

    if size.workers not in (None, 1):
        raise UsageError("'threads' is one worker, in this process; 'cpu' has as many as you like")
    return _local(
        size,
        n_workers=1,
        threads_per_worker=size.threads or CPU_COUNT,
        processes=False,
        protocol="tcp://",  # dask's own way within a process knows no loopback
    )


def _local(size: ClusterSize, **options: Any) -> Client:
    from distributed import Client

    if size.memory:
        options["memory_limit"] = size.memory
    with _kernels_prepared(), _starting(size):
        return Client(**options, **_loopback())


def _owner_of(cluster: Cluster) -> Client:
    """Return a client that closes the cluster when it is closed, as of one that it has started.

    Until then dask's frames, and `paninifs.frame`, are cuDF's.
    """
    import dask
    from distributed import Client

    frames = dask.config.set({"dataframe.backend": "cudf"})

    class Owner(Client):
        def close(self, *arguments: Any, **options: Any) -> Any:
            frames.__exit__(None, None, None)
            super().close(*arguments, **options)  # type: ignore[no-untyped-call]
            return cluster.close()

    return Owner(cluster)  # type: ignore[no-untyped-call]


@contextmanager
def _starting(size: ClusterSize) -> Iterator[None]:
    """Start workers in peace, and say in the user's words why they did not start."""
    import dask
    from dask.system import CPU_COUNT

    from .spilling import spill_settings

    dask.config.set(spill_settings(size.workers or CPU_COUNT))
    _leave_profiling_off()
    try:
        with _ctrl_c_spared():
            yield
    except ValueError as error:
        raise UsageError(f"no cluster with {size}: {error}") from error
    except RuntimeError as error:
        raise BackendUnavailable(
            f"the cluster's workers did not start ({error}); {_GUARD}"
        ) from error


def _loopback() -> dict[str, str]:
    # The dashboard is not left to dask: it would listen on every interface, whatever `host` says.
    return {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:{_dashboard_port()}"}


def _dashboard_port() -> int:
    """Return dask's usual port, or 0 (any) where somebody has it: dask would warn and leak."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


def _running(address: str, size: ClusterSize) -> Client:
    from distributed import Client

    if size != ClusterSize():
        raise UsageError(f"{address} is running already: workers, threads and memory are its own")
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        raise BackendUnavailable(f"no dask scheduler answers at {address}: {error}") from error


CLUSTERS: dict[str, Callable[[ClusterSize], Client]] = {
    "cpu": _cpu,
    "threads": _threads,
    "cuda": _cuda,
}
"""Every kind of local cluster, by name."""
