"""`try_on_worker`: tries a run's graph on the first texts of its corpus, on one worker.

What the worker does is in `worker.graph_trial`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cloudpickle
from dask.utils import format_bytes

from ....storage.errors import BlockError, DeviceLost, PaniniError, RunFailed, UnfitWorker
from ...cluster.remote_call import answer, submit_call
from ...worker.graph_trial import DeviceFailed, GraphTrial, TrialResult, try_graph
from ...worker.sent_graph import CannotLoad, SentGraph
from ...worker.task import RUNNING
from ...worker.values.worker_process import WorkerProcess
from ..background.active import CLOSED, is_closed
from ..failures.killed import KILLED_FOR_MEMORY

if TYPE_CHECKING:
    from distributed import Client

POLL_SECONDS = 0.5
"""Seconds after which it is checked that the worker that tries a graph is still there."""

TRIALS = 3
"""Workers on which a graph is tried, if they are unfit, or go away, and not because of a block."""

_passed: dict[str, TrialResult] = {}
"""Trials that passed, by a digest of client, graph and texts: a rehearsal makes about ten
runs of one graph, and must not time their trials."""


def try_on_worker(
    client: Client,
    sent: SentGraph,
    trial: GraphTrial,
    *,
    priority: int,
    stopped: Callable[[], PaniniError | None],
    lost: Callable[[WorkerProcess, DeviceLost, str], object],
) -> TrialResult:
    """Try a run's graph on the first texts of its corpus, on one worker; return what was found.

    Failures that are not the graph's are left to the run, which reports them better.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    stopped : callable
        Returns why the run was stopped, if it was.
    lost : callable
        Called with a process that lost its device, the error, and what it was computing; it ends
        the process.

    Raises
    ------
    BlockError
        A block returns something else than it declares, or fails for every text.
    RunFailed
        A block ended the processes of two workers, or their devices failed at it, with different
        texts.
    """
    content = client.id.encode() + sent.pickled + cloudpickle.dumps(trial)
    key = hashlib.sha256(content).hexdigest()
    if key in _passed:
        return _passed[key]
    tried: list[str | None] = []  # addresses of workers, or places
    died = False
    unfit: list[PaniniError] = []
    result: TrialResult | Death | None = None
    for _ in range(TRIALS):
        worker = _least_busy(client, tried)
        if worker is None and tried and not isinstance(result, LostDevice):
            _require_modules(unfit)
            break
        tried.append(worker)
        result = _Trial(client, worker, priority + 1, stopped).result(sent, trial)
        if isinstance(result, LostDevice):
            lost(result.process, result.problem, f"block {result.block!r}, tried at {result.where}")
            tried.append(result.process.place)  # others are better witnesses than its next process
        if isinstance(result, Death):
            others = _others_after(result, trial, is_first=not died)
            if others is None:
                break
            died, trial = True, others
        elif result is None or isinstance(result.problem, UnfitWorker):
            unfit += [result.problem] if result and result.problem else []
            continue
        elif isinstance(result.problem, BlockError):
            sentence, *lines = str(result.problem).split("\n")
            problem = "\n".join([f"{sentence}. Nothing was written", *lines])
            raise BlockError(problem) from result.problem.__cause__
        else:
            _passed[key] = result
            break
    return _passed.get(key, TrialResult())


def _others_after(death: Death, trial: GraphTrial, *, is_first: bool) -> GraphTrial | None:
    """Return a trial on other texts; None if a death is left to the run.

    Raises
    ------
    RunFailed
        The block is to blame. A device may also fail by itself, once.
    """
    if not is_first or (trial.raise_on_error and not isinstance(death, LostDevice)):
        raise death.to_error()
    # A single text may be the cause, which the run will find.
    return trial.with_others() if death.where == trial.first else None


def _require_modules(problems: Sequence[PaniniError]) -> None:
    """Raise `BlockError` if every worker was tried, and one lacks a module that a block imports."""
    for problem in problems:
        if isinstance(problem, CannotLoad):
            raise BlockError(f"{problem}. Nothing was written")


@dataclass(frozen=True)
class Death:
    """A block that ran when the process of its worker ended."""

    block: str
    where: str
    cause: str

    def to_error(self) -> RunFailed:
        """Return the error that ends the run."""
        return RunFailed(
            f"block {self.block!r} ends the process of its worker{self.cause}: it was tried on the "
            f"first texts of the corpus, last at {self.where}. Nothing was written. If the block "
            "needs more memory, give its workers more (--memory, fewer --workers); if not, try it "
            "on these texts in a Python of its own, where a crash is visible"
        )


@dataclass(frozen=True, kw_only=True)
class LostDevice(Death):
    """A block that ran when the process of its worker lost its device."""

    process: WorkerProcess
    problem: DeviceLost

    def to_error(self) -> RunFailed:
        """Return the error that ends the run."""
        return RunFailed(
            f"block {self.block!r} makes devices fail: it was tried on the first texts of the "
            f"corpus on two of them, last at {self.where}, and {self.problem}. Nothing was "
            "written. A kernel may access memory out of bounds"
        )


class _Trial:
    """A trial on one worker."""

    def __init__(
        self,
        client: Client,
        worker: str | None,
        priority: int,
        stopped: Callable[[], PaniniError | None],
    ) -> None:
        self._client, self._worker = client, worker
        self._priority, self._stopped = priority, stopped
        self._topic = f"paninifs-trial-{uuid.uuid4().hex}"

    def result(self, sent: SentGraph, trial: GraphTrial) -> TrialResult | Death | None:
        """Return the result; None if the worker went away before a block ran."""
        from distributed import CancelledError, KilledWorker

        future = submit_call(
            self._client,
            try_graph,
            sent.send(),
            trial,
            self._topic,
            key=self._topic,
            priority=self._priority,
            # Only there: elsewhere, dask would repeat what ended the process of the first worker.
            workers=self._worker and [self._worker],
        )
        try:
            while self._is_running:
                try:
                    result: TrialResult | DeviceFailed
                    result = answer(future.result(timeout=POLL_SECONDS))
                except TimeoutError:
                    self._require_open()
                    continue
                if isinstance(result, DeviceFailed):
                    return self._lost_device(result, trial)
                return result
            self._client.cancel([future])
        except KilledWorker:
            pass
        except CancelledError as error:
            self._require_open()
            gone = RunFailed("the cluster went away before the run began; run again")
            raise (self._stopped() or gone) from error
        except UnfitWorker as error:
            return TrialResult(error)
        except RunFailed:
            raise
        except Exception:  # noqa: BLE001 (whatever else fails here, the run reports it)
            return TrialResult(None)
        finally:
            future.release()
        if stopped := self._stopped():
            raise stopped
        return self._death()

    def _require_open(self) -> None:
        if is_closed(self._client):
            raise RunFailed(CLOSED) from None

    @property
    def _is_running(self) -> bool:
        if self._stopped() is not None:
            return False
        return self._worker is None or self._worker in self._client.nthreads()

    def _lost_device(self, failed: DeviceFailed, trial: GraphTrial) -> LostDevice:
        reports = [event for _, event in self._client.get_events(self._topic) or ()]
        block, where = reports[-1][RUNNING] if reports else ("", trial.first)
        return LostDevice(block, where, "", process=failed.process, problem=failed.problem)

    def _death(self) -> Death | None:
        reports = [event for _, event in self._client.get_events(self._topic) or ()]
        if not reports:
            return None
        killed = [event for _, event in self._client.get_events(KILLED_FOR_MEMORY) or ()]
        held = [event["rss"] for event in killed if event["worker"] == self._worker]
        cause = f", for lack of memory ({format_bytes(held[-1])})" if held else ""
        block, where = reports[-1][RUNNING]
        return Death(block, where, cause)


def _least_busy(client: Client, tried: Iterable[str | None]) -> str | None:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    running = {
        address: worker["metrics"].get("task_counts", {}).get("executing", 0)
        for address, worker in workers.items()
        if worker["status"] == "running"
        and not {address, worker.get("nanny") or address} & {*tried}
    }
    return min(running, key=lambda address: running[address], default=None)
