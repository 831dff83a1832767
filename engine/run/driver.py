"""What a run's thread does: index, plan, begin or resume the store, have it filled, finish.

How tasks get to workers is in `dispatch`, what a task does in `task`, what the user holds in `run`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...graphs.graph import Graph
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.partition import MAX_SHARD_SECONDS, Sharding
from ...storage.errors import RowsQuarantined, RunCancelled
from ...storage.store.history import Timeline
from ...storage.store.lease import LeaseTicket
from ...storage.store.lifecycle import (
    Existing,
    OpenStore,
    Summary,
    begin,
    discard,
    finish,
    read_summary,
)
from ...storage.store.mirror import restore
from ...storage.store.run_record import RunRecord
from ...storage.targets.target import Target
from ..monitoring.events import EventStream, Indexed, Notice, Planned, Restored, ShardDone
from ..monitoring.recorder import Recorder
from ..worker.compute import Recipe
from ..worker.micro_batch import MicroBatch
from ..worker.task import Job, shards_in_flight
from .dispatch import Dispatch
from .leases import Leases, give_up
from .memory_plan import project
from .mirroring import Mirroring
from .tasks import Task, longest_first, tasks_left

if TYPE_CHECKING:
    from distributed import Client


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
    priority: int


class Driver:
    """Does what an `Order` asks for, telling `events`; holds the leases while it does.

    What `recorder` has seen of it by its end goes into the store.
    """

    def __init__(
        self, order: Order, leases: Leases, events: EventStream, recorder: Recorder
    ) -> None:
        self._order, self._leases, self._events = order, leases, events
        self._recorder = recorder
        self._mirroring: Mirroring | None = None
        self._warned = False
        self._announcing = threading.Lock()
        self._announced: set[int] = set()
        self._dispatch = Dispatch(
            order.client, order.graph.label, self._announce, events.publish, order.priority
        )

    @property
    def topic(self) -> str:
        """What the run is called on its cluster."""
        return self._dispatch.topic

    def cancel(self) -> None:
        """Stop as soon as a task ends or is found cancelled."""
        self._dispatch.stop(
            RunCancelled(f"cancelled; {self._order.target.url} keeps what is done and resumes")
        )

    def work(self) -> Summary:
        """Do it, from first to last; return what the store holds."""
        try:
            return self._work()
        finally:
            self._dispatch.dismiss()
            give_up(self._leases)

    def _work(self) -> Summary:
        order = self._order
        if order.existing != "resume" or read_summary(order.target) is None:
            self._dispatch.prepare(order.backend)  # meanwhile the corpus is counted
        if order.existing == "discard":
            self._dispatch.ask()  # before what is there is discarded
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
        if order.raise_on_error and store.index.uncounted:
            unread = store.index.uncounted[0]
            raise RowsQuarantined(f"{unread.file.url}: {unread.problem} (on_error='raise')")
        tasks, layout = longest_first(list(tasks_left(store)), store.index), store.layout
        projection = None
        if tasks:
            self._dispatch.prepare(order.backend)
            ready = self._dispatch.ask()
            stretches = [stretch for task in tasks for stretch in task.stretches]
            projection = project(ready, store.index, layout, stretches, order.corpus.opener)
        at_risk = min(layout.rows, shards_in_flight(layout) * layout.shard_rows)
        self._events.publish(
            Planned(
                rows=layout.rows,
                shards=layout.shards,
                shard_rows=layout.shard_rows,
                partitions=len(tasks),
                rows_done=sum(marker.rows for marker in store.done.values()),
                shards_done=len(store.done),
                rows_at_risk=at_risk,
                seconds_at_risk=at_risk * order.graph.text_seconds,
                memory=projection,
            )
        )
        finished = read_summary(order.target)
        if not tasks and finished:
            return finished
        if projection:
            projection.require_fit()
            self._compute(store, tasks)
        return finish(store, self._ticket, self._told())

    def _told(self) -> tuple[RunRecord, Timeline] | None:
        """Return what the store is to remember of the run; if that fails, results are results."""
        try:
            return self._recorder.finished()
        except Exception as error:  # noqa: BLE001 (whatever the machine would not say of itself)
            self._events.publish(
                Notice(f"the store keeps no record of the run: {type(error).__name__}: {error}")
            )
            return None

    def _compute(self, store: OpenStore, tasks: Sequence[Task]) -> None:
        order, index = self._order, store.index
        recipe = Recipe(
            order.graph,
            order.backend,
            index.selection,
            index.id,
            index.keep,
            store.layout.fields,
            order.corpus.opener,
            order.micro_batch,
        )
        job = Job(recipe, order.target, store.layout, self._ticket, order.raise_on_error)
        self._dispatch.run(job, store, tasks)

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
