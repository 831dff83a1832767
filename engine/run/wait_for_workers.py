"""What workers do before a run writes anything: they prepare a backend, and try the graph.

The tasks that workers run for it are in `worker.readiness` and `worker.graph_trial`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import cloudpickle
from dask.utils import format_bytes

from ...graphs.graph import Graph
from ...storage.corpus.front import FirstTexts
from ...storage.errors import BlockError, PaniniError, RunFailed
from ..worker.graph_trial import RUNNING, TrialResult, try_graph
from ..worker.readiness import Readiness, readiness
from .killed import KILLED_FOR_MEMORY, describe_death

if TYPE_CHECKING:
    from distributed import Client, Future

_POLL_SECONDS = 0.5
_TRIALS = 2
"""Workers on which a graph is tried, if they go away for another reason than a block."""

_passed: dict[str, tuple[str, ...]] = {}
"""Notes of trials that passed, by a digest of client, graph and texts: a rehearsal makes about ten
runs of one graph, and must not time their trials."""


class Preparation:
    """Prepares a backend on a cluster's workers, in the background.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    """

    def __init__(self, client: Client, priority: int) -> None:
        self._client, self._priority = client, priority
        self.futures: list[Future[Readiness]] = []

    def begin(self, backend: str) -> None:
        """Start preparing a backend on every worker, unless already started."""
        if self.futures:
            return
        # One task per worker; dask spreads them. A task restricted to a worker would wait forever
        # if that worker is gone.
        for _ in range(max(1, len(self._client.nthreads()))):
            # The task is short, and a run should not wait for it behind all tasks of other runs.
            first = self._priority + 1
            future = self._client.submit(readiness, backend, pure=False, priority=first)
            self.futures.append(future)

    def first_ready(self) -> Readiness:
        """Wait for the first worker that is ready; return what it reports.

        Raises
        ------
        PaniniError
            No worker can use the backend.
        distributed.CancelledError
            The run was stopped, or the cluster is gone.
        """
        from distributed import KilledWorker, as_completed

        problem: PaniniError | None = None
        try:
            for future in as_completed(self.futures, loop=self._client.loop):
                answer: Readiness = future.result()
                if answer.problem is None:
                    return answer
                problem = problem or answer.problem
        except KilledWorker as error:
            raise RunFailed(
                f"{describe_death(self._client, error)} while preparing the backend; nothing was "
                "computed"
            ) from error
        assert problem is not None  # at least one worker was asked
        raise problem

    def release(self) -> None:
        """Release the workers' answers."""
        for future in self.futures:
            future.release()


class GraphTrial:
    """Tries a graph on the first texts of a corpus, on one worker.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    stopped : callable
        Returns why the run was stopped, if it was.
    """

    def __init__(
        self, client: Client, priority: int, stopped: Callable[[], PaniniError | None]
    ) -> None:
        self._client, self._priority, self._stopped = client, priority, stopped

    def run(
        self, graph: Graph, backend: str, texts: FirstTexts, *, raise_on_error: bool
    ) -> tuple[str, ...]:
        """Try a graph that was packed for workers; return notes for the user.

        Failures that are not the graph's are left to the run, which reports them better.

        Raises
        ------
        BlockError
            A block cannot be loaded on the worker, returns something else than it declares, fails
            for every text, or ended the worker's process.
        """
        same = (self._client.id, graph, backend, texts, raise_on_error)
        key = hashlib.sha256(cloudpickle.dumps(same)).hexdigest()
        for _ in range(_TRIALS):
            result = None if key in _passed else self._result(graph, backend, texts, raise_on_error)
            if result is not None and isinstance(result.problem, BlockError):
                raise BlockError(f"{result.problem}. Nothing was written") from result.problem
            if result is not None:
                _passed[key] = result.notes
            if key in _passed:
                return _passed[key]
        return ()

    def _result(
        self, graph: Graph, backend: str, texts: FirstTexts, raise_on_error: bool
    ) -> TrialResult | None:
        """Return the result; None if the worker went away before a block ran."""
        from distributed import CancelledError, KilledWorker

        topic = f"paninifs-trial-{uuid.uuid4().hex}"
        worker = self._least_busy()
        future = self._client.submit(
            try_graph,
            graph,
            backend,
            texts,
            topic,
            raise_on_error,
            key=topic,
            priority=self._priority + 1,
            # Only there: elsewhere, dask would repeat what ended the process of the first worker.
            workers=worker and [worker],
            pure=False,
        )
        try:
            while True:
                try:
                    result: TrialResult = future.result(timeout=_POLL_SECONDS)
                except TimeoutError:
                    if self._stopped() is None and worker in {None, *self._client.nthreads()}:
                        continue
                    self._client.cancel([future])
                    break
                return result
        except KilledWorker:
            pass
        except CancelledError as error:
            gone = RunFailed("the cluster went away before the run began; run again")
            raise (self._stopped() or gone) from error
        except Exception:  # noqa: BLE001 (e.g. a worker of another version: the run reports it)
            return TrialResult(None)
        finally:
            future.release()
        if stopped := self._stopped():
            raise stopped
        return self._death(topic, worker)

    def _death(self, topic: str, worker: str | None) -> TrialResult | None:
        """Return the block that ran when the worker died, as an error; None if none did."""
        reports = [event for _, event in self._client.get_events(topic) or ()]
        if not reports or reports[-1][RUNNING] is None:
            return None
        killed = [event for _, event in self._client.get_events(KILLED_FOR_MEMORY) or ()]
        held = [event["rss"] for event in killed if event["worker"] == worker]
        cause = f", for lack of memory: it held {format_bytes(held[-1])}" if held else ""
        return TrialResult(
            BlockError(
                f"block {reports[-1][RUNNING]!r} ended the process of worker {worker}{cause}, when "
                "it was tried on the first texts of the corpus"
            )
        )

    def _least_busy(self) -> str | None:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        running = {
            address: worker["metrics"].get("task_counts", {}).get("executing", 0)
            for address, worker in workers.items()
            if worker["status"] == "running"
        }
        return min(running, key=lambda address: running[address], default=None)


def needs_trial(graph: Graph) -> bool:
    """Return whether a graph has functions of the user; the built-in blocks test themselves."""
    return any(block.function is not None for block in graph)
