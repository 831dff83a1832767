"""`submit` and `Run`: one corpus through one graph into one store.

The driver lives here: a thread that indexes, plans, begins or resumes the store, keeps a bounded
number of tasks in flight and marks the store complete. What a task does is in `task`.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from ..graphs.graph import Graph
from ..graphs.kernels import NUMERIC_VERSION
from ..graphs.kernels import require as require_backend
from ..storage.corpus import Corpus
from ..storage.errors import PaniniError, RunCancelled, RunFailed, UsageError
from ..storage.lease import Lease, LeaseTicket
from ..storage.manifest import facts_of
from ..storage.rows import Stretch
from ..storage.store import OpenStore, Summary, begin, finish, read_summary, refuse_mismatch
from ..storage.target import Target, open_target
from .compute import Recipe
from .events import EventStream, Failed, Finished, Indexed, Planned, ShardDone
from .micro_batch import MicroBatch
from .progress import Progress, show
from .task import Job, Outcome, run_task

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_RETRIES = 3
TASKS_A_THREAD = 2
"""Tasks in flight for every worker thread: one running, one waiting."""


@dataclass(frozen=True)
class _Order:
    """What `submit` was asked for, checked."""

    graph: Graph
    corpus: Corpus
    target: Target
    facts: Mapping[str, Any]
    client: Client
    backend: str
    shard_rows: int | None
    raise_on_error: bool
    fresh: bool
    micro_batch: MicroBatch


def submit(
    graph: Graph,
    corpus: Corpus,
    results: str | os.PathLike[str] | Target,
    *,
    client: Client | None = None,
    backend: str = "cpu",
    shard_rows: int | None = None,
    on_error: Literal["quarantine", "raise"] = "quarantine",
    fresh: bool = False,
    micro_batch: MicroBatch | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Run:
    """Send a corpus through a graph into a store; return at once.

    A store that an earlier run began with the same corpus and graph is gone on with: only what
    is missing is computed.

    Parameters
    ----------
    graph : Graph
        As `default_graph()`, with blocks of one's own added.
    corpus : Corpus
        From `open_corpus`.
    results : str, path or Target
        Where the Zarr store is, or is to be.
    client : distributed.Client, optional
        The newest one when left out; see `connect`.
    backend : str
        What computes the blocks on the workers.
    shard_rows : int, optional
        Rows a shard, a power of two; chosen from the corpus when left out.
    on_error : "quarantine" or "raise"
        Whether a row that cannot be used is set aside and listed, or ends the run.
    fresh : bool
        Discard what the store holds and start over.
    micro_batch : MicroBatch, optional
        How much a block is given at once.
    storage_options : mapping, optional
        For fsspec, where `results` is a URL.
    progress : bool
        Show progress, in a terminal or a notebook.

    Raises
    ------
    UsageError
        Whatever can be refused before work begins: a graph that cannot be identified, a place
        that holds something else (`ResultsMismatch`) or is being written (`LeaseHeld`), no
        client. What only reading the corpus shows is raised by `Run.result`.
    """
    if not isinstance(graph, Graph) or not graph.blocks:
        raise UsageError("submit needs a graph with blocks: default_graph() + your_block")
    if not isinstance(corpus, Corpus):
        raise UsageError("submit needs a corpus from open_corpus(...)")
    if on_error not in ("quarantine", "raise"):
        raise UsageError(f"on_error is 'quarantine' or 'raise', not {on_error!r}")
    if shard_rows is not None and (shard_rows < 1 or shard_rows & (shard_rows - 1)):
        raise UsageError(f"shard_rows must be a power of two, not {shard_rows}")
    require_backend(backend)
    if isinstance(results, str | os.PathLike):
        results = open_target(results, storage_options)
    facts = facts_of(corpus, graph.describe(), NUMERIC_VERSION)
    refuse_mismatch(results, facts, shard_rows, fresh=fresh)
    order = _Order(
        graph,
        corpus,
        results,
        facts,
        client or _newest_client(),
        backend,
        shard_rows,
        on_error == "raise",
        fresh,
        micro_batch or MicroBatch(),
    )
    run = Run(order, Lease.acquire(results))
    if progress:
        show(run)
    return run


def _newest_client() -> Client:
    from distributed import default_client

    try:
        newest: Client = default_client()
    except ValueError as error:
        raise UsageError("there is no cluster to run on: call paninifs.connect() first") from error
    return newest


class Run:
    """A run in progress, or done. Made by `submit`.

    Attributes
    ----------
    events : EventStream
        What happens, as it happens; `EventStream.subscribe` to listen.
    results : str
        Where the store is.
    """

    def __init__(self, order: _Order, lease: Lease) -> None:
        self.events = EventStream()
        self.results = order.target.url
        self._order, self._lease = order, lease
        self._progress = Progress()
        self.events.subscribe(self._progress.listen)
        self._cancelled = threading.Event()
        self._announcing = threading.Lock()
        self._announced: set[int] = set()
        self._partitions: dict[Any, int] = {}  # by the key of its task
        self._in_flight: set[Future[Outcome]] = set()
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drive, name="paninifs-run", daemon=True)
        self._thread.start()

    def result(self, timeout: float | None = None) -> Summary:
        """Wait until the store is complete.

        Raises
        ------
        TimeoutError
            `timeout` seconds passed; the run goes on.
        PaniniError
            Why the run did not finish. Submitting again goes on where it stopped.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the run is still at work after {timeout} s")
        if self._error is not None:
            raise self._error
        assert self._summary is not None  # the thread ends with one or the other
        return self._summary

    def cancel(self) -> None:
        """Stop: no further shard is begun, finished ones stay, the store resumes."""
        self._cancelled.set()
        self._order.client.cancel(list(self._in_flight))

    def status(self) -> Progress:
        """Return how far the run has come, now."""
        return self._progress.snapshot()

    @property
    def done(self) -> bool:
        """Whether the run has ended, well or not."""
        return not self._thread.is_alive()

    @property
    def dashboard_link(self) -> str:
        """Where dask shows its tasks."""
        return str(self._order.client.dashboard_link)

    def __repr__(self) -> str:
        return f"<Run {self.results}: {self._progress.snapshot().line()}>"

    def _drive(self) -> None:
        began = time.perf_counter()
        try:
            with self._lease:
                self._summary = self._work()
            self.events.publish(Finished(time.perf_counter() - began))
        except BaseException as error:  # noqa: BLE001 (raised again by result)
            self._error = error
            self.events.publish(Failed(error))

    def _work(self) -> Summary:
        order = self._order
        store = begin(
            order.target,
            order.corpus,
            order.facts,
            order.graph.fields,
            order.shard_rows,
            fresh=order.fresh,
        )
        self.events.publish(Indexed(len(store.index.files), store.index.rows, store.index.notes))
        tasks = list(_tasks(store))
        self.events.publish(
            Planned(
                store.layout.rows,
                store.layout.shards,
                store.layout.shard_rows,
                len(tasks),
                sum(marker.rows for marker in store.done.values()),
                len(store.done),
            )
        )
        finished = read_summary(order.target)
        if not tasks and finished:
            return finished
        if tasks:
            self._compute(self._job(store, self._lease.ticket), tasks)
        return finish(store)

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
        width = max(2, TASKS_A_THREAD * sum(client.nthreads().values()))
        try:
            finished = as_completed(loop=client.loop)
            for task in islice(queue, width):
                finished.add(self._send(job, task))
            for future in finished:
                outcome = self._outcome(future)
                for shard in outcome.shards:
                    self._announce(shard)
                if outcome.error is not None:
                    raise outcome.error
                for task in islice(queue, 1):
                    finished.add(self._send(job, task))
        except BaseException:
            client.cancel(list(self._in_flight))
            raise
        finally:
            client.unsubscribe_topic(job.topic)

    def _send(self, job: Job, task: _Task) -> Future[Outcome]:
        future = self._order.client.submit(
            run_task,
            job,
            task.stretches,
            task.shards,
            key=(self._order.graph.label, job.topic, task.partition),
            retries=TASK_RETRIES,
            pure=False,
        )
        self._in_flight.add(future)
        self._partitions[future.key] = task.partition
        return future

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        from distributed import CancelledError, KilledWorker

        self._in_flight.discard(future)
        if self._cancelled.is_set():
            raise RunCancelled(f"cancelled; {self.results} keeps what is done and resumes")
        partition = self._partitions[future.key]
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
        except Exception as error:
            raise RunFailed(
                f"partition {partition} failed {TASK_RETRIES + 1} times, last with "
                f"{type(error).__name__}: {error}; submit again to go on"
            ) from error
        finally:
            future.release()
        return outcome

    def _announce(self, shard: ShardDone) -> None:
        """Publish a finished shard once: its worker tells of it, and so does its task."""
        with self._announcing:
            if shard.shard in self._announced:
                return
            self._announced.add(shard.shard)
        self.events.publish(shard)


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
