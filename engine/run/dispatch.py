"""`Dispatch`: sends a run's tasks to workers, a bounded number at a time, and handles failures.

`failures.lost_workers` restarts or excludes workers that lost their device or are unfit,
`failures.killed` judges tasks whose workers died repeatedly, `failures.watchdog` detects a cluster
that makes no progress. The tasks are planned in `tasks`; what cancels them is in `stopping`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from ...storage.errors import DeviceLost, PaniniError, RunFailed, UnfitWorker
from ...storage.filesystems.redaction import presentable, scrubbed
from ...storage.store.lifecycle import OpenStore
from ..cluster.remote_call import answer, submit_call
from ..monitoring.events import Event, ShardDone, TextsComputed, WritesAwaited
from ..worker.graph_trial import GraphTrial, TrialResult
from ..worker.readiness import Readiness
from ..worker.sent_graph import SentGraph
from ..worker.task import Outcome, Task, TaskContext, TaskMode, run_task
from ..worker.values.worker_process import WorkerProcess
from .background.completion import Completed
from .background.stopping import Stopping
from .failures.killed import MAX_SUSPECTS, Killed, Suspects
from .failures.lost_workers import LostWorkers
from .failures.watchdog import Watchdog
from .frames.partitions import FramePartitions
from .preparing.preparation import Preparation
from .preparing.worker_trial import try_on_worker
from .task_reports import TaskReports

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_RETRIES = 3
"""Number of times that dask retries a task after an error of the disk or the network."""

TASKS_PER_THREAD = 2
"""Tasks in flight per worker thread: one running, one waiting."""

TASKS_WAITING = 64
"""Further tasks in flight, which wait at the scheduler. They make an adaptive cluster start more
workers, and give new workers something to start with."""

AT_FULL_SPEED = TaskMode()

_CLEAN_UP_SECONDS = 10.0
"""Maximum time to wait for the scheduler when a run cleans up."""


@dataclass(frozen=True)
class _Sent:
    """A task in flight, and the number of restarts of workers before it was sent."""

    task: Task
    restarts: int


class Dispatch:
    """Runs tasks on a cluster.

    Attributes
    ----------
    stopping : Stopping
        Why the run was stopped, and what is cancelled then.
    topic : str
        The topic under which workers report, and the span under which dask counts the tasks.

    Parameters
    ----------
    sent : SentGraph
        The run's graph.
    announce : callable
        Called with every finished shard, possibly twice, and with the progress of others, possibly
        late.
    publish : callable
        Called with every other event.
    priority : int
        If runs share a cluster, tasks with the higher priority start first.
    """

    def __init__(
        self,
        client: Client,
        sent: SentGraph,
        *,
        announce: Callable[[ShardDone | TextsComputed], None],
        publish: Callable[[Event], None],
        priority: int = 0,
    ) -> None:
        self._client, self._label, self._priority = client, "", priority
        self._sent_graph = sent
        self._announce, self._publish = announce, publish
        self.topic = (
            f"paninifs-{uuid.uuid4().hex}"  # unique to this run, as others share the cluster
        )
        self._numbers = count()  # of tasks; dask sees a task that is sent again as a new one
        self._sent: dict[Any, _Sent] = {}  # by key
        self._preparation = Preparation(client, sent, priority)
        self.stopping = Stopping(client, lambda: self._preparation.futures)
        self._lost = LostWorkers(client, publish, self.stopping.stop)
        self._context = b""  # the pickled `TaskContext`
        self._suspects: Suspects | None = None
        self.partitions: FramePartitions | None = None  # that tasks read, if the corpus is a frame
        self._parts: FramePartitions | None = None  # those of the tasks in flight

    def watched(self) -> Watchdog:
        """Return what stops the run if the cluster makes no progress inside the ``with`` block."""
        return Watchdog(self._client, self._publish, self.stopping.stop)

    @property
    def threads(self) -> int:
        """Threads of all workers that are usable now."""
        return sum(self._lost.threads().values())

    def prepare(self, backend: str) -> None:
        """Start preparing every worker in the background, unless already started."""
        self._preparation.begin(backend)

    def readiness(self) -> Readiness:
        """Wait for the first worker that is ready, and return what it reports; see `prepare`.

        Raises
        ------
        PaniniError
            No worker can take part, or the cluster is gone.
        """
        from distributed import CancelledError

        self.stopping.require_going()
        try:
            with self.watched():
                return self._preparation.first_ready()
        except CancelledError as error:
            why = self.stopping.why_gone("before the run began", error)
            raise why from why.__cause__

    def try_graph(self, trial: GraphTrial) -> TrialResult:
        """Try the graph on one worker, once one is ready; see `try_on_worker`."""
        self.readiness()
        with self.watched():
            return try_on_worker(
                self._client,
                self._sent_graph,
                trial,
                priority=self._priority,
                stopped=lambda: self.stopping.reason,
                lost=self._lose_in_trial,
            )

    def _lose_in_trial(self, process: WorkerProcess, error: DeviceLost, where: str) -> None:
        self._lost.add(process, error, where)
        self._lost.await_leaving(_CLEAN_UP_SECONDS)  # the trial may be tried on any worker next

    def dismiss(self) -> None:
        """Wait for a cancellation in progress, then remove what the cluster holds of the run."""
        self.stopping.join(_CLEAN_UP_SECONDS)  # the caller closes the client next
        if getattr(self._client, "status", "running") == "running":
            cleaning = threading.Thread(target=self._clean_up, daemon=True)
            cleaning.start()
            cleaning.join(_CLEAN_UP_SECONDS)  # the scheduler may not answer

    def _clean_up(self) -> None:
        with suppress(Exception):  # the cluster may be gone
            self._preparation.release()
            self._sent_graph.withdraw()
            if self.partitions is not None:
                self.partitions.release()
            if self.stopping.reason is None:  # a run that was stopped ends at once
                self._lost.await_leaving(_CLEAN_UP_SECONDS)  # the next run should not meet them

    def run(self, context: TaskContext, store: OpenStore, tasks: Sequence[Task]) -> None:
        """Run all tasks; then retry those whose workers kept dying, one by one.

        Parameters
        ----------
        store : OpenStore
            The store that the tasks fill; knows where each shard's rows are read.

        Raises
        ------
        PaniniError
            Not all tasks were done; the error says why.
        """
        from distributed import span

        client = self._client
        self._context = self._sent_graph.dumps(context)
        self._parts = self.partitions if context.compute.reads_corpus else None
        if self._parts is not None:
            self._parts.expect(tasks)
        self._label = context.compute.graph.label or "columns"  # on dask's dashboard
        suspects = self._suspects = Suspects(
            client, store, self._run_mode, self._publish, at_once=context.raise_on_error
        )
        reports = TaskReports(
            client, self.topic, suspects, announce=self._announce, publish=self._publish
        )
        try:
            with reports, span(self.topic), self.watched():
                left: Iterable[Task] = tasks
                while left:
                    killed, left = self._run_all(AT_FULL_SPEED, left)
                    suspects.try_alone(killed)
                suspects.finish()
        except BaseException:
            client.cancel(list(self.stopping.in_flight))
            raise

    def _run_mode(self, mode: TaskMode, tasks: Iterable[Task]) -> Sequence[Killed]:
        killed, _ = self._run_all(mode, tasks)
        return killed

    def _run_all(self, mode: TaskMode, tasks: Iterable[Task]) -> tuple[list[Killed], list[Task]]:
        """Run tasks in parallel.

        Returns
        -------
        killed : list
            The tasks whose workers died more often than dask allows.
        left : list of Task
            Tasks that were not run, because the first ones all killed their workers.
        """
        from distributed import KilledWorker

        killed: list[Killed] = []
        queue = iter(tasks)
        finished = Completed(self._client)
        for task in islice(queue, self._max_in_flight()):
            finished.add(self._send(mode, task))
        for future in finished:
            sent = self._sent.pop(future.key)
            try:
                is_done = self._finish(future, sent)
            except KilledWorker as error:
                killed.append((sent.task, error))
                if len(killed) >= MAX_SUSPECTS and not self._known.computed:
                    return killed, [*self._called_back(), *queue]
            else:
                if not is_done:
                    finished.add(self._send(mode, sent.task))
            free = self._max_in_flight() - len(self.stopping.in_flight)
            for task in islice(queue, max(0, free)):
                finished.add(self._send(mode, task))
        return killed, []

    def _called_back(self) -> list[Task]:
        """Cancel the tasks in flight; return them."""
        futures = list(self.stopping.in_flight)
        self._client.cancel(futures)
        self.stopping.in_flight.clear()
        tasks = [self._sent.pop(future.key).task for future in futures]
        if self._parts is not None:
            self._parts.done(*tasks)
        return tasks

    @property
    def _known(self) -> Suspects:
        assert self._suspects is not None  # tasks are only sent by `run`
        return self._suspects

    def _max_in_flight(self) -> int:
        """Return how many tasks may be in flight with the current workers, at least one."""
        drops = self._parts is not None and not self._parts.keeps  # a task in flight has its own
        waiting = 0 if drops else TASKS_WAITING
        return max(1, TASKS_PER_THREAD * self.threads + waiting)  # all workers may be restarting

    def _send(self, mode: TaskMode, task: Task) -> Future[Any]:
        preferred = self._lost.preferred()
        future = submit_call(
            self._client,
            run_task,
            self._sent_graph.send(),
            self._context,
            task,
            mode,
            self.topic,
            results=self._parts.futures(task) if self._parts else (),
            key=(self._label, self.topic, next(self._numbers), task.partition),
            retries=TASK_RETRIES,
            priority=self._priority,
            # A preference: a worker that is killed may come back under another address.
            workers=preferred,
            allow_other_workers=preferred is not None,
        )
        self.stopping.in_flight.add(future)
        self._sent[future.key] = _Sent(task, self._lost.restarts)
        self.stopping.require_going()  # stopped meanwhile, perhaps without cancelling this task
        return future

    def _finish(self, future: Future[Any], sent: _Sent) -> bool:
        """Take note of what a task did; return False if it must be sent again."""
        from distributed import KilledWorker

        task = sent.task
        try:
            outcome = self._outcome(future, task)
        except KilledWorker:
            if self._lost.restarts > sent.restarts:  # then not all of the deaths were its own
                return False
            raise
        for shard in outcome.shards:
            self._known.add_done(shard)
            self._announce(shard)
        if outcome.waited:
            self._publish(WritesAwaited(outcome.waited))
        error = outcome.error
        if isinstance(error, DeviceLost | UnfitWorker):
            if isinstance(error, UnfitWorker):
                self._sent_graph.check_owner()
            where = f"partition {task.partition} ({task})"
            self._lost.add(outcome.process, error, where, task.partition)
            return False
        if error is not None:
            raise error
        return True

    def _outcome(self, future: Future[Any], task: Task) -> Outcome:
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        self.stopping.in_flight.discard(future)
        self.stopping.require_going()
        try:
            reply = future.result()
            try:
                outcome: Outcome = answer(reply)
            except UnfitWorker as error:
                outcome = Outcome(WorkerProcess(reply["worker"], id=""), (), error)
            return outcome
        except (CancelledError, CommClosedError) as error:
            why = self.stopping.why_gone(f"during partition {task.partition}", error)
            raise why from why.__cause__
        except (PaniniError, KilledWorker):
            raise
        except Exception as error:  # noqa: BLE001 (chained, without secrets)
            raise RunFailed(
                f"partition {task.partition} ({task}) failed {TASK_RETRIES + 1} times, last with "
                f"{type(error).__name__}: {scrubbed(str(error))}; submit again to resume"
            ) from presentable(error)
        finally:
            future.release()
            if self._parts is not None:
                self._parts.done(task)
