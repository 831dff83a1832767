"""Clusters on this machine: worker processes, threads of this process, one worker per GPU.

`CLUSTERS` is the one table of their kinds. They listen on loopback unless the caller names another
interface. Joining a running cluster is in `connect`, checking the requested size in `size`.
"""

from __future__ import annotations

import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...storage.errors import BackendUnavailable, UsageError
from ..hardware.loopback import LOOPBACK, is_loopback
from ..hardware.python import PROFILING_DEADLOCKS
from ..monitoring.dashboard.link import PAGE, dashboard_link
from ..monitoring.dashboard.message import TOPIC
from . import cuda as cuda_cluster
from . import rapids_settings
from .leaving import Leaving
from .main_guard import MAIN_GUARD, lacks_main_guard
from .network import Endpoint
from .size import ClusterSize

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

DASHBOARD_PORT = 8787
LOST_WORKER_TIMEOUT = "1 day"
WORKER_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": 256 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
TICK = "500 ms"
_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""Signals that a terminal sends to all processes that were started from it."""
BACKEND_KEY = ["paninifs", "backend"]
"""Key of the scheduler's metadata under which every client finds the backend."""


@contextmanager
def _shielded_from_ctrl_c() -> Iterator[None]:
    """Make processes that are started in this context ignore Ctrl-C, which a terminal sends to all.

    The same holds for SIGHUP, when the terminal is closed. Only the client reacts to them;
    tracebacks of dying workers would bury its message. What a handler of this process raises
    meanwhile, for these or for SIGTERM, is raised afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised: list[BaseException] = []
    previous = {number: signal.getsignal(number) for number in (*_TERMINAL, signal.SIGTERM)}
    for number, handler in previous.items():
        if callable(handler):
            signal.signal(number, _postponed(handler, raised))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, set(_TERMINAL))  # inherited by workers
    resource_tracker.ensure_running()  # it outlives SIGHUP too
    signal.pthread_sigmask(signal.SIG_BLOCK, set(_TERMINAL))  # some Pythons unblock Ctrl-C with it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in previous.items():
            if callable(handler):
                signal.signal(number, handler)
        if raised:
            raise raised[0]


def _postponed(
    handler: Callable[[int, FrameType | None], Any], raised: list[BaseException]
) -> Callable[[int, FrameType | None], None]:
    """Return a signal handler that keeps what another one raises, for later."""

    def keep(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:  # noqa: BLE001 (raised once the workers have started)
            raised.append(error)

    return keep


@contextmanager
def _kernels_prepared() -> Iterator[None]:
    """Compile the kernels in parallel, once for all workers of this host, if they are not cached.

    Errors are ignored here: a worker prepares the kernels too, and reports what goes wrong.
    """
    from ...graphs.kernels import load

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: load("cpu").prepare())
        yield


def _cpu(size: ClusterSize, endpoint: Endpoint) -> Client:
    from dask.system import CPU_COUNT

    _configure_dask(WORKER_ENVIRONMENT)
    return _local(
        size,
        endpoint,
        workers=size.between(CPU_COUNT),
        threads_per_worker=size.threads or 1,
    )


def _cuda(size: ClusterSize, endpoint: Endpoint) -> Client:
    if isinstance(size.workers, tuple):
        raise UsageError(
            "a 'cuda' cluster has a fixed number of workers, one per GPU: a GPU is always present, "
            "and its worker takes seconds to start. Give one number, such as workers=2, or omit it"
        )
    gpus = cuda_cluster.require_gpus(size.workers)  # before anything heavy is imported
    import dask
    from dask_cuda import LocalCUDACluster

    _configure_dask(WORKER_ENVIRONMENT | cuda_cluster.ENVIRONMENT)
    arguments = cuda_cluster.cluster_arguments(
        gpus,
        host=endpoint.host,
        dashboard_address=_dashboard(),
        threads=size.threads,
        memory=size.memory,
    )
    if endpoint.encrypted:
        arguments["protocol"] = "tls"  # UCX does not support it
    with _starting(size, len(gpus)) as started:
        settings = ExitStack()  # it is left once, although a client may be closed again
        started.callback(settings.close)
        spilling = bool(arguments.get("enable_cudf_spill"))
        settings.enter_context(rapids_settings.restored(spilling=spilling))
        cluster = LocalCUDACluster(**arguments, **_private(endpoint))
        # Until the cluster is closed, dask's frames and `paninifs.frame` use cuDF.
        settings.enter_context(dask.config.set({"dataframe.backend": "cudf"}))
        client = _owner_of(cluster, settings.close)
        started.callback(client.close)
    client.set_metadata(BACKEND_KEY, "cuda")
    return client


def _leave_profiling_off() -> None:
    """Turn dask's profiler off where it can deadlock the process."""
    import dask

    if PROFILING_DEADLOCKS:
        dask.config.set({"distributed.worker.profile.enabled": False})


def _configure_dask(environment: dict[str, Any]) -> None:
    """Set the dask configuration of worker processes that cannot be passed as an argument.

    Settings that are missing get their defaults first: one that a `with` block changed before
    `distributed` was imported, which adds the defaults, is removed at the end of the block. dask
    would wait for ever for workers that lack it.
    """
    import dask
    import distributed  # noqa: F401 (adds its defaults)

    dask.config.update(dask.config.config, dask.config.merge(*dask.config.defaults), priority="old")
    # dask makes workers return memory at once, and glibc then maps every array of a shard anew: a
    # fifth of their time was spent clearing pages.
    key = "distributed.nanny.pre-spawn-environ"
    dask.config.set({f"{key}.{name}": value for name, value in environment.items()})
    # dask makes every process check fifty times per second whether it still answers; these checks
    # alone took a thirtieth of two cores.
    dask.config.set({"distributed.admin.tick.interval": TICK})
    # 15 s after a worker died, dask checks whether a worker of the same name is running. If not, it
    # never starts one again, even if the replacement has just died too and is being restarted.
    dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_WORKER_TIMEOUT})


