"""Clusters on this machine: worker processes, threads of this one, a worker for each GPU.

The one table of their kinds is here. They listen on loopback, unless asked otherwise.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from ...storage.errors import BackendUnavailable, UsageError
from ..hardware.memory import ram
from ..monitoring.dashboard.link import PAGE, dashboard_link
from ..monitoring.dashboard.message import TOPIC
from . import cuda as cuda_cluster
from .network import LOOPBACK, Door, is_loopback

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

DASHBOARD_PORT = 8787
MAIN_GUARD = (
    'in a script, put everything from connect() on under  if __name__ == "__main__":  for the '
    "workers import it"
)
PROFILING_DEADLOCKS = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)
"""There `sys._current_frames`, of which dask's profiler asks a hundred times a second, stops the
whole process for good when a thread begins or ends at a bad moment (CPython issue 106883)."""

RESIDENT_BYTES = 200 << 20  # of a worker that has imported what it needs
LOST_WORKER_TIMEOUT = "1 day"
WORKER_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": 256 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
TICK = "500 ms"
BACKEND_KEY = ["paninifs", "backend"]  # where the scheduler keeps it, for every client


@dataclass(frozen=True)
class ClusterSize:
    """How large a local cluster is to be; None leaves it to dask and the machine."""

    workers: int | tuple[int, int] | None = None  # processes; or how few, and how many
    threads: int | None = None  # a worker
    memory: str | None = None  # a worker, as in "2GiB"

    def between(self, usual: int) -> tuple[int, int]:
        """Return how few workers there are to be, and how many; `usual` where nobody says.

        Raises `UsageError` where that makes no sense, or this machine has no memory for them.

        >>> ClusterSize().between(4), ClusterSize((1, 8)).between(4)
        ((4, 4), (1, 8))
        """
        said = usual if self.workers is None else self.workers
        least, most = said if isinstance(said, tuple) else (said, said)
        if not 0 <= least <= most or most < 1:
            raise UsageError(f"workers={said}: a number, or the fewest (0 or more) and the most")
        memory = ram()
        there = memory.limit or memory.total
        if most > max(1, there // RESIDENT_BYTES):
            raise UsageError(
                f"{most:,} workers do not fit in this machine's memory of {there / 2**30:.1f} GiB: "
                f"each takes some {RESIDENT_BYTES >> 20} MiB before it works, so there is room for "
                f"{there // RESIDENT_BYTES:,}"
            )
        return least, most


@contextmanager
def _ctrl_c_spared() -> Iterator[None]:
    """Start processes that Ctrl-C, which a terminal sends to all of them, does not reach.

    The client alone decides what it means; workers that died of it would bury its answer. It is
    told when they have started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[bool] = []
    resource_tracker.ensure_running()  # some Pythons let Ctrl-C through as they do
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # workers inherit that
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _kernels_prepared() -> Iterator[None]:
    """Compile the kernels meanwhile, once for all workers of this host, if they are not cached.

    Whatever goes wrong is left to the worker that needs them: it prepares them too, and reports.
    """
    from ...graphs.kernels import load

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: load("cpu").prepare())
        yield


def _cpu(size: ClusterSize, door: Door) -> Client:
    from dask.system import CPU_COUNT

    _configure_dask(WORKER_ENVIRONMENT)
    return _local(
        size,
        door,
        workers=size.between(CPU_COUNT),
        threads_per_worker=size.threads or 1,
    )


def _cuda(size: ClusterSize, door: Door) -> Client:
    if isinstance(size.workers, tuple):
        raise UsageError(
            "a cluster 'cuda' has a worker for each GPU, busy or not: a GPU is there all the time, "
            "and its worker takes seconds to start. Say how many, workers=2, or leave it out"
        )
    gpus = cuda_cluster.require_gpus(size.workers)  # before anything heavy is imported
    import dask
    from dask_cuda import LocalCUDACluster

    _configure_dask(WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT)
    arguments = cuda_cluster.cluster_arguments(
        gpus,
        host=door.host,
        dashboard_address=_dashboard(),
        threads=size.threads,
        memory=size.memory,
    )
    if door.encrypted:
        arguments["protocol"] = "tls"  # UCX knows none
    with _starting(size, len(gpus)) as started:
        cluster = LocalCUDACluster(**arguments, **_kept_private(door))
        # dask's frames, and `paninifs.frame`, are cuDF's until it is closed.
        frames = dask.config.set({"dataframe.backend": "cudf"})
        client = _owner_of(cluster, lambda: frames.__exit__(None, None, None))
        started.callback(client.close)
    client.set_metadata(BACKEND_KEY, "cuda")
    return client


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
    # dask has every process look fifty times a second whether it still answers; of two cores these
    # looks alone took a thirtieth.
    dask.config.set({"distributed.admin.tick.interval": TICK})
    # 15 s after a worker died dask looks whether one of its name is there, and gives the place up
    # for ever where it is not: as when the next one has just died too, and is being started again.
    dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_WORKER_TIMEOUT})


