"""`Driver`: the work of a run's background thread, from counting the corpus to marking it complete.

Sending tasks to workers is in `dispatch`, what a task does in `worker.task`, the handle that the
user holds in `handle`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from ...storage.corpus.front import first_texts
from ...storage.corpus.partition import MAX_SHARD_SECONDS
from ...storage.errors import BlockError, RowsQuarantined, RunCancelled
from ...storage.rows import ColumnSelection
from ...storage.store.dataset import read_summary
from ...storage.store.history import RunRecord, Summary, Timeline
from ...storage.store.keys import DONE
from ...storage.store.leases.lease import LeaseTicket
from ...storage.store.lifecycle import OpenStore, begin, finish
from ...storage.store.mirror import restore
from ...storage.store.shards import StoreLayout
from ..monitoring.events import (
    EventStream,
    Indexed,
    Notice,
    Planned,
    Restored,
    ShardDone,
    TextsComputed,
)
from ..monitoring.recorder import Recorder
from ..rendering.quantities import duration
from ..worker.compute import ComputeSpec
from ..worker.graph_trial import ROWS, GraphTrial
from ..worker.sent_graph import SentGraph
from ..worker.task import Task, TaskContext, shards_in_flight
from ..worker.user_code import sources_of
from ..worker.visibility import Visible
from .background_mirror import Mirroring
from .dispatch import Dispatch
from .failures.failing_shards import FailingShards
from .spec import RunSpec
from .target_leases import Leases, release_all
from .tasks import longest_first, tasks_left
from .worker_memory import project

MISREAD_SHARE = 0.01
"""Share of a shard's texts that are not UTF-8, from which the encoding may be another one."""


