"""Tasks to workers: a bounded number in flight, and what becomes of those whose workers fail.

A device that is lost is done without. A task whose worker died again and again may have had a bad
neighbour, so it is not blamed before it was tried alone, in small pieces; what ends its worker even
then is set aside, and the run goes on.
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

from dask.utils import format_bytes

from ...storage.errors import DeviceLost, PaniniError, RunFailed
from ...storage.filesystems.redaction import presentable, scrubbed
from ...storage.store.lifecycle import OpenStore
from ..monitoring.events import Event, Notice, ShardDone, TaskBegun, WorkerLost
from ..worker.micro_batch import MicroBatch
from ..worker.task import BEGUN, Job, Outcome, Readiness, readiness, run_task
from .tasks import Task, task_of
from .watchdog import Watch

if TYPE_CHECKING:
    from distributed import Client, Future, KilledWorker

TASK_RETRIES = 3
TASKS_A_THREAD = 2
"""Tasks in flight for every worker thread: one running, one waiting."""

TASKS_WAITING = 64
"""Tasks in flight beside those, which wait at the scheduler: a cluster that can grow sees by them
that there is work for more workers, and those that come find some."""

MAX_LOSSES = 2
"""Devices that a partition may lose before it, and not they, is taken to be at fault."""

SMALL_PIECES = MicroBatch(rows=256, text_bytes=1 << 20)
"""What a block is given at once by a task that is tried alone."""

_CANCEL_SECONDS = 10.0

KILLED_FOR_MEMORY = "worker-restart-memory"
"""The topic under which dask's nannies tell that they ended a worker, and what it held."""


