"""`Dispatch`: sends a run's tasks to workers, a bounded number at a time, and handles failures.

A worker that lost its device, or is unfit for the run, gets no more tasks. `failures.killed` judges
tasks whose workers died repeatedly, `failures.watchdog` detects a cluster that makes no progress.
The tasks are planned in `tasks`.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from ...storage.errors import DeviceLost, PaniniError, RunFailed, UnfitWorker
from ...storage.filesystems.redaction import presentable, scrubbed
from ...storage.store.lifecycle import OpenStore
from ..cluster.remote_call import answer, submit_call
from ..monitoring.events import Event, ShardDone, TaskBegun, TextsComputed, WorkerLost
from ..worker.graph_trial import GraphTrial, TrialResult
from ..worker.readiness import Readiness
from ..worker.sent_graph import SentGraph
from ..worker.task import (
    BEGUN,
    COMPUTED,
    RUNNING,
    Outcome,
    Task,
    TaskContext,
    TaskMode,
    run_task,
)
from .active import CLOSED, is_closed
from .failures.killed import MAX_SUSPECTS, Killed, Suspects
from .failures.watchdog import Watchdog
from .frames.partitions import FramePartitions
from .wait_for_workers import Preparation, try_on_worker

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_RETRIES = 3
"""Number of times that dask retries a task after an error of the disk or the network."""

TASKS_PER_THREAD = 2
"""Tasks in flight per worker thread: one running, one waiting."""

TASKS_WAITING = 64
"""Further tasks in flight, which wait at the scheduler. They make an adaptive cluster start more
workers, and give new workers something to start with."""

MAX_LOSSES = 2
"""Number of devices that a partition may lose before it is considered the cause."""

AT_FULL_SPEED = TaskMode()

_CLEAN_UP_SECONDS = 10.0
"""Maximum time to wait for the scheduler when a run cleans up."""


class _Listener:
    """Handles messages until `handle` is None.

    dask's client keeps the handler of a topic that it has unsubscribed from, and with it would keep
    the run, its corpus and the texts that lie in memory.
    """

    def __init__(self, handle: Callable[[tuple[float, dict[str, Any]]], None]) -> None:
        self.handle: Callable[[tuple[float, dict[str, Any]]], None] | None = handle

    def __call__(self, event: tuple[float, dict[str, Any]]) -> None:
        if handle := self.handle:
            handle(event)


class Dispatch:
    """Runs tasks on a cluster.

    Attributes
    ----------
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
        self._sent: dict[Any, Task] = {}  # by key
        self._in_flight: set[Future[Any]] = set()
        self._preparation = Preparation(client, sent, priority)
        self._context = b""  # the pickled `TaskContext`
        self._suspects: Suspects | None = None
        self._excluded: dict[str, PaniniError] = {}  # addresses of workers, and why
        self._losses: Counter[int] = Counter()  # by partition
        self._stopped: PaniniError | None = None
        self._cancelling: threading.Thread | None = None
        self._held: Sequence[Future[Any]] = ()  # of a reduction
        self.partitions: FramePartitions | None = None  # that tasks read, if the corpus is a frame
        self._parts: FramePartitions | None = None  # those of the tasks in flight

    @property
    def stopped(self) -> PaniniError | None:
        """Why the run was stopped, if it was."""
        return self._stopped

    def hold(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel these futures too if the run is stopped, instead of those given before."""
        self._held = futures
        if self._stopped is not None:
            raise self._stopped

    def watched(self) -> Watchdog:
        """Return what stops the run if the cluster makes no progress inside the ``with`` block."""
        return Watchdog(self._client, self._publish, self.stop)

    def stop(self, reason: PaniniError) -> None:
        """Send no more tasks, cancel those in flight, and make `run` raise the reason."""
        if self._stopped is not None:
            return
        self._stopped = reason
        # In another thread: a listener that cancels holds the lock of the event stream, for which
        # the client's loop may be waiting; or the listener is called on that loop itself.
        futures = [*self._preparation.futures, *self._in_flight, *self._held]
        self._cancelling = threading.Thread(target=self._cancel, args=[futures], daemon=True)
        self._cancelling.start()

    def _cancel(self, futures: list[Future[Any]]) -> None:
        with suppress(Exception):  # the cluster may be closing, and the futures with it
            self._client.cancel(futures)

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

        if self._stopped is not None:
            raise self._stopped
        try:
            with self.watched():
                return self._preparation.first_ready()
        except CancelledError as error:
            why = self._why_gone("before the run began", error)
            raise why from why.__cause__

    def try_graph(self, trial: GraphTrial) -> TrialResult:
        """Try the graph on one worker, once one is ready; see `try_on_worker`."""
        self.readiness()
        with self.watched():
            options: Any = {"priority": self._priority, "stopped": lambda: self._stopped}
            return try_on_worker(self._client, self._sent_graph, trial, **options)

    def compute(self, delayed: Sequence[Any], when_done: Callable[[Any], None]) -> None:
        """Compute delayed objects before any task, and pass on each value when it is known.

        Raises
        ------
        PaniniError
            One failed, the run was stopped, or the cluster is gone.
        """
        from distributed import CancelledError, as_completed
        from distributed.comm.core import CommClosedError

        futures = self._client.compute(list(delayed), priority=self._priority)
        self._in_flight.update(futures)
        try:
            if self._stopped is not None:  # perhaps without cancelling these
                raise self._stopped
            with Watchdog(self._client, self._publish, self.stop):
                for future in as_completed(futures, loop=self._client.loop):
                    when_done(future.result())
                    self._in_flight.discard(future)
        except (CancelledError, CommClosedError) as error:
            why = self._why_gone("while the frame was computed", error)
            raise why from why.__cause__
        finally:
            left = [future for future in futures if future in self._in_flight]
            self._in_flight.difference_update(left)
            if left:
                self._client.cancel(left)
        if self._stopped is not None:
            raise self._stopped

    def dismiss(self) -> None:
        """Wait for a cancellation in progress, then remove what the cluster holds of the run."""
        if self._cancelling is not None:  # the caller closes the client next
            self._cancelling.join(_CLEAN_UP_SECONDS)
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
        listener = _Listener(self._on_message)
        client.subscribe_topic(self.topic, listener)
        try:
            with span(self.topic), self.watched():
                left: Iterable[Task] = tasks
                while left:
                    killed, left = self._run_all(AT_FULL_SPEED, left)
                    suspects.try_alone(killed)
                suspects.finish()
        except BaseException:
            client.cancel(list(self._in_flight))
            raise
        finally:
            client.unsubscribe_topic(self.topic)
            listener.handle = None
            lost = [one for one, why in self._excluded.items() if isinstance(why, DeviceLost)]
            if lost and self._threads():  # otherwise the next run would use them again
                client.retire_workers(lost)

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
        from distributed import KilledWorker, as_completed

        killed: list[Killed] = []
        queue = iter(tasks)
        finished = as_completed(loop=self._client.loop)
        for task in islice(queue, self._max_in_flight()):
            finished.add(self._send(mode, task))
        for future in finished:
            task = self._sent.pop(future.key)
            try:
                outcome = self._outcome(future, task)
            except KilledWorker as error:
                killed.append((task, error))
                if len(killed) >= MAX_SUSPECTS and not self._known.computed:
                    return killed, [*self._called_back(), *queue]
            else:
                for shard in outcome.shards:
                    self._shard_done(shard)
                if isinstance(outcome.error, DeviceLost | UnfitWorker):
                    self._exclude(outcome.worker, task, outcome.error)
                    finished.add(self._send(mode, task))
                elif outcome.error is not None:
                    raise outcome.error
            free = self._max_in_flight() - len(self._in_flight)
            for task in islice(queue, max(0, free)):
                finished.add(self._send(mode, task))
        return killed, []

    def _called_back(self) -> list[Task]:
        """Cancel the tasks in flight; return them."""
        futures = list(self._in_flight)
        self._client.cancel(futures)
        self._in_flight.clear()
        tasks = [self._sent.pop(future.key) for future in futures]
        if self._parts is not None:
            self._parts.done(*tasks)
        return tasks

    @property
    def _known(self) -> Suspects:
        assert self._suspects is not None  # tasks are only sent by `run`
        return self._suspects

    def _max_in_flight(self) -> int:
        """Return how many tasks may be in flight with the current workers."""
        return TASKS_PER_THREAD * sum(self._threads().values()) + TASKS_WAITING

    def _send(self, mode: TaskMode, task: Task) -> Future[Any]:
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
            workers=list(self._threads()) if self._excluded else None,
            allow_other_workers=bool(self._excluded),
        )
        self._in_flight.add(future)
        self._sent[future.key] = task
        if self._stopped is not None:  # stopped meanwhile, perhaps without cancelling this task
            raise self._stopped
        return future

    def _outcome(self, future: Future[Any], task: Task) -> Outcome:
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        self._in_flight.discard(future)
        if self._stopped is not None:
            raise self._stopped
        try:
            reply = future.result()
            try:
                outcome: Outcome = answer(reply)
            except UnfitWorker as error:
                outcome = Outcome(reply["worker"], (), error)
            return outcome
        except (CancelledError, CommClosedError) as error:
            why = self._why_gone(f"during partition {task.partition}", error)
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

    def _why_gone(self, when: str, error: BaseException) -> PaniniError:
        """Return why a task was lost; dask's error is its cause unless this process is why."""
        if self._stopped is not None:
            return self._stopped
        if is_closed(self._client):
            return RunFailed(CLOSED)
        gone = RunFailed(
            f"the cluster went away {when}; start a cluster if need be, and submit again to resume"
        )
        gone.__cause__ = error
        return gone

    def _exclude(self, worker: str, task: Task, error: DeviceLost | UnfitWorker) -> None:
        """Stop sending tasks to a worker: its process cannot use its device, or is unfit."""
        if isinstance(error, UnfitWorker):
            self._sent_graph.check_owner()
        is_new = worker not in self._excluded
        self._excluded[worker] = error
        if not self._threads():
            remedy = (
                ""
                if isinstance(error, UnfitWorker)
                else ("restart the cluster, or start one with --cluster cpu, and ")
            )
            raise type(error)(
                f"{error}; no other worker is left. Finished shards are kept: {remedy}run again to "
                "resume"
            ) from error
        if isinstance(error, DeviceLost) and is_new:  # dask may send a lost worker further tasks
            self._losses[task.partition] += 1
            if self._losses[task.partition] > MAX_LOSSES:
                raise RunFailed(
                    f"partition {task.partition} crashed {MAX_LOSSES + 1} devices, last: {error}; "
                    "a kernel may access memory out of bounds. Restart the cluster, then run again "
                    "to resume"
                ) from error
        if is_new:
            self._publish(WorkerLost(worker, str(error)))

    def _threads(self) -> dict[str, int]:
        """Return the number of threads of every worker that is currently usable, by address."""
        threads = self._client.nthreads()
        return {worker: n for worker, n in threads.items() if worker not in self._excluded}

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        """Handle a timestamped message that a worker sent under the run's topic."""
        _, message = event
        if BEGUN in message:
            self._publish(TaskBegun(message[BEGUN]))
        elif RUNNING in message:
            self._known.running = tuple(message[RUNNING])
        elif COMPUTED in message:
            self._announce(TextsComputed(**message[COMPUTED]))
        else:
            self._shard_done(ShardDone(**message))

    def _shard_done(self, shard: ShardDone) -> None:
        self._known.add_done(shard)
        self._announce(shard)
