"""`Dispatch`: sends a run's tasks to workers, a bounded number at a time, and handles failures.

A worker that lost its device gets no more tasks. A task whose workers died repeatedly may have had
a neighbour that used too much memory, so it is first tried alone, in small pieces. A shard that
kills its worker even then is quarantined, and the run continues. The tasks are planned in `tasks`;
a cluster that makes no progress is detected in `watchdog`.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from ...storage.errors import DeviceLost, PaniniError, RunFailed
from ...storage.filesystems.redaction import presentable, scrubbed
from ...storage.store.lifecycle import OpenStore
from ..monitoring.events import Event, Notice, ShardDone, TaskBegun, WorkerLost
from ..worker.micro_batch import MicroBatch
from ..worker.readiness import Readiness
from ..worker.task import BEGUN, Outcome, Task, TaskContext, run_task
from .killed import describe_death
from .tasks import task_of
from .wait_for_workers import Preparation
from .watchdog import Watchdog

if TYPE_CHECKING:
    from distributed import Client, Future, KilledWorker

TASK_RETRIES = 3
"""Number of times that dask retries a task after an error of the disk or the network."""

TASKS_PER_THREAD = 2
"""Tasks in flight per worker thread: one running, one waiting."""

TASKS_WAITING = 64
"""Further tasks in flight, which wait at the scheduler. They make an adaptive cluster start more
workers, and give new workers something to start with."""

MAX_LOSSES = 2
"""Number of devices that a partition may lose before it is considered the cause."""

SMALL_PIECES = MicroBatch(rows=256, text_bytes=1 << 20)
"""Micro-batch size of a task that is tried alone."""

CLOSED = (
    "the client was closed before the run had finished: call run.result() before client.close(), "
    "or before its 'with' block ends; submit again to resume"
)
"""Message for a run whose client was closed."""

_CANCEL_SECONDS = 10.0
"""Seconds to wait for the cancellation of a stopped run's tasks."""


