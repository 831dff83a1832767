"""What workers do before a run writes anything: all prepare for it, and one tries the graph.

The tasks that workers run for it are in `worker.readiness` and `worker.graph_trial`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle
from dask.utils import format_bytes

from ...storage.errors import BlockError, PaniniError, RunFailed, UnfitWorker
from ..cluster.remote_call import answer, submit_call
from ..worker.graph_trial import GraphTrial, TrialResult, try_graph
from ..worker.readiness import Readiness, readiness
from ..worker.sent_graph import CannotLoad, SentGraph
from ..worker.task import RUNNING
from .active import CLOSED, is_closed
from .failures.killed import KILLED_FOR_MEMORY, describe_death

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_SECONDS = 0.5
"""Seconds after which it is checked that the worker that tries a graph is still there."""

TRIALS = 3
"""Workers on which a graph is tried, if they are unfit, or go away, and not because of a block."""

_passed: dict[str, TrialResult] = {}
"""Trials that passed, by a digest of client, graph and texts: a rehearsal makes about ten
runs of one graph, and must not time their trials."""


class Preparation:
    """Prepares a graph and a backend on a cluster's workers, in the background.

    Parameters
    ----------
    sent : SentGraph
        The run's graph.
    priority : int
        Priority of the run's tasks.
    """

    def __init__(self, client: Client, sent: SentGraph, priority: int) -> None:
        self._client, self._sent, self._priority = client, sent, priority
        self._backend = ""
        self.futures: list[Future[dict[str, Any]]] = []

    def begin(self, backend: str) -> None:
        """Start preparing on every worker, unless already started."""
        if not self.futures:
            self._backend = backend
            self._ask()

    def _ask(self) -> None:
        key = self._sent.send()
        # Also once for any worker: if a named one is gone when its task arrives, dask does not give
        # the task to a worker that comes later, whatever `allow_other_workers` says.
        for worker in [*self._client.nthreads(), None]:
            future = submit_call(
                self._client,
                readiness,
                key,
                self._backend,
                key=f"readiness-{uuid.uuid4().hex}",
                # The task is short, and a run should not wait for it behind all of other runs.
                priority=self._priority + 1,
                workers=worker and [worker],
                allow_other_workers=worker is not None,
            )
            self.futures.append(future)

    def first_ready(self) -> Readiness:
        """Wait for the first worker that is ready; return what it reports.

        Workers that lack a module of the user's own get its code with the graph.

        Raises
        ------
        PaniniError
            No worker can take part.
        distributed.CancelledError
            The run was stopped, or the cluster is gone.
        """
        while True:
            found = self._first_answer()
            if isinstance(found, Readiness):
                return found
            if isinstance(found, UnfitWorker):
                self._sent.check_owner()
            module = found.module if isinstance(found, CannotLoad) else None
            try:
                included = module is not None and self._sent.include(module)
            except PaniniError as error:  # its code cannot be pickled
                raise found from error
            if not included:
                raise found
            self.release()
            self._ask()

    def _first_answer(self) -> Readiness | PaniniError:
        """Return what the first ready worker reports, or else a problem."""
        from distributed import KilledWorker, as_completed

        problems: list[PaniniError] = []
        try:
            for future in as_completed(self.futures, loop=self._client.loop):
                try:
                    ready: Readiness = answer(future.result())
                except UnfitWorker as error:
                    problems.append(error)
                    continue
                if ready.problem is None:
                    return ready
                problems.append(ready.problem)
        except KilledWorker as error:
            raise RunFailed(
                f"{describe_death(self._client, error)} while preparing the run; nothing was "
                "computed"
            ) from error
        lacking = (one for one in problems if isinstance(one, CannotLoad) and one.module)
        return next(lacking, problems[0])  # the code of a module can be sent

    def release(self) -> None:
        """Release the workers' answers."""
        for future in self.futures:
            future.release()
        self.futures = []


def try_on_worker(
    client: Client,
    sent: SentGraph,
    trial: GraphTrial,
    *,
    priority: int,
    stopped: Callable[[], PaniniError | None],
) -> TrialResult:
    """Try a run's graph on the first texts of its corpus, on one worker; return what was found.

    Failures that are not the graph's are left to the run, which reports them better.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    stopped : callable
        Returns why the run was stopped, if it was.

    Raises
    ------
    BlockError
        A block returns something else than it declares, or fails for every text.
    RunFailed
        A block ended the processes of two workers, with different texts.
    """
    content = client.id.encode() + sent.pickled + cloudpickle.dumps(trial)
    key = hashlib.sha256(content).hexdigest()
    if key in _passed:
        return _passed[key]
    tried: list[str | None] = []
    died = False
    unfit: list[PaniniError] = []
    while len(tried) < TRIALS:
        worker = _least_busy(client, tried)
        if worker is None and tried:
            _require_modules(unfit)
            break
        tried.append(worker)
        result = _Trial(client, worker, priority + 1, stopped).result(sent, trial)
        if isinstance(result, Death):
            others = trial.with_others()
            if died or trial.raise_on_error:
                raise result.to_error()
            # A single text may be the cause, which the run will find.
            if result.where != trial.first or others is None:
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
                    result: TrialResult = answer(future.result(timeout=POLL_SECONDS))
                except TimeoutError:
                    self._require_open()
                    continue
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

    def _death(self) -> Death | None:
        reports = [event for _, event in self._client.get_events(self._topic) or ()]
        if not reports:
            return None
        killed = [event for _, event in self._client.get_events(KILLED_FOR_MEMORY) or ()]
        held = [event["rss"] for event in killed if event["worker"] == self._worker]
        cause = f", for lack of memory ({format_bytes(held[-1])})" if held else ""
        block, where = reports[-1][RUNNING]
        return Death(block, where, cause)


def _least_busy(client: Client, tried: Container[str | None]) -> str | None:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    running = {
        address: worker["metrics"].get("task_counts", {}).get("executing", 0)
        for address, worker in workers.items()
        if worker["status"] == "running" and address not in tried
    }
    return min(running, key=lambda address: running[address], default=None)
