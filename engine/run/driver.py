"""`Driver`: the work of a run's background thread, from counting the corpus to marking it complete.

The stages are carried out in `stages`, tasks are sent to workers by `dispatch`, what a task does is
in `worker.task`, and the handle that the user holds in `handle`.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cached_property

from ...graphs.graph import Graph
from ...storage.corpus.tables.frame_source import FrameSource
from ...storage.errors import BlockError, PaniniError, RowsQuarantined, RunCancelled
from ...storage.store.dataset import read_summary
from ...storage.store.history import RunRecord, Summary, Timeline
from ...storage.store.keys import DONE
from ...storage.store.leases.lease import LeaseTicket
from ...storage.store.lifecycle import OpenStore, begin
from ...storage.store.mirror import restore
from ...storage.store.shards import StoreLayout
from ...storage.store.stages.finishing import finish
from ...storage.store.stages.passes import is_done
from ...storage.store.stages.record import is_listed
from ..monitoring.events import EventStream, Indexed, Notice, Restored
from ..monitoring.recorder import Recorder
from ..worker.sent_graph import SentGraph
from ..worker.visibility import Visible
from .background_mirror import Mirroring
from .dispatch import Dispatch
from .frames.count_first import counted_first
from .frames.partitions import FramePartitions
from .frames.stage_first import remove_after, staged_first
from .spec import RunSpec
from .stages.first_inputs import of_corpus
from .stages.later import LaterStages
from .stages.map_pass import MapPass
from .stages.shard_news import ShardNews
from .stages.side_by_side import planned_by_memory
from .target_leases import Leases, release_all


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
        self._staged = False
        self._news = ShardNews(spec, events, stop=self._stop, mirror=self._mirror)
        visible = Visible.of(spec.corpus.files, spec.target, self._ticket)
        self._sent = SentGraph(spec.client, spec.graph, spec.pickled, visible)
        self._dispatch = Dispatch(
            spec.client,
            self._sent,
            announce=self._news.announce,
            publish=events.publish,
            priority=spec.priority,
        )

    @property
    def topic(self) -> str:
        """Name of the run on its cluster."""
        return self._dispatch.topic

    def cancel(self) -> None:
        """Stop the run as soon as a task ends or turns out to be cancelled."""
        self._dispatch.stopping.stop(
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

    def _stop(self, reason: PaniniError) -> None:
        self._dispatch.stopping.stop(reason)

    def _mirror(self, shard: int, layout: StoreLayout) -> None:
        if self._mirroring is not None:
            self._mirroring.begin(shard, layout)

    def _work(self) -> Summary:
        spec = self._spec
        if spec.existing != "resume" or read_summary(spec.target) is None:
            self._dispatch.prepare(spec.backend)  # in parallel with counting the corpus
        spec = self._spec = planned_by_memory(
            spec, self._dispatch, self._sent, self._events.publish
        )
        if spec.existing == "discard":
            self._dispatch.readiness()  # before anything is discarded
        if spec.frame is not None:
            spec = self._spec = self._partitioned(spec, spec.frame)
        elif spec.corpus.source is not None:
            spec = self._spec = staged_first(spec, self._dispatch, self._events.publish)
            self._staged = True
        if spec.mirror is not None and spec.existing != "discard":
            restored = restore(spec.mirror, spec.target, self._ticket)
            if restored:
                self._events.publish(Restored(restored, spec.mirror.url))
        self._try_first()
        store = begin(
            spec.target,
            spec.corpus,
            facts=spec.facts,
            computed=spec.stages.first.fields,
            later=spec.stages.later_fields,
            sharding=spec.sharding,
            ticket=self._ticket,
            existing=spec.existing,
        )
        notes = (*spec.corpus.notes, *store.index.notes)
        self._events.publish(Indexed(len(store.index.files), store.index.rows, notes))
        try:
            summary = self._filled(store)
        except BlockError:
            self._news.take_back(self._leases)
            raise
        if self._staged and not spec.keep_staged:
            remove_after(spec)
        return summary

    def _partitioned(self, spec: RunSpec, frame: FrameSource) -> RunSpec:
        """Return the specification over the partitions of a frame, which tasks get from dask."""
        partitions = FramePartitions(spec.client, frame, spec.priority)
        self._dispatch.partitions = partitions
        if spec.corpus.source is not None:
            return counted_first(spec, partitions, self._dispatch, self._events.publish)
        files = partitions.brought(spec.corpus.files)
        return replace(spec, corpus=replace(spec.corpus, files=files))

    @cached_property
    def _first(self) -> MapPass:
        """The first pass, over the corpus as it is once it is staged."""
        return MapPass(
            spec=self._spec,
            graph=self._spec.stages.first,
            dispatch=self._dispatch,
            events=self._events,
            news=self._news,
        )

    def _try_first(self) -> None:
        """Try the first pass's own blocks, unless the store has results of them."""
        spec = self._spec
        if spec.existing != "discard" and spec.target.sizes(DONE):
            return
        if any(block.function is not None for block in spec.stages.first.maps):
            self._first.try_on(of_corpus(spec.corpus, spec.stages.first))

    def _filled(self, store: OpenStore) -> Summary:
        """Compute what is missing in a store, and mirror it."""
        spec = self._spec
        if spec.mirror is None:
            return self._finished(store)
        with Mirroring(
            store, spec.mirror, self._leases, self._events, fresh=spec.existing == "discard"
        ) as self._mirroring:
            summary = self._finished(store)
            self._mirroring.finish()
        return summary

    @property
    def _ticket(self) -> LeaseTicket:
        return self._leases[0][1].ticket

    def _finished(self, store: OpenStore) -> Summary:
        """Carry out the stages that are left, and mark the store complete."""
        spec = self._spec
        if spec.raise_on_error and store.index.uncounted:
            unread = store.index.uncounted[0]
            raise RowsQuarantined(f"{unread.file.url}: {unread.problem} (on_error='raise')")
        tasks = self._first.tasks(store)
        finished = read_summary(spec.target)
        if not tasks and finished and self._has_all_stages(store):
            return finished
        self._first.run(store, tasks, self._ticket)
        if spec.stages.later:
            store = self._later.run(store)
        fields = spec.stages.first.fields, spec.stages.later_fields
        known = None if tasks else finished
        return finish(store, self._ticket, self._record(), fields, known)

    def _has_all_stages(self, store: OpenStore) -> bool:
        """Return whether readers of a store see every stage of the graph."""
        known = (store.stages.get(stage.name) for stage in self._spec.stages.later)
        return all(
            one is not None and is_listed(store.target, one) and is_done(store, one)
            for one in known
        )

    @property
    def _later(self) -> LaterStages:
        # The graph as it was submitted: later changes of what it refers to do not count.
        graph: Graph = pickle.loads(self._spec.pickled)  # noqa: S301 (it was pickled here)
        return LaterStages(
            self._spec,
            graph,
            dispatch=self._dispatch,
            events=self._events,
            news=self._news,
            ticket=lambda: self._ticket,
        )

    def _record(self) -> tuple[RunRecord, Timeline] | None:
        """Return the record that the store keeps of the run; the results do not depend on it."""
        try:
            return self._recorder.finished()
        except Exception as error:  # noqa: BLE001 (reading the machine's state may fail in any way)
            self._events.publish(
                Notice(f"the store keeps no record of the run: {type(error).__name__}: {error}")
            )
            return None
