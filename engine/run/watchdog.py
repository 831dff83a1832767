"""`Watch`: looks at a run's workers every few seconds, and says what keeps the run from going on.

It tells of their load at every look, and once more when the run ends.

dask waits in silence for a worker that is gone, stopped, or paused for want of memory or of room to
spill. Here the user is told; and a run that nobody can do any more ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from ...storage.errors import PaniniError, RunFailed
from ...storage.filesystems.retry import retry_seconds
from ..monitoring.events import Event, LoadSampled, Notice
from ..monitoring.load import load_of

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
QUIET_SECONDS = 20.0
"""How long something may be wrong before the user hears of it: dask mends most by itself."""

GROWING_SECONDS = 1800.0
"""How long a cluster that can grow may have no worker: a machine may have to be found for one."""


class Watch:
    """Watches a run's workers in the background, for as long as the context lasts.

    Parameters
    ----------
    publish : callable
        Is told what the user should know.
    stop : callable
        Ends the run, with the reason, once no worker could have gone on for as long as a failing
        place is waited for (see `storage.filesystems.retry`).
    """

    def __init__(
        self,
        client: Client,
        publish: Callable[[Event], None],
        stop: Callable[[PaniniError], None],
    ) -> None:
        self._client, self._publish, self._stop = client, publish, stop
        self._since: dict[str, float] = {}  # when what is wrong was seen first
        self._told: set[str] = set()
        self._heard: dict[str, tuple[float, float]] = {}  # last_seen, and when that was new here
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="paninifs-watch", daemon=True)

    def __enter__(self) -> Watch:
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
        if error is None:  # of a run that was over before the first look, too
            self._seen()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            workers = self._seen()
            if workers is None:
                continue
            now = time.monotonic()
            wrong = dict(_wrong_with(workers, self._silences(workers, now)))
            if not workers and self._can_grow:
                wrong = {
                    GROWING: "the cluster has no worker yet; it can grow, so one is waited for"
                }
            self._judge(wrong, now)

    def _seen(self) -> Mapping[str, Any] | None:
        """Return what the scheduler says of the workers, and tell of their load."""
        try:
            workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # noqa: BLE001 (a scheduler that is gone is the futures' business)
            _log.debug("the scheduler does not say who its workers are", exc_info=True)
            return None
        try:
            self._publish(LoadSampled(load_of(workers)))
        except Exception:  # noqa: BLE001 (a worker of another version may tell less)
            _log.debug("the workers do not say how busy they are", exc_info=True)
        return workers

    @property
    def _can_grow(self) -> bool:
        """Whether whoever made the cluster here starts workers as there is work, as far as it says.

        One of Kubernetes or a gateway is scaled elsewhere, and says nothing of it.
        """
        from distributed.deploy.spec import SpecCluster

        cluster = self._client.cluster
        if isinstance(cluster, SpecCluster):
            return getattr(cluster, "_adaptive", None) is not None
        return cluster is not None

    def _silences(self, workers: Mapping[str, Any], now: float) -> dict[str, float]:
        """Return for how long each worker was not heard of, by this machine's clock alone."""
        for address, worker in workers.items():
            if self._heard.get(address, (None,))[0] != worker["last_seen"]:
                self._heard[address] = worker["last_seen"], now
        return {address: now - self._heard[address][1] for address in workers}

    def _judge(self, wrong: Mapping[str, str], now: float) -> None:
        self._since = {what: self._since.get(what, now) for what in wrong}
        self._told &= set(wrong)
        lasting = {what for what, since in self._since.items() if now - since >= QUIET_SECONDS}
        for what in sorted(lasting - self._told):
            self._publish(Notice(wrong[what]))
        self._told |= lasting
        for what, seconds in ((STUCK, retry_seconds()), (GROWING, GROWING_SECONDS)):
            if what in wrong and now - self._since[what] >= max(QUIET_SECONDS, seconds):
                self._stop(
                    RunFailed(
                        f"{wrong[what]}, and that for {now - self._since[what]:.0f} s; what is "
                        "finished is kept: mend the cluster, then run again to go on"
                    )
                )


STUCK, GROWING = "no worker goes on", "no worker has come"


def _wrong_with(
    workers: Mapping[str, Any], silences: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a cluster's workers: a name for it, and a sentence."""
    if not workers:
        yield STUCK, "the cluster has no worker left"
    for address, worker in workers.items():
        metrics = worker["metrics"]
        silent = silences[address]
        if silent > QUIET_SECONDS:
            told = (
                f"worker {address} has not been heard of for {silent:.0f} s: its process is "
                "stopped, its machine too busy, or a block holds Python; dask starts it anew "
                "after five minutes unless set otherwise"
            )
            yield f"{address} is silent", told
        spilled = metrics.get("spilled_bytes", {}).get("disk", 0)
        if spilled:
            told = (
                f"worker {address} has put {format_bytes(spilled)} of what it holds on disk "
                f"({worker['local_directory']}): frames that are kept on the cluster take the "
                "memory that a run needs"
            )
            yield f"{address} spills", told
    paused = {a: w for a, w in workers.items() if w["status"] == "paused"}
    for address, worker in paused.items():
        yield f"{address} is paused", f"worker {address} is paused: {_memory_of(worker)}"
    # One that is paused begins nothing, but ends what it has begun.
    working = any(w["metrics"]["task_counts"].get("executing") for w in workers.values())
    if workers and len(paused) == len(workers) and not working:
        address, worker = next(iter(paused.items()))
        told = f"every worker is paused and idle; {address}, for one: {_memory_of(worker)}"
        yield STUCK, told


def _memory_of(worker: Mapping[str, Any]) -> str:
    held, spilled = worker["metrics"]["memory"], worker["metrics"].get("spilled_bytes", {})
    return (
        f"it holds {format_bytes(held)} of {format_bytes(worker['memory_limit'])}, and has put "
        f"{format_bytes(spilled.get('disk', 0))} of other work's results on disk "
        f"({worker['local_directory']})"
    )
