"""`Watchdog`: checks a run's workers every few seconds and reports what blocks the run.

dask waits silently for a worker that is gone, stopped, or paused because memory or disk space for
spilling ran out. The watchdog makes idle paused workers release the memory that they do not use. It
notifies the user, and ends a run that no worker can continue. It also publishes the load of the
workers, at every check and at the end of the run. Tasks that fail are handled in `dispatch`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from ....storage.errors import PaniniError, RunFailed
from ....storage.filesystems.retry import retry_seconds
from ...monitoring.events import Event, LoadSampled, Notice
from ...monitoring.load import load_of
from ...worker.unused_memory import release_unused_memory

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""Seconds between checks."""

QUIET_SECONDS = 20.0
"""Seconds that a problem must last before the user is notified: dask fixes most by itself."""

GROWING_SECONDS = 1800.0
"""Seconds that an adaptive cluster may have no worker: a machine may have to be provisioned."""

STUCK, GROWING = "no worker can continue", "no worker has come"
"""Problems that end the run if they last."""


class Watchdog:
    """Checks a run's workers in the background, while its context is active.

    Parameters
    ----------
    publish : callable
        Called with events: load samples, and notices for the user.
    stop : callable
        Called with the reason to end the run, after no worker could continue it for as long as
        transient storage failures are retried.
    """

    def __init__(
        self,
        client: Client,
        publish: Callable[[Event], None],
        stop: Callable[[PaniniError], None],
    ) -> None:
        self._client, self._publish, self._stop = client, publish, stop
        self._since: dict[str, float] = {}  # when each current problem was first seen
        self._reported: set[str] = set()
        self._heard: dict[str, tuple[float, float]] = {}  # last_seen, and when it changed here
        self._relieving: Future[Any] | None = None  # the last call that made workers release memory
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="paninifs-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:  # a run may be over before the first check
            self._workers()

    def _watch(self) -> None:
        while not self._ended.wait(CHECK_SECONDS):
            workers = self._workers()
            if workers is None:
                continue
            self._relieve([address for address in workers if _is_idle(workers[address])])
            now = time.monotonic()
            problems = dict(_problems_of(workers, self._silences(workers, now)))
            if not workers and self._can_grow:
                problems = {
                    GROWING: "the cluster has no worker yet; it can grow, so the run waits for one"
                }
            self._report(problems, now)

    def _relieve(self, idle: list[str]) -> None:
        """Make idle paused workers release memory; do not wait for it, for they may be gone."""
        if idle and (self._relieving is None or self._relieving.done()):
            call = self._client._run(release_unused_memory, workers=idle, on_error="ignore")
            loop: Any = self._client.loop  # it has one, unless it was closed
            self._relieving = asyncio.run_coroutine_threadsafe(call, loop.asyncio_loop)

    def _workers(self) -> Mapping[str, Any] | None:
        """Return the scheduler's description of the workers, and publish their load."""
        try:
            workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # noqa: BLE001 (if the scheduler is gone, the futures will report it)
            _log.debug("the scheduler does not list its workers", exc_info=True)
            return None
        try:
            self._publish(LoadSampled(load_of(workers)))
        except Exception:  # noqa: BLE001 (a worker of another version may report less)
            _log.debug("the workers do not report their load", exc_info=True)
        return workers

    @property
    def _can_grow(self) -> bool:
        """Whether the cluster object of this process is known to start workers on demand.

        True for a cluster on Kubernetes or behind a gateway, which is scaled elsewhere and does not
        report whether it is adaptive.
        """
        from distributed.deploy.spec import SpecCluster

        cluster = self._client.cluster
        if isinstance(cluster, SpecCluster):
            return getattr(cluster, "_adaptive", None) is not None
        return cluster is not None

    def _silences(self, workers: Mapping[str, Any], now: float) -> dict[str, float]:
        """Return how long each worker has been silent, in seconds of this machine's clock."""
        for address, worker in workers.items():
            if self._heard.get(address, (None,))[0] != worker["last_seen"]:
                self._heard[address] = worker["last_seen"], now
        return {address: now - self._heard[address][1] for address in workers}

    def _report(self, problems: Mapping[str, str], now: float) -> None:
        """Notify the user of problems that last, and stop the run if no worker can continue it."""
        self._since = {name: self._since.get(name, now) for name in problems}
        self._reported &= set(problems)
        lasting = {name for name, since in self._since.items() if now - since >= QUIET_SECONDS}
        for name in sorted(lasting - self._reported):
            self._publish(Notice(problems[name]))
        self._reported |= lasting
        for name, seconds in ((STUCK, retry_seconds()), (GROWING, GROWING_SECONDS)):
            if name in problems and now - self._since[name] >= max(QUIET_SECONDS, seconds):
                self._stop(
                    RunFailed(
                        f"{problems[name]} (for {now - self._since[name]:.0f} s); finished "
                        "shards are kept: repair the cluster, then run again to resume"
                    )
                )


def _problems_of(
    workers: Mapping[str, Any], silences: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Yield the problems of a cluster's workers: a name, and a sentence for the user."""
    if not workers:
        yield STUCK, "the cluster has no worker left"
    for address, worker in workers.items():
        silent = silences[address]
        if silent > QUIET_SECONDS:
            notice = (
                f"worker {address} has not been heard from for {silent:.0f} s: its process is "
                "stopped, its machine overloaded, or a block holds Python's lock; dask restarts it "
                "after five minutes by default"
            )
            yield f"{address} is silent", notice
        spilled = _spilled_by(worker)
        if spilled:
            notice = (
                f"worker {address} has spilled {format_bytes(spilled)} to disk "
                f"({worker['local_directory']}): data kept on the cluster uses memory that the run "
                "needs"
            )
            yield f"{address} spills", notice
    for address, worker in workers.items():
        if worker["status"] == "paused":
            yield f"{address} is paused", f"worker {address} is paused: {_memory_of(worker)}"
    if workers and all(map(_is_idle, workers.values())):
        address, worker = next(iter(workers.items()))
        yield STUCK, f"every worker is paused and idle; for example {address}: {_memory_of(worker)}"


def _is_idle(worker: Mapping[str, Any]) -> bool:
    """Return whether a worker is paused and has finished what it had started."""
    return worker["status"] == "paused" and not worker["metrics"]["task_counts"].get("executing")


def _spilled_by(worker: Mapping[str, Any]) -> int:
    return int(worker["metrics"].get("spilled_bytes", {}).get("disk", 0))


def _memory_of(worker: Mapping[str, Any]) -> str:
    return (
        f"it holds {format_bytes(worker['metrics']['memory'])} of "
        f"{format_bytes(worker['memory_limit'])}, and has spilled "
        f"{format_bytes(_spilled_by(worker))} of other work's results to disk "
        f"({worker['local_directory']})"
    )
