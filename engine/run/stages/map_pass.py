"""`MapPass`: the work of one pass of map-blocks over the shards of a store.

`run.dispatch` sends its tasks, and `worker.task` is what a task does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....graphs.graph import Graph
from ....storage.corpus.partition import MAX_SHARD_SECONDS
from ....storage.store.layout import VALID
from ....storage.store.leases.lease import LeaseTicket
from ....storage.store.lifecycle import OpenStore
from ....storage.store.shards import StoreLayout
from ...monitoring.events import BlocksSetUp, EventStream, Notice, Planned
from ...rendering.quantities import duration
from ...worker.graph_trial import FirstInputs, GraphTrial
from ...worker.shard_writer import shards_in_flight
from ...worker.task import Task, TaskContext
from ...worker.user_code import sources_of
from ...worker.values.compute_spec import ComputeSpec
from ...worker.values.inputs import needs_text
from ...worker.values.stored import StoredReductions, StoredValues
from ..dispatch import Dispatch
from ..spec import RunSpec
from ..tasks import joined_tasks, longest_first, tasks_left
from ..worker_memory import project
from .shard_news import ShardNews

MANY_DHATUS = 32
"""Number of dhātus from which on a run says that their CUDA kernel takes long to compile."""

COMPILE_SECONDS = 0.3
"""Approximate seconds of a core to compile one dhātu's part of a CUDA kernel: NVRTC 12.9 took 8
seconds for 32 dhātus, and 19 to 27 for 64."""


@dataclass(kw_only=True)
class MapPass:
    """One pass of a run.

    Parameters
    ----------
    graph : Graph
        The blocks of the pass.
    stored : StoredValues or None
        The values that a later pass takes from the store.
    reductions : StoredReductions or None
        The results of reductions that the blocks take.
    """

    spec: RunSpec
    graph: Graph
    dispatch: Dispatch
    events: EventStream
    news: ShardNews
    stored: StoredValues | None = None
    reductions: StoredReductions | None = None
    text_seconds: Mapping[str, float] | None = None  # by block, from the trial
    setup_bytes: int = 0  # from the trial

    def try_on(self, texts: FirstInputs | None) -> None:
        """Try the user's blocks on some texts.

        Raises
        ------
        BlockError, RunFailed
            See `Dispatch.try_graph`.
        """
        if texts is None or all(block.function is None for block in self.graph.maps):
            return  # the built-in blocks test themselves
        trial = GraphTrial.of(
            self.graph,
            self.spec.backend,
            texts,
            raise_on_error=self.spec.raise_on_error,
            reductions=self.reductions,
        )
        self.dispatch.prepare(self.spec.backend)
        result = self.dispatch.try_graph(trial)
        self.text_seconds, self.setup_bytes = result.text_seconds, result.setup_bytes
        if result.setup_seconds:
            self.events.publish(BlocksSetUp(result.setup_seconds))
        for note in result.notes:
            self.events.publish(Notice(note))

    def tasks(self, store: OpenStore) -> list[Task]:
        """Return the tasks that are left, and publish the plan.

        Raises
        ------
        RunFailed
            A worker does not have the memory that they need.
        """
        layout = store.layout
        measured = self.text_seconds or {}
        own = [block.name for block in self.graph.maps if block.function is not None]
        seconds = sum(measured.get(name, 0.0) for name in own)
        text_seconds = max(self.graph.text_seconds, seconds)
        left = list(tasks_left(store, text_seconds))
        self._warn_of_slow_blocks(layout)
        projection, tasks = None, left
        if left:
            self._warn_of_slow_compilation()
            self.dispatch.prepare(self.spec.backend)
            ready = self.dispatch.readiness()
            if ready.joined is not None and not text_seconds:
                left = joined_tasks(store, left, ready.joined, self.dispatch.threads)
            tasks = longest_first(left, store.index)
            reads = self.stored is None or needs_text(self.graph.inputs)
            stretches = [stretch for task in tasks for stretch in task.stretches if reads]
            projection = project(
                ready,
                store.index,
                layout,
                stretches,
                self.spec.corpus.opener,
                setup=self.setup_bytes,
            )
        at_risk = min(layout.rows, shards_in_flight(layout) * layout.shard_rows)
        self.events.publish(
            Planned(
                rows=layout.rows,
                shards=layout.shards,
                shard_rows=layout.shard_rows,
                partitions=len(tasks),
                rows_done=sum(marker.rows for marker in store.done.values()),
                shards_done=len(store.done),
                rows_at_risk=at_risk,
                seconds_at_risk=at_risk * self.graph.text_seconds,
                memory=projection,
            )
        )
        if projection:
            projection.require_fit()
        return tasks

    def run(self, store: OpenStore, tasks: Sequence[Task], ticket: LeaseTicket) -> None:
        """Compute the shards of the tasks.

        Raises
        ------
        PaniniError
            Not all tasks were done; the error says why.
        """
        if not tasks:
            return
        self.news.begin(store.layout)
        context = TaskContext(
            compute=self._compute_spec(store),
            target=self.spec.target,
            layout=store.layout,
            ticket=ticket,
            raise_on_error=self.spec.raise_on_error,
        )
        self.dispatch.run(context, store, tasks)

    def _compute_spec(self, store: OpenStore) -> ComputeSpec:
        index, stage = store.index, store.layout.stage
        return ComputeSpec(
            graph=self.graph,
            backend=self.spec.backend,
            columns=index.selection,
            id_column=index.id,
            keep=index.keep,
            fields=store.layout.fields,
            opener=self.spec.corpus.opener,
            stored=self.stored,
            reductions=self.reductions,
            valid=f"valid_{stage}" if stage else VALID.name,
            micro_batch=self.spec.micro_batch,
            failure_limit=self.spec.failure_limit,
            sources=sources_of(self.graph),
        )

    def _warn_of_slow_compilation(self) -> None:
        """Say why the first texts wait, if a CUDA kernel of many dhātus is to be compiled."""
        built_in = (block for block in self.graph.maps if block.function is None)
        most = max((len(block.params.get("dhatus", ())) for block in built_in), default=0)
        if self.spec.backend == "cuda" and most >= MANY_DHATUS:
            self.events.publish(
                Notice(
                    f"the CUDA kernel for {most} dhātus takes about "
                    f"{duration(most * COMPILE_SECONDS)} to compile; each worker's first texts "
                    "wait for it, unless CuPy's cache has it from an earlier run"
                )
            )

    def _warn_of_slow_blocks(self, layout: StoreLayout) -> None:
        """Advise `text_seconds` if a shard will take long with a block that does not declare it."""
        rows = min(layout.shard_rows, layout.rows)
        measured = self.text_seconds or {}
        slow = {
            block.name: measured.get(block.name, 0.0)
            for block in self.graph.maps
            if block.function is not None and not block.text_seconds
        }
        slowest = max(slow, key=lambda name: slow[name], default="")
        if not slowest or rows * slow[slowest] <= MAX_SHARD_SECONDS:
            return
        self.news.advised_seconds = True
        self.events.publish(
            Notice(
                f"block {slowest!r} takes about {duration(slow[slowest])} per text, so a shard of "
                f"{rows:,} texts takes {duration(rows * slow[slowest])}, and stopping loses as "
                f"much: shards are smaller with text_seconds={slow[slowest]:.2g} in its "
                "@pf.map_block, and fresh=True now"
            )
        )