def _threads(size: ClusterSize, endpoint: Endpoint) -> Client:
    from dask.system import CPU_COUNT

    if size.workers not in (None, 1):
        raise UsageError("'threads' has one worker, in this process; 'cpu' can have several")
    return _local(
        size,
        endpoint,
        workers=(1, 1),
        threads_per_worker=size.threads or CPU_COUNT,
        processes=False,
        # dask's in-process protocol does not listen on loopback.
        protocol="tls://" if endpoint.encrypted else "tcp://",
    )


def _local(
    size: ClusterSize, endpoint: Endpoint, *, workers: tuple[int, int], **options: Any
) -> Client:
    from distributed import LocalCluster

    from .spilling import spill_settings

    least, most = workers
    if size.memory:
        options["memory_limit"] = size.memory
    if least < most:  # for workers that are started later
        options["config"] = spill_settings(most)
    with _kernels_prepared(), _starting(size, most) as started:
        cluster = LocalCluster(
            n_workers=least,
            host=endpoint.host,
            dashboard_address=_dashboard(),
            **_private(endpoint),
            **options,
        )
        if least < most:
            cluster.adapt(minimum=least, maximum=most)
        client = _owner_of(cluster)
        started.callback(client.close)
    return client


def _owner_of(cluster: SpecCluster, closing: Callable[[], object] = lambda: None) -> Client:
    """Return a client that, when closed, closes the cluster too."""
    from distributed import Client, Status

    address, _, _ = cluster.scheduler_address.rpartition(":")
    host = address.rpartition("/")[2]

    class OwningClient(Leaving, Client):  # dask recognises clients by that word in the class name
        @property
        def direct_dashboard_link(self) -> str:
            # dask assumes that the dashboard is on the scheduler's host, and has no setting for it.
            return str(super().dashboard_link).replace(f"//{host}:", f"//{LOOPBACK}:")

        @property
        def dashboard_link(self) -> str:
            scheduler: Any = cluster.scheduler
            return dashboard_link(self, TOPIC if TOPIC in scheduler.plugins else PAGE).url

        def close(self, *arguments: Any, **options: Any) -> Any:
            closing()
            super().close(*arguments, **options)  # type: ignore[no-untyped-call]
            return None if cluster.status is Status.closed else cluster.close()

        def __del__(self) -> None:
            # The collector may run while this thread holds a lock of dask's that closing needs.
            if cluster.status is not Status.closed:
                with suppress(RuntimeError):  # Python ends, and dask closes the cluster
                    threading.Thread(target=self.close, daemon=True).start()

    return OwningClient(cluster)  # type: ignore[no-untyped-call]


@contextmanager
def _starting(size: ClusterSize, workers: int) -> Iterator[ExitStack]:
    """Shield the start of workers from Ctrl-C, and translate errors into the user's terms.

    The stack's callbacks run if the workers did not start, or if Ctrl-C was pressed meanwhile.
    """
    import dask

    from .spilling import spill_settings

    _leave_profiling_off()
    spilling = dask.config.set(spill_settings(workers))
    try:
        with ExitStack() as started:
            with spilling, _shielded_from_ctrl_c(), warnings.catch_warnings():
                # The dashboard's port: another process may take it after it was found to be free.
                warnings.filterwarnings("ignore", "Port [0-9]+ is already in use", UserWarning)
                yield started
            started.pop_all()
    except ValueError as error:
        raise UsageError(f"cannot start a cluster of {size}: {error}") from error
    except (RuntimeError, OSError) as error:
        advice = f"; {MAIN_GUARD}" if lacks_main_guard() else ""
        raise BackendUnavailable(f"the cluster did not start: {_causes(error)}{advice}") from error


def _causes(error: BaseException) -> str:
    """Return what an error and its first cause say: dask often only says that something failed."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    said = str(error) or type(error).__name__
    why = f"{type(first).__name__}: {first}"
    return said if first is error or str(first) in said else f"{said} ({why})"


def _private(endpoint: Endpoint) -> dict[str, Any]:
    """Return the security arguments of a local cluster."""
    arguments: dict[str, Any] = {}
    if endpoint.security is not None:
        arguments["security"] = endpoint.security
    if not is_loopback(endpoint.host):
        # Otherwise each worker's dashboard, which is never encrypted, would be exposed as well.
        arguments["worker_dashboard_address"] = f"{LOOPBACK}:0"
    return arguments


def _dashboard() -> str:
    # Set explicitly: by default dask would listen on every interface, regardless of `host`.
    return f"{LOOPBACK}:{_dashboard_port()}"


def _dashboard_port() -> int:
    """Return dask's usual port, or 0 (any port) if it is taken, where dask would warn and leak."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


CLUSTERS: dict[str, Callable[[ClusterSize, Endpoint], Client]] = {
    "cpu": _cpu,
    "threads": _threads,
    "cuda": _cuda,
}
"""Every kind of local cluster, by name."""
