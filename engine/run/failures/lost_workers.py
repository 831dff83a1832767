"""`LostWorkers`: workers that lost their device or are unfit for the run, and what follows.

After a fatal error of a GPU, every call of the process fails, but a new process can use the GPU
again. So the worker is restarted, once per run. If it has no nanny, or loses its device again, it
is retired. Both happen at once: dask prefers idle workers, and a worker that ends every task
immediately is idle. Workers that die are left to dask, and judged in `killed`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ....storage.errors import DeviceLost, PaniniError, RunFailed, UnfitWorker
from ...monitoring.events import Event, Notice, WorkerLost
from ...worker.values.worker_process import WorkerProcess
from ..background.active import is_closed
from .dropped_data import dropped_by_restart

if TYPE_CHECKING:
    from distributed import Client

MAX_LOSSES = 2
"""Number of workers that may lose their device at a partition before it is considered the cause."""

RESTART_SECONDS = 60.0
"""Maximum time to wait for a worker that is restarted."""

POLL_SECONDS = 0.05
"""Seconds after which it is checked whether a process has left the cluster."""

_KEPT = "no other worker is left. Finished shards are kept"


class LostWorkers:
    """The workers of a run that lost their device or are unfit.

    Parameters
    ----------
    publish : callable
        Called with notices, and with each worker that the run continues without.
    stop : callable
        Called with the error that ends the run, if no restarted worker comes back.

    Attributes
    ----------
    restarts : int
        Number of restarts so far. A restart also ends the other tasks of the process, and dask
        counts that as deaths of which they may be the cause.
    """

    def __init__(
        self,
        client: Client,
        publish: Callable[[Event], object],
        stop: Callable[[PaniniError], object],
    ) -> None:
        self._client, self._publish, self._stop = client, publish, stop
        self.restarts = 0
        self._excluded: set[str] = set()  # addresses of workers that get no more tasks
        self._ended: set[str] = set()  # processes without their device, by id
        self._losses: Counter[str] = Counter()  # such processes, by place
        self._expected: set[str] = set()  # places whose worker is restarted, and used again
        # The processes that lost their device at a partition, and their places.
        self._crashed: defaultdict[int, dict[str, str]] = defaultdict(dict)
        self._leaving: list[tuple[str, threading.Thread]] = []  # workers, and what ends them

    def threads(self) -> dict[str, int]:
        """Return the number of threads of every worker that is currently usable, by address."""
        threads = self._client.nthreads()
        return {worker: n for worker, n in threads.items() if worker not in self._excluded}

    def preferred(self) -> list[str] | None:
        """Return the addresses of usable workers if there are others; None: tasks go anywhere.

        While no worker runs at all, dask queues a task with addresses for workers with these
        addresses only, although they are preferences. So others are preferred only while a worker
        that is excluded stays, and not because of one that leaves: they may have to be restarted.
        """
        if not self._excluded:
            return None
        leaving = self._still_leaving()  # before it is asked who is there
        present = self._client.nthreads().keys() - leaving
        usable = present - self._excluded
        return sorted(usable) if usable and usable != present else None

    def add(
        self,
        process: WorkerProcess,
        error: DeviceLost | UnfitWorker,
        where: str,
        partition: int | None = None,
    ) -> None:
        """Restart, retire or exclude the worker of a process that cannot continue the run.

        Several tasks may report the same process.

        Parameters
        ----------
        where : str
            What the process was computing, for messages.
        partition : int, optional
            The partition that it was computing.

        Raises
        ------
        DeviceLost, UnfitWorker
            No other worker is left.
        RunFailed
            The partition seems to be the cause.
        """
        if isinstance(error, DeviceLost):
            crashed = self._crashed[partition] if partition is not None else {}
            crashed[process.id] = process.place
            self._lose(process, error, where, crashed)
        elif self._losses[process.place]:  # a fresh process cannot use the device either
            self._lose(process, error, where, {})
        else:
            self._exclude(process.worker, error)

    def await_leaving(self, timeout: float) -> None:
        """Wait until the processes without their device have left the cluster."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            leaving = self._still_leaving()
            if not leaving or not leaving & self._client.nthreads().keys():
                return
            time.sleep(POLL_SECONDS)

    def _still_leaving(self) -> set[str]:
        return {worker for worker, thread in self._leaving if thread.is_alive()}

    def _exclude(self, worker: str, error: UnfitWorker) -> None:
        is_new = worker not in self._excluded
        self._excluded.add(worker)
        if not self._usable():
            raise UnfitWorker(f"{error}; {_KEPT}: run again to resume") from error
        if is_new:
            self._publish(WorkerLost(worker, str(error)))

    def _lose(
        self,
        process: WorkerProcess,
        error: DeviceLost | UnfitWorker,
        where: str,
        crashed: dict[str, str],
    ) -> None:
        place = process.place
        is_new = process.id not in self._ended
        if is_new:
            self._ended.add(process.id)
            self._losses[place] += 1
            self._expected.discard(place)
        others = self._usable() - {place}
        may_return = process.nanny is not None and self._losses[place] == 1
        is_blamed = _is_to_blame(crashed, others)
        if is_new:
            # If no other is left or the partition is the cause, for the next run.
            if process.nanny and (may_return or is_blamed or not others):
                self._restart(process, error, is_expected=may_return)
            elif others:
                self._retire(process.worker)
        if is_blamed:
            raise RunFailed(
                f"{len(crashed)} worker processes lost their device at {where}, last because "
                f"{error}; a kernel may access memory out of bounds. Finished shards are kept: run "
                "again to resume"
            ) from error
        if may_return or not is_new:
            return
        if not others:
            raise DeviceLost(self._why_last(process, error, where)) from error
        again = ", also after a restart" if self._losses[place] > 1 else ""
        self._publish(WorkerLost(process.worker, f"{error}{again}"))

    def _why_last(self, process: WorkerProcess, error: DeviceLost | UnfitWorker, where: str) -> str:
        if self._losses[process.place] == 1:
            return (
                f"{error}; {_KEPT}: restart the cluster, or start one with --cluster cpu, and run "
                "again to resume"
            )
        lost = f"worker {process.worker} lost its device"
        how = (
            f"{lost} twice, the second time in a fresh process, at {where}: {error}"
            if isinstance(error, DeviceLost)
            else f"{lost}, and a fresh process cannot use it either: {error}"
        )
        return (
            f"{how}; {_KEPT}: check the device, or start a cluster with --cluster cpu, and run "
            "again to resume"
        )

    def _usable(self) -> set[str]:
        """Return the places of usable workers that are there or are expected back."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        present = {
            worker.get("nanny") or address
            for address, worker in workers.items()
            if address not in self._excluded and not worker["status"].startswith("clos")
        }
        return present | self._expected

    # --- in the background: a restart takes seconds, while other workers need tasks ---------------

    def _restart(
        self, process: WorkerProcess, error: DeviceLost | UnfitWorker, *, is_expected: bool
    ) -> None:
        self.restarts += 1
        if is_expected:
            self._expected.add(process.place)
            self._publish(Notice(f"{error}; worker {process.worker} is restarted"))
        self._begin(process.worker, self._restart_now, process, error)

    def _retire(self, worker: str) -> None:
        self._excluded.add(worker)
        self._begin(worker, self._retire_now, worker)

    def _begin(self, worker: str, end: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(
            target=end, args=arguments, name="paninifs-lost-worker", daemon=True
        )
        self._leaving.append((worker, thread))
        thread.start()

    def _retire_now(self, worker: str) -> None:
        with suppress(Exception):  # the cluster or the client may be closing
            self._client.retire_workers([worker])

    def _restart_now(self, process: WorkerProcess, error: DeviceLost | UnfitWorker) -> None:
        worker = process.worker
        with suppress(Exception):  # whatever is wrong, the restart reports it
            if dropped := dropped_by_restart(self._client, worker):
                self._publish(Notice(dropped))
        try:
            restarted = self._client.restart_workers(
                [worker], timeout=RESTART_SECONDS, raise_for_error=False
            )
            if restarted[worker] == "OK":
                return
            problem = f"it was not back after {RESTART_SECONDS:.0f} s"
        except KeyError:
            return  # it has left already: it died, or another run restarted it
        except Exception as failure:  # noqa: BLE001 (of the scheduler, the nanny or the network)
            problem = f"{type(failure).__name__}: {failure}"
        with suppress(Exception):  # the cluster may be gone, which the futures report
            if not is_closed(self._client):
                self._give_up(process, f"{error}, and its restart failed ({problem})")

    def _give_up(self, process: WorkerProcess, why: str) -> None:
        """Continue without a worker whose restart failed; stop the run if it was the last one."""
        if process.place not in self._expected:
            return  # the run has ended, or has already lost it for good
        self._expected.discard(process.place)
        if process.worker in self._client.nthreads():
            self._retire(process.worker)
        if self._usable():
            self._publish(WorkerLost(process.worker, why))
        else:
            self._stop(
                DeviceLost(
                    f"{why}; {_KEPT}: restart the cluster, or start one with --cluster cpu, and "
                    "run again to resume"
                )
            )


def _is_to_blame(crashed: dict[str, str], others: set[str]) -> bool:
    """Return whether a partition seems to be the cause of lost devices, and not the devices.

    Parameters
    ----------
    crashed : dict
        The processes that lost their device at the partition, and their places. A device that
        always fails is lost by two processes, perhaps at the same partition.
    others : set of str
        The other places that could compute it.
    """
    places = set(crashed.values())
    if len(places) > MAX_LOSSES:
        return True
    return len(crashed) > MAX_LOSSES and others <= places