class Driver:
    """Executes a `RunSpec` and publishes `events`; holds the leases until it ends.

    At the end, the record of the run made by `recorder` is written to the store.
    """

    def __init__(
        self, spec: RunSpec, leases: Leases, events: EventStream, recorder: Recorder
    ) -> None:
        self._spec, self._leases, self._events = spec, leases, events
        self._recorder = recorder
        self._mirroring: Mirroring | None = None
        self._warned = False
        self._text_seconds: Mapping[str, float] = {}  # by block, from a trial
        self._warned_of_failed = self._warned_of_encoding = False
        self._failing = FailingShards(spec.failure_limit)
        self._announcing = threading.Lock()
        self._announced: set[int] = set()
        visible = Visible.of(spec.corpus.files, spec.target, self._ticket)
        self._dispatch = Dispatch(
            spec.client,
            SentGraph(spec.client, spec.graph, spec.pickled, visible),
            label=spec.graph.label,
            announce=self._announce,
            publish=events.publish,
            priority=spec.priority,
        )

    @property
    def topic(self) -> str:
        """Name of the run on its cluster."""
        return self._dispatch.topic

    def cancel(self) -> None:
        """Stop the run as soon as a task ends or turns out to be cancelled."""
        self._dispatch.stop(
            RunCancelled(
                f"cancelled; {self._spec.target.url} keeps the {self._recorder.rows_done:,} texts "
                "that are done; submit to resume"
            )
        )

    def work(self) -> Summary:
        """Execute the whole run; return the summary of the store."""
        try:
            return self._work()
        finally:
            try:
                self._dispatch.dismiss()
            finally:  # a run that has ended must not block its store
                release_all(self._leases)

    def abandon(self) -> None:
        """Release the leases of a run that does not stop. For a process that ends at once."""
        release_all(self._leases)

    def _work(self) -> Summary:
        spec = self._spec
        if spec.existing != "resume" or read_summary(spec.target) is None:
            self._dispatch.prepare(spec.backend)  # in parallel with counting the corpus
        if spec.existing == "discard":
            self._dispatch.readiness()  # before anything is discarded
        elif spec.mirror is not None:
            restored = restore(spec.mirror, spec.target, self._ticket)
            if restored:
                self._events.publish(Restored(restored, spec.mirror.url))
        self._try_graph()
        store = begin(
            spec.target,
            spec.corpus,
            facts=spec.facts,
            computed=spec.graph.fields,
            sharding=spec.sharding,
            ticket=self._ticket,
            existing=spec.existing,
        )
        notes = (*spec.corpus.notes, *store.index.notes)
        self._events.publish(Indexed(len(store.index.files), store.index.rows, notes))
        try:
            return self._filled(store)
        except BlockError:
            for target, lease in self._leases:  # what failed is not the texts' fault
                self._failing.take_back(target, lease.ticket)
            raise

    def _filled(self, store: OpenStore) -> Summary:
        """Compute the remaining shards of a store, and mirror them."""
        spec = self._spec
        if spec.mirror is None:
            return self._finished(store)
        with Mirroring(
            store, spec.mirror, self._leases, self._events, fresh=spec.existing == "discard"
        ) as self._mirroring:
            summary = self._finished(store)
            self._mirroring.finish()
        return summary

    def _try_graph(self) -> None:
        """Try the user's blocks on the first texts, unless the store has results of them."""
        spec = self._spec
        if all(block.function is None for block in spec.graph):
            return  # the built-in blocks test themselves
        if spec.existing != "discard" and spec.target.sizes(DONE):
            return
        corpus = spec.corpus
        selection = ColumnSelection(corpus.text, (), corpus.cleaning)
        texts = first_texts(corpus.files, corpus.storage_options, selection, ROWS)
        if texts is None:
            return
        trial = GraphTrial.of(spec.graph, spec.backend, texts, raise_on_error=spec.raise_on_error)
        result = self._dispatch.try_graph(trial)
        self._text_seconds = result.text_seconds
        for note in result.notes:
            self._events.publish(Notice(note))

    def _warn_of_slow_blocks(self, layout: StoreLayout) -> None:
        """Advise `text_seconds` if a shard will take long with a block that does not declare it."""
        rows = min(layout.shard_rows, layout.rows)
        slow = {
            block.name: self._text_seconds.get(block.name, 0.0)
            for block in self._spec.graph
            if block.function is not None and not block.text_seconds
        }
        slowest = max(slow, key=lambda name: slow[name], default="")
        if not slowest or rows * slow[slowest] <= MAX_SHARD_SECONDS:
            return
        self._warned = True
        self._events.publish(
            Notice(
                f"block {slowest!r} takes about {duration(slow[slowest])} per text, so a shard of "
                f"{rows:,} texts takes {duration(rows * slow[slowest])}, and stopping loses as "
                f"much: shards are smaller with text_seconds={slow[slowest]:.2g} in its "
                "@pf.map_block, and fresh=True now"
            )
        )

    @property
    def _ticket(self) -> LeaseTicket:
        return self._leases[0][1].ticket

    def _finished(self, store: OpenStore) -> Summary:
        """Compute the remaining shards of a store, and mark it complete."""
        spec = self._spec
        if spec.raise_on_error and store.index.uncounted:
            unread = store.index.uncounted[0]
            raise RowsQuarantined(f"{unread.file.url}: {unread.problem} (on_error='raise')")
        layout = store.layout
        own = [block.name for block in spec.graph if block.function is not None]
        measured = sum(self._text_seconds.get(name, 0.0) for name in own)
        left = list(tasks_left(store, max(spec.graph.text_seconds, measured)))
        tasks = longest_first(left, store.index)
        self._warn_of_slow_blocks(layout)
        projection = None
        if tasks:
            self._dispatch.prepare(spec.backend)
            ready = self._dispatch.readiness()
            stretches = [stretch for task in tasks for stretch in task.stretches]
            projection = project(ready, store.index, layout, stretches, spec.corpus.opener)
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
                seconds_at_risk=at_risk * spec.graph.text_seconds,
                memory=projection,
            )
        )
        finished = read_summary(spec.target)
        if not tasks and finished:
            return finished
        if projection:
            projection.require_fit()
            self._compute(store, tasks)
        return finish(store, self._ticket, self._record())

    def _record(self) -> tuple[RunRecord, Timeline] | None:
        """Return the record that the store keeps of the run; the results do not depend on it."""
        try:
            return self._recorder.finished()
        except Exception as error:  # noqa: BLE001 (reading the machine's state may fail in any way)
            self._events.publish(
                Notice(f"the store keeps no record of the run: {type(error).__name__}: {error}")
            )
            return None

    def _compute(self, store: OpenStore, tasks: Sequence[Task]) -> None:
        spec, index = self._spec, store.index
        compute = ComputeSpec(
            graph=spec.graph,
            backend=spec.backend,
            columns=index.selection,
            id_column=index.id,
            keep=index.keep,
            fields=store.layout.fields,
            opener=spec.corpus.opener,
            micro_batch=spec.micro_batch,
            failure_limit=spec.failure_limit,
            sources=sources_of(spec.graph),
        )
        context = TaskContext(
            compute=compute,
            target=spec.target,
            layout=store.layout,
            ticket=self._ticket,
            raise_on_error=spec.raise_on_error,
        )
        self._dispatch.run(context, store, tasks)

    def _announce(self, shard: ShardDone | TextsComputed) -> None:
        """Publish a finished shard once, although both its worker and its task report it.

        What a worker reported of its progress may arrive later than that.
        """
        with self._announcing:
            if shard.shard in self._announced:
                return
            if isinstance(shard, TextsComputed):
                self._events.publish(shard)
                return
            self._announced.add(shard.shard)
        self._events.publish(shard)
        self._warn_of_slow(shard)
        self._warn_of_failed(shard)
        if error := self._failing.add(shard):
            self._dispatch.stop(error)
        self._warn_of_encoding(shard)
        if self._mirroring is not None:
            self._mirroring.begin(shard.shard)

    def _warn_of_slow(self, shard: ShardDone) -> None:
        """Warn once, with a remedy, if a shard takes longer than `MAX_SHARD_SECONDS`."""
        spent = {name: s for name, s in shard.seconds.items() if name not in ("read", "write")}
        if self._warned or sum(spent.values()) <= MAX_SHARD_SECONDS:
            return
        self._warned = True
        slowest = max(spent, key=lambda name: spent[name])
        self._events.publish(
            Notice(
                f"a shard took {sum(spent.values()):.0f} s, most of it in {slowest!r}, and a stop "
                f"loses as much: give that block text_seconds={spent[slowest] / shard.rows:.2g}, "
                "or the next run fewer rows per shard (--shard-rows, shard_rows=)"
            )
        )

    def _warn_of_encoding(self, shard: ShardDone) -> None:
        """Say once, and early, that files seem to be in another encoding than UTF-8."""
        many = shard.undecodable >= max(1, MISREAD_SHARE * shard.rows)
        if not many or self._warned_of_encoding or not self._spec.corpus.may_need_encoding:
            return
        self._warned_of_encoding = True
        self._events.publish(
            Notice(
                f"{shard.undecodable:,} of {shard.rows:,} texts are not UTF-8 and quarantined. If "
                "the files have another encoding, such as cp1252 of Excel, give it (--encoding "
                "cp1252, encoding='cp1252'; 'auto' detects it), and start over (--fresh, "
                "fresh=True)"
            )
        )

    def _warn_of_failed(self, shard: ShardDone) -> None:
        """Say once, and early, that a block fails for some texts."""
        if shard.failed is None or self._warned_of_failed:
            return
        self._warned_of_failed = True
        self._events.publish(
            Notice(f"a block failed for a text, which is quarantined like others: {shard.failed}")
        )