class Dispatch:
    """Has a run's tasks done on a cluster.

    Attributes
    ----------
    topic : str
        Under which workers tell of the run, and the span under which dask counts its tasks.

    Parameters
    ----------
    label : str
        What the tasks are called on dask's dashboard.
    announce, publish : callable
        Are told of every finished shard, perhaps twice; and of what the user should know.
    priority : int
        Of two runs on one cluster the tasks of that with the higher one are begun first.
    """

    def __init__(
        self,
        client: Client,
        label: str,
        announce: Callable[[ShardDone], None],
        publish: Callable[[Event], None],
        priority: int = 0,
    ) -> None:
        self._client, self._label, self._priority = client, label, priority
        self._announce, self._publish = announce, publish
        self.topic = f"paninifs-{uuid.uuid4().hex}"  # this run's alone, where others run too
        self._numbers = count()  # of tasks: one that is sent again is another to dask
        self._sent: dict[Any, Task] = {}  # by key
        self._in_flight: set[Future[Any]] = set()
        self._answers: list[Future[Readiness]] = []
        self._lost: set[str] = set()  # addresses of workers without their device
        self._losses: Counter[int] = Counter()  # by partition
        self._stopped: PaniniError | None = None
        self._cancelling: threading.Thread | None = None
        self._done: set[int] = set()  # shards

    def stop(self, reason: PaniniError) -> None:
        """Send nothing more, cancel what is in flight, and have `run` raise the reason."""
        if self._stopped is not None:
            return
        self._stopped = reason
        # Not here: a listener that cancels holds the stream of events, for which the client's loop
        # may wait; and it may be called on that very loop.
        futures = [*self._answers, *self._in_flight]
        self._cancelling = threading.Thread(target=self._cancel, args=[futures], daemon=True)
        self._cancelling.start()

    def _cancel(self, futures: list[Future[Any]]) -> None:
        with suppress(Exception):  # the cluster may be going, and they with it
            self._client.cancel(futures)

    def prepare(self, backend: str) -> None:
        """Have every worker make a backend ready, while something else is done here; once."""
        if self._answers:
            return
        # One a worker, which dask spreads over them; bound to it, one would wait for a worker that
        # is gone.
        for _ in range(max(1, len(self._client.nthreads()))):
            # A moment's work, which a run should not wait for behind all that others have sent.
            first = self._priority + 1
            answer = self._client.submit(readiness, backend, pure=False, priority=first)
            self._answers.append(answer)

    def ask(self) -> Readiness:
        """Return what the first worker that is ready says of itself; see `prepare`.

        Raises
        ------
        PaniniError
            None can use the backend, or the cluster is gone.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        problem: PaniniError | None = None
        try:
            if self._stopped is not None:
                raise self._stopped
            with Watch(self._client, self._publish, self.stop):
                for future in as_completed(self._answers, loop=self._client.loop):
                    found: Readiness = future.result()
                    if found.problem is None:
                        return found
                    problem = problem or found.problem
        except KilledWorker as error:
            raise RunFailed(
                f"{self._died(error)} while it made itself ready to work; nothing was computed"
            ) from error
        except CancelledError as error:
            gone = RunFailed("the cluster went away before the run began; start it, and run again")
            raise (self._stopped or gone) from error
        assert problem is not None  # for some worker was asked
        raise problem

    def dismiss(self) -> None:
        """Let go of what was asked of workers; once it is cancelled, where it has to be."""
        if self._cancelling is not None:  # whoever waits for the run closes the client next
            self._cancelling.join(_CANCEL_SECONDS)
        for future in self._answers:
            future.release()

    def run(self, job: Job, store: OpenStore, tasks: Sequence[Task]) -> None:
        """Do all tasks; last, one by one, those whose workers kept dying.

        Parameters
        ----------
        store : OpenStore
            What the tasks fill; knows where each shard's rows are read.

        Raises
        ------
        PaniniError
            Why they are not all done.
        """
        from distributed import span

        client = self._client
        client.subscribe_topic(self.topic, self._hear)
        try:
            with span(self.topic), Watch(client, self._publish, self.stop):
                for task, killed in self._killing(job, tasks):
                    died = f"{self._died(killed)} at {task}"
                    self._publish(Notice(f"{died}; it is tried again alone, in small pieces"))
                    self._alone(job, store, task)
        except BaseException:
            client.cancel(list(self._in_flight))
            raise
        finally:
            client.unsubscribe_topic(self.topic)
            if self._lost and self._workers():  # else the next run would meet them again
                client.retire_workers(list(self._lost))

    def _alone(self, job: Job, store: OpenStore, task: Task) -> None:
        """Do a task while nothing else runs; set those shards aside that end their worker."""
        careful = replace(job, recipe=replace(job.recipe, micro_batch=SMALL_PIECES), max_writes=1)
        while left := tuple(shard for shard in task.shards if shard not in self._done):
            if not self._killing(careful, [task_of(store, task.partition, left)]):
                return
            # They are done in order, so it is the first of those that are left.
            at = next((shard for shard in left if shard not in self._done), None)
            if at is None:
                return
            one = task_of(store, task.partition, (at,))
            for _, killed in self._killing(careful, [one]):
                self._set_aside(careful, store, one, killed)

    def _set_aside(self, job: Job, store: OpenStore, task: Task, killed: KilledWorker) -> None:
        """Quarantine the rows of a shard that ended its worker, until the next run."""
        reason = (
            f"not computed: {self._died(killed)}, also alone and in small pieces; with more "
            "memory a worker (--memory, fewer --workers) run again, and it is tried again"
        )
        if store.layout.growing in task.shards:
            raise RunFailed(
                f"{task}: {reason}. The shard has rows from before the corpus was extended, so it "
                "is left as it was, and the run ends"
            ) from killed
        self._publish(Notice(f"{task} is set aside, {reason}"))
        aside = tuple(replace(one, problem=one.problem or reason) for one in task.stretches)
        provisional = replace(job, provisional=True)
        for _, last in self._killing(provisional, [replace(task, stretches=aside)]):
            raise RunFailed(
                f"{self._died(last)} at {task}, though it had nothing to compute; look at the "
                "workers' logs, then run again to go on"
            ) from last

    def _killing(self, job: Job, tasks: Iterable[Task]) -> list[tuple[Task, KilledWorker]]:
        """Do tasks side by side; return those whose workers died more often than dask allows."""
        from distributed import KilledWorker, as_completed

        killing: list[tuple[Task, KilledWorker]] = []
        queue = iter(tasks)
        finished = as_completed(loop=self._client.loop)
        for task in islice(queue, self._room()):
            finished.add(self._send(job, task))
        for future in finished:
            task = self._sent.pop(future.key)
            try:
                outcome = self._outcome(future, task)
            except KilledWorker as error:
                killing.append((task, error))
            else:
                for shard in outcome.shards:
                    self._tell(shard)
                if isinstance(outcome.error, DeviceLost):
                    self._do_without(outcome.worker, task, outcome.error)
                    finished.add(self._send(job, task))
                elif outcome.error is not None:
                    raise outcome.error
            room = self._room() - len(self._in_flight)
            for task in islice(queue, max(0, room)):
                finished.add(self._send(job, task))
        return killing

    def _room(self) -> int:
        """Return how many tasks may be in flight: there may be other workers now than before."""
        return TASKS_A_THREAD * sum(self._workers().values()) + TASKS_WAITING

    def _send(self, job: Job, task: Task) -> Future[Outcome]:
        future = self._client.submit(
            run_task,
            job,
            task.partition,
            task.stretches,
            task.shards,
            self.topic,
            key=(self._label, self.topic, next(self._numbers), task.partition),
            retries=TASK_RETRIES,
            priority=self._priority,
            # A wish: a worker that is killed may come back by another address.
            workers=list(self._workers()) if self._lost else None,
            allow_other_workers=bool(self._lost),
            pure=False,
        )
        self._in_flight.add(future)
        self._sent[future.key] = task
        if self._stopped is not None:  # meanwhile, and perhaps without this one
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
            raise self._stopped or RunFailed(
                f"the cluster went away during partition {task.partition}; submit again to go on"
            ) from error
        except (PaniniError, KilledWorker):
            raise
        except Exception as error:  # noqa: BLE001 (told, and chained as it may be shown)
            raise RunFailed(
                f"partition {task.partition} ({task}) failed {TASK_RETRIES + 1} times, last with "
                f"{type(error).__name__}: {scrubbed(str(error))}; submit again to go on"
            ) from presentable(error)
        finally:
            future.release()

    def _do_without(self, worker: str, task: Task, error: DeviceLost) -> None:
        """Send a worker nothing more: its process cannot use its device again."""
        news = worker not in self._lost
        self._lost.add(worker)
        self._losses[task.partition] += 1
        if not self._workers():
            raise DeviceLost(
                f"{error}; no other worker is left. What is done is kept: "
                "start the cluster anew, or one with --cluster cpu, and run again to go on"
            ) from error
        if self._losses[task.partition] > MAX_LOSSES:
            raise RunFailed(
                f"partition {task.partition} ended {MAX_LOSSES + 1} devices, last: {error}; a "
                "kernel may reach where it must not. Start the cluster anew and run again to go on"
            ) from error
        if news:
            self._publish(WorkerLost(worker, str(error)))

    def _workers(self) -> dict[str, int]:
        """Return the threads of every worker that there is now and that can be used."""
        threads = self._client.nthreads()
        return {worker: n for worker, n in threads.items() if worker not in self._lost}

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take what a worker told under the run's topic, and when."""
        _, message = event
        if BEGUN in message:
            self._publish(TaskBegun(message[BEGUN]))
        else:
            self._tell(ShardDone(**message))

    def _tell(self, shard: ShardDone) -> None:
        self._done.add(shard.shard)
        self._announce(shard)

    def _died(self, killed: KilledWorker) -> str:
        """Say how often a worker died, and of what as far as is known."""
        worker = killed.last_worker
        events = [event for _, event in self._client.get_events(KILLED_FOR_MEMORY) or ()]
        held = [event["rss"] for event in events if event["worker"] == worker.address]
        why = "how is not known; want of memory is likely"
        if held:
            of = f"{format_bytes(held[-1])} of {format_bytes(worker.memory_limit)}"
            why = f"for want of memory: it held {of}"
        return f"a worker died {killed.allowed_failures + 1} times ({why})"
