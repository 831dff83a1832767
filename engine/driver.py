"""What a run's thread does: index, plan, begin or resume the store, keep tasks in flight, finish.

What a task does is in `task`, what the user holds in `run`.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from ..graphs.graph import Graph
from ..storage.corpus import Corpus
from ..storage.errors import (
    DeviceLost,
    PaniniError,
    RowsQuarantined,
    RunCancelled,
    RunFailed,
)
from ..storage.lease import LeaseTicket
from ..storage.mirror import restore
from ..storage.partition import MAX_SHARD_SECONDS, Sharding
from ..storage.redaction import presentable, scrubbed
from ..storage.rows import Stretch
from ..storage.store import Existing, OpenStore, Summary, begin, discard, finish, read_summary
from ..storage.target import Target
from .compute import Recipe
from .events import EventStream, Indexed, Notice, Planned, Restored, ShardDone, WorkerLost
from .leases import Leases, give_up
from .micro_batch import MicroBatch
from .mirroring import Mirroring
from .task import Job, Outcome, run_task, shards_in_flight, try_backend

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_RETRIES = 3
TASKS_A_THREAD = 2
"""Tasks in flight for every worker thread: one running, one waiting."""

MAX_LOSSES = 2
"""Devices that a partition may lose before it, and not they, is taken to be at fault."""


@dataclass(frozen=True)
class Order:
    """What a run is to do, checked by `submit`."""

    graph: Graph
    corpus: Corpus
    target: Target
    mirror: Target | None
    facts: Mapping[str, Any]
    client: Client
    backend: str
    sharding: Sharding
    raise_on_error: bool
    existing: Existing
    micro_batch: MicroBatch | None


class Driver:
    """Does what an `Order` asks for, telling `events`; holds the leases while it does."""

    def __init__(self, order: Order, leases: Leases, events: EventStream) -> None:
        self._order, self._leases, self._events = order, leases, events
        self._mirroring: Mirroring | None = None
        self._warned = False
        self._cancelled = threading.Event()
        self._announcing = threading.Lock()
        self._announced: set[int] = set()
        self._sent: dict[Any, _Task] = {}  # by key
        self._in_flight: set[Future[Any]] = set()
        self._lost: set[str] = set()  # addresses of workers without their device
        self._losses: Counter[int] = Counter()  # by partition
        self._numbers = count()  # of tasks: one that is sent again is another to dask

    def cancel(self) -> None:
        """Stop as soon as a task ends or is found cancelled."""
        self._cancelled.set()
        client, futures = self._order.client, list(self._in_flight)
        if client.asynchronous:  # by a listener, which is told of shards on the client's own loop
            threading.Thread(target=client.cancel, args=[futures], daemon=True).start()
        else:
            client.cancel(futures)

    def work(self) -> Summary:
        """Do it, from first to last; return what the store holds."""
        try:
            return self._work()
        finally:
            give_up(self._leases)

    def _work(self) -> Summary:
        order = self._order
        if order.existing == "discard":
            self._try_backend()  # before what is there is discarded
        elif order.mirror is not None:
            restored = restore(order.mirror, order.target, self._ticket)
            if restored:
                self._events.publish(Restored(restored, order.mirror.url))
        store = begin(
            order.target,
            order.corpus,
            order.facts,
            order.graph.fields,
            order.sharding,
            self._ticket,
            order.existing,
        )
        self._events.publish(Indexed(len(store.index.files), store.index.rows, store.index.notes))
        if order.mirror is None:
            return self._finished(store)
        mirror, lease = self._leases[1]
        if order.existing == "discard":
            lease.ticket.check(mirror)
            discard(mirror)
        with Mirroring(store, mirror, lease.ticket, self._events) as self._mirroring:
            summary = self._finished(store)
            self._mirroring.finish()
        return summary

    @property
    def _ticket(self) -> LeaseTicket:
        return self._leases[0][1].ticket

    def _finished(self, store: OpenStore) -> Summary:
        """Do what is left of a store, and mark it complete."""
        order = self._order
        if order.raise_on_error and store.index.unlisted:
            unread = store.index.unlisted[0]
            raise RowsQuarantined(f"{unread.file.url}: {unread.problem} (on_error='raise')")
        tasks, layout = list(_tasks(store)), store.layout
        at_risk = min(layout.rows, shards_in_flight(layout) * layout.shard_rows)
        self._events.publish(
            Planned(
                layout.rows,
                layout.shards,
                layout.shard_rows,
                len(tasks),
                sum(marker.rows for marker in store.done.values()),
                len(store.done),
                at_risk,
                at_risk * order.graph.text_seconds,
            )
        )
        finished = read_summary(order.target)
        if not tasks and finished:
            return finished
        if tasks:
            self._compute(self._job(store, self._ticket), tasks)
        return finish(store, self._ticket)

    def _try_backend(self) -> None:
        from distributed import CancelledError, KilledWorker

        future = self._order.client.submit(try_backend, self._order.backend, pure=False)
        self._in_flight.add(future)
        try:
            problem = future.result()
        except (CancelledError, KilledWorker) as error:
            if self._cancelled.is_set():
                raise RunCancelled("cancelled before anything was done") from error
            raise RunFailed("the cluster went away before the run began") from error
        finally:
            self._in_flight.discard(future)
            future.release()
        if problem is not None:
            raise problem

    def _job(self, store: OpenStore, ticket: LeaseTicket) -> Job:
        order, index = self._order, store.index
        recipe = Recipe(
            order.graph,
            order.backend,
            index.wanted,
            index.id,
            index.keep,
            store.layout.fields,
            order.corpus.opener,
            order.micro_batch,
        )
        topic = f"paninifs-{uuid.uuid4().hex}"
        return Job(recipe, order.target, store.layout, ticket, order.raise_on_error, topic)

    def _compute(self, job: Job, tasks: list[_Task]) -> None:
        """Keep a bounded number of tasks in flight until all are done."""
        from distributed import as_completed

        client = self._order.client
        client.subscribe_topic(job.topic, lambda event: self._announce(ShardDone(**event[1])))
        queue = iter(tasks)
        try:
            finished = as_completed(loop=client.loop)
            for task in islice(queue, self._room()):
                finished.add(self._send(job, task))
            for future in finished:
                task = self._sent.pop(future.key)
                outcome = self._outcome(future, task.partition)
                for shard in outcome.shards:
                    self._announce(shard)
                if isinstance(outcome.error, DeviceLost):
                    self._do_without(outcome.worker, task, outcome.error)
                    finished.add(self._send(job, task))
                elif outcome.error is not None:
                    raise outcome.error
                for task in islice(queue, self._room()):
                    finished.add(self._send(job, task))
        except BaseException:
            client.cancel(list(self._in_flight))
            raise
        finally:
            client.unsubscribe_topic(job.topic)
            if self._lost and self._workers():  # else the next run would meet them again
                client.retire_workers(list(self._lost))

    def _room(self) -> int:
        """How many more tasks may be in flight, with the workers that there are now."""
        threads = sum(self._workers().values())
        return max(0, max(2, TASKS_A_THREAD * threads) - len(self._in_flight))

    def _send(self, job: Job, task: _Task) -> Future[Outcome]:
        future = self._order.client.submit(
            run_task,
            job,
            task.stretches,
            task.shards,
            key=(self._order.graph.label, job.topic, next(self._numbers), task.partition),
            retries=TASK_RETRIES,
            # A wish: a worker that is killed may come back by another address.
            workers=list(self._workers()) if self._lost else None,
            allow_other_workers=bool(self._lost),
            pure=False,
        )
        self._in_flight.add(future)
        self._sent[future.key] = task
        return future

    def _do_without(self, worker: str, task: _Task, error: DeviceLost) -> None:
        """Send a worker nothing more: its process cannot use its device again."""
        news = worker not in self._lost
        self._lost.add(worker)
        self._losses[task.partition] += 1
        if not self._workers():
            raise DeviceLost(
                f"{error}; no other worker is left. {self._order.target.url} keeps what is done: "
                "start the cluster anew, or one with --cluster cpu, and run again to go on"
            ) from error
        if self._losses[task.partition] > MAX_LOSSES:
            raise RunFailed(
                f"partition {task.partition} ended {MAX_LOSSES + 1} devices, last: {error}; a "
                "kernel may reach where it must not. Start the cluster anew and run again to go on"
            ) from error
        if news:
            self._events.publish(WorkerLost(worker, str(error)))

    def _workers(self) -> dict[str, int]:
        """Return the threads of every worker that there is now and that can be used."""
        threads = self._order.client.nthreads()
        return {worker: n for worker, n in threads.items() if worker not in self._lost}

    def _outcome(self, future: Future[Outcome], partition: int) -> Outcome:
        from distributed import CancelledError, KilledWorker

        self._in_flight.discard(future)
        if self._cancelled.is_set():
            raise RunCancelled(
                f"cancelled; {self._order.target.url} keeps what is done and resumes"
            )
        try:
            outcome = future.result()
        except CancelledError as error:
            raise RunFailed(
                f"the cluster went away during partition {partition}; submit again to go on"
            ) from error
        except KilledWorker as error:
            raise RunFailed(
                f"partition {partition} killed its worker {error.allowed_failures + 1} times, "
                "most likely for want of memory; use fewer workers or give each more "
                "(--memory), then submit again to go on"
            ) from error
        except PaniniError:
            raise
        except Exception as error:  # noqa: BLE001 (told, and chained as it may be shown)
            raise RunFailed(
                f"partition {partition} failed {TASK_RETRIES + 1} times, last with "
                f"{type(error).__name__}: {scrubbed(str(error))}; submit again to go on"
            ) from presentable(error)
        finally:
            future.release()
        return outcome

    def _announce(self, shard: ShardDone) -> None:
        """Publish a finished shard once: its worker tells of it, and so does its task."""
        with self._announcing:
            if shard.shard in self._announced:
                return
            self._announced.add(shard.shard)
        self._events.publish(shard)
        self._warn_of_slow(shard)
        if self._mirroring is not None:
            self._mirroring.begin(shard.shard)

    def _warn_of_slow(self, shard: ShardDone) -> None:
        """Say once that a shard takes longer than one should, and what to do."""
        spent = {name: s for name, s in shard.seconds.items() if name not in ("read", "write")}
        if self._warned or sum(spent.values()) <= MAX_SHARD_SECONDS:
            return
        self._warned = True
        slowest = max(spent, key=lambda name: spent[name])
        self._events.publish(
            Notice(
                f"a shard took {sum(spent.values()):.0f} s, most of it in {slowest!r}, and as much "
                f"is lost by a stop: give that block text_seconds={spent[slowest] / shard.rows:.2g}"
                ", or the next run fewer rows a shard (--shard-rows, shard_rows=)"
            )
        )


@dataclass(frozen=True)
class _Task:
    partition: int
    shards: tuple[int, ...]
    stretches: tuple[Stretch, ...]


def _tasks(store: OpenStore) -> Iterator[_Task]:
    """Yield what is left to do, a task a partition."""
    for partition in store.index.partitions(store.layout.shard_rows):
        numbers = range(partition.shard_start, partition.shard_stop)
        pending = tuple(shard for shard in numbers if shard not in store.done)
        if pending:
            start, _ = store.layout.bounds(pending[0])
            _, stop = store.layout.bounds(pending[-1])
            yield _Task(partition.number, pending, store.index.stretches(start, stop))