def _threads(size: ClusterSize, door: Door) -> Client:
    from dask.system import CPU_COUNT

    if size.workers not in (None, 1):
        raise UsageError("'threads' is one worker, in this process; 'cpu' has as many as you like")
    return _local(
        size,
        door,
        workers=(1, 1),
        threads_per_worker=size.threads or CPU_COUNT,
        processes=False,
        # dask's own way within a process knows no loopback.
        protocol="tls://" if door.encrypted else "tcp://",
    )


def _local(size: ClusterSize, door: Door, *, workers: tuple[int, int], **options: Any) -> Client:
    from distributed import LocalCluster

    from .spilling import spill_settings

    least, most = workers
    if size.memory:
        options["memory_limit"] = size.memory
    if least < most:  # those that come later are to be started alike
        options["config"] = spill_settings(most)
    with _kernels_prepared(), _starting(size, most) as started:
        cluster = LocalCluster(
            n_workers=least,
            host=door.host,
            dashboard_address=_dashboard(),
            **_kept_private(door),
            **options,
        )
        if least < most:
            cluster.adapt(minimum=least, maximum=most)
        client = _owner_of(cluster)
        started.callback(client.close)
    return client


def _owner_of(cluster: SpecCluster, closing: Callable[[], object] = lambda: None) -> Client:
    """Return a client that closes the cluster when it is closed, as of one that it has started."""
    from distributed import Client

    address, _, _ = cluster.scheduler_address.rpartition(":")
    host = address.rpartition("/")[2]

    class OwningClient(Client):  # by that word in its name dask knows what it can compute with
        @property
        def direct_dashboard_link(self) -> str:
            # dask takes it to be where the scheduler is, and has no word to say otherwise.
            return str(super().dashboard_link).replace(f"//{host}:", f"//{LOOPBACK}:")

        @property
        def dashboard_link(self) -> str:
            scheduler: Any = cluster.scheduler
            return dashboard_link(self, TOPIC if TOPIC in scheduler.plugins else PAGE).url

        def close(self, *arguments: Any, **options: Any) -> Any:
            closing()
            super().close(*arguments, **options)  # type: ignore[no-untyped-call]
            return cluster.close()

    return OwningClient(cluster)  # type: ignore[no-untyped-call]


@contextmanager
def _starting(size: ClusterSize, workers: int) -> Iterator[ExitStack]:
    """Start so many workers in peace, and say in the user's words why they did not start.

    What is pushed on the stack is done if they did not, or Ctrl-C was pressed meanwhile.
    """
    import dask

    from .spilling import spill_settings

    _leave_profiling_off()
    spilling = dask.config.set(spill_settings(workers))
    try:
        with ExitStack() as started:
            with spilling, _ctrl_c_spared(), warnings.catch_warnings():
                # Of the dashboard's: another process may take it after it was found to be free.
                warnings.filterwarnings("ignore", "Port [0-9]+ is already in use", UserWarning)
                yield started
            started.pop_all()
    except ValueError as error:
        raise UsageError(f"no cluster with {size}: {error}") from error
    except RuntimeError as error:
        raise BackendUnavailable(
            f"the cluster's workers did not start ({error}); {MAIN_GUARD}"
        ) from error


def _kept_private(door: Door) -> dict[str, Any]:
    """Return what a local cluster is told beside where it listens."""
    arguments: dict[str, Any] = {}
    if door.security is not None:
        arguments["security"] = door.security
    if not is_loopback(door.host):
        # Else a worker's own pages, which are never encrypted, would be where the worker is.
        arguments["worker_dashboard_address"] = f"{LOOPBACK}:0"
    return arguments


def _dashboard() -> str:
    # Not left to dask: it would listen on every interface, whatever `host` says.
    return f"{LOOPBACK}:{_dashboard_port()}"


def _dashboard_port() -> int:
    """Return dask's usual port, or 0 (any) where somebody has it: dask would warn and leak."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


CLUSTERS: dict[str, Callable[[ClusterSize, Door], Client]] = {
    "cpu": _cpu,
    "threads": _threads,
    "cuda": _cuda,
}
"""Every kind of local cluster, by name."""