class Dispatch:
    """Runs tasks on a cluster.

    Attributes
    ----------
    topic : str
        The topic under which workers report, and the span under which dask counts the tasks.

    Parameters
    ----------
    label : str
        Name of the tasks on dask's dashboard.
    announce : callable
        Called with every finished shard, possibly twice.
    publish : callable
        Called with every other event.
    priority : int
        If runs share a cluster, tasks with the higher priority start first.
    """

    def __init__(
        self,
        client: Client,
        *,
        label: str,
        announce: Callable[[ShardDone], None],
        publish: Callable[[Event], None],
        priority: int = 0,
    ) -> None:
        self._client, self._label, self._priority = client, label, priority
        self._announce, self._publish = announce, publish
        self.topic = (
            f"paninifs-{uuid.uuid4().hex}"  # unique to this run, as others share the cluster
        )
        self._numbers = count()  # of tasks; dask sees a task that is sent again as a new one
        self._sent: dict[Any, Task] = {}  # by key
        self._in_flight: set[Future[Any]] = set()
        self._preparation = Preparation(client, priority)
        self._lost: set[str] = set()  # addresses of workers without their device
        self._losses: Counter[int] = Counter()  # by partition
        self._stopped: PaniniError | None = None
        self._cancelling: threading.Thread | None = None
        self._done: set[int] = set()  # shards

    def stop(self, reason: PaniniError) -> None:
        """Send no more tasks, cancel those in flight, and make `run` raise the reason."""
        if self._stopped is not None:
            return
        self._stopped = reason
        # In another thread: a listener that cancels holds the lock of the event stream, for which
        # the client's loop may be waiting; or the listener is called on that loop itself.
        futures = [*self._preparation.futures, *self._in_flight]
        self._cancelling = threading.Thread(target=self._cancel, args=[futures], daemon=True)
        self._cancelling.start()

    def _cancel(self, futures: list[Future[Any]]) -> None:
        with suppress(Exception):  # the cluster may be closing, and the futures with it
            self._client.cancel(futures)

    def prepare(self, backend: str) -> None:
        """Start preparing a backend on every worker in the background, unless already started."""
        self._preparation.begin(backend)

    def readiness(self) -> Readiness:
        """Wait for the first worker that is ready, and return what it reports; see `prepare`.

        Raises
        ------
        PaniniError
            No worker can use the backend, or the cluster is gone.
        """
        from distributed import CancelledError

        if self._stopped is not None:
            raise self._stopped
        try:
            with Watchdog(self._client, self._publish, self.stop):
                return self._preparation.first_ready()
        except CancelledError as error:
            why = self._why_gone("before the run began", error)
            raise why from why.__cause__

    def dismiss(self) -> None:
        """Wait for a cancellation in progress, then release the workers' reports."""
        if self._cancelling is not None:  # the caller closes the client next
            self._cancelling.join(_CANCEL_SECONDS)
        self._preparation.release()

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
        client.subscribe_topic(self.topic, self._on_message)
        try:
            with span(self.topic), Watchdog(client, self._publish, self.stop):
                for task, killed in self._run_all(context, tasks):
                    died = f"{describe_death(client, killed)} at {task}"
                    self._publish(Notice(f"{died}; it is tried again alone, in small pieces"))
                    self._run_alone(context, store, task)
        except BaseException:
            client.cancel(list(self._in_flight))
            raise
        finally:
            client.unsubscribe_topic(self.topic)
            if self._lost and self._threads():  # otherwise the next run would use them again
                client.retire_workers(list(self._lost))

    def _run_alone(self, context: TaskContext, store: OpenStore, task: Task) -> None:
        """Run a task while nothing else runs; quarantine the shards that kill their worker."""
        small = replace(context.compute, micro_batch=SMALL_PIECES)
        careful = replace(context, compute=small, max_writes=1)
        while left := tuple(shard for shard in task.shards if shard not in self._done):
            if not self._run_all(careful, [task_of(store, task.partition, left)]):
                return
            # Shards are done in order, so the first remaining one killed the worker.
            suspect = next((shard for shard in left if shard not in self._done), None)
            if suspect is None:
                return
            single = task_of(store, task.partition, (suspect,))
            for _, killed in self._run_all(careful, [single]):
                self._quarantine(careful, store, single, killed)

    def _quarantine(
        self, context: TaskContext, store: OpenStore, task: Task, killed: KilledWorker
    ) -> None:
        """Quarantine the rows of a shard that killed its worker, until the next run."""
        reason = (
            f"not computed: {describe_death(self._client, killed)}, even alone and in small "
            "pieces; run again with more memory per worker (--memory, fewer --workers) to retry it"
        )
        if store.layout.growing in task.shards:
            raise RunFailed(
                f"{task}: {reason}. The shard has rows from before the corpus was extended, so it "
                "is left as it was, and the run ends"
            ) from killed
        self._publish(Notice(f"{task} is quarantined, {reason}"))
        stretches = tuple(
            replace(stretch, problem=stretch.problem or reason) for stretch in task.stretches
        )
        provisional = replace(context, provisional=True)
        for _, last in self._run_all(provisional, [replace(task, stretches=stretches)]):
            raise RunFailed(
                f"{describe_death(self._client, last)} at {task}, although it had nothing to "
                "compute; check the workers' logs, then run again to resume"
            ) from last

    def _run_all(
        self, context: TaskContext, tasks: Iterable[Task]
    ) -> list[tuple[Task, KilledWorker]]:
        """Run tasks in parallel; return those whose workers died more often than dask allows."""
        from distributed import KilledWorker, as_completed

        killed: list[tuple[Task, KilledWorker]] = []
        queue = iter(tasks)
        finished = as_completed(loop=self._client.loop)
        for task in islice(queue, self._max_in_flight()):
            finished.add(self._send(context, task))
        for future in finished:
            task = self._sent.pop(future.key)
            try:
                outcome = self._outcome(future, task)
            except KilledWorker as error:
                killed.append((task, error))
            else:
                for shard in outcome.shards:
                    self._shard_done(shard)
                if isinstance(outcome.error, DeviceLost):
                    self._exclude(outcome.worker, task, outcome.error)
                    finished.add(self._send(context, task))
                elif outcome.error is not None:
                    raise outcome.error
            free = self._max_in_flight() - len(self._in_flight)
            for task in islice(queue, max(0, free)):
                finished.add(self._send(context, task))
        return killed

    def _max_in_flight(self) -> int:
        """Return how many tasks may be in flight with the current workers."""
        return TASKS_PER_THREAD * sum(self._threads().values()) + TASKS_WAITING

    def _send(self, context: TaskContext, task: Task) -> Future[Outcome]:
        future = self._client.submit(
            run_task,
            context,
            task,
            self.topic,
            key=(self._label, self.topic, next(self._numbers), task.partition),
            retries=TASK_RETRIES,
            priority=self._priority,
            # A preference: a worker that is killed may come back under another address.
            workers=list(self._threads()) if self._lost else None,
            allow_other_workers=bool(self._lost),
            pure=False,
        )
        self._in_flight.add(future)
        self._sent[future.key] = task
        if self._stopped is not None:  # stopped meanwhile, perhaps without cancelling this task
            raise self._stopped
        return future

    def _outcome(self, future: Future[Outcome], task: Task) -> Outcome:
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        self._in_flight.discard(future)
        if self._stopped is not None:
            raise self._stopped
        try:
            return future.result()
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

    def _why_gone(self, when: str, error: BaseException) -> PaniniError:
        """Return why a task was lost; dask's error is its cause unless this process is why."""
        if self._stopped is not None:
            return self._stopped
        if getattr(self._client, "status", "") in ("closing", "closed"):
            return RunFailed(CLOSED)
        gone = RunFailed(
            f"the cluster went away {when}; start a cluster if need be, and submit again to resume"
        )
        gone.__cause__ = error
        return gone

    def _exclude(self, worker: str, task: Task, error: DeviceLost) -> None:
        """Stop sending tasks to a worker: its process cannot use its device again."""
        is_new = worker not in self._lost
        self._lost.add(worker)
        self._losses[task.partition] += 1
        if not self._threads():
            raise DeviceLost(
                f"{error}; no other worker is left. Finished shards are kept: restart the cluster, "
                "or start one with --cluster cpu, and run again to resume"
            ) from error
        if self._losses[task.partition] > MAX_LOSSES:
            raise RunFailed(
                f"partition {task.partition} crashed {MAX_LOSSES + 1} devices, last: {error}; a "
                "kernel may access memory out of bounds. Restart the cluster, then run again to "
                "resume"
            ) from error
        if is_new:
            self._publish(WorkerLost(worker, str(error)))

    def _threads(self) -> dict[str, int]:
        """Return the number of threads of every worker that is currently usable, by address."""
        threads = self._client.nthreads()
        return {worker: n for worker, n in threads.items() if worker not in self._lost}

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        """Handle a timestamped message that a worker sent under the run's topic."""
        _, message = event
        if BEGUN in message:
            self._publish(TaskBegun(message[BEGUN]))
        else:
            self._shard_done(ShardDone(**message))

    def _shard_done(self, shard: ShardDone) -> None:
        self._done.add(shard.shard)
        self._announce(shard)
