"""`LaterStages`: carries out the stages of a run that follow the first pass over the shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ....graphs.block import LENGTH, TEXT, MapBlock
from ....graphs.graph import Graph
from ....graphs.stages import Stage
from ....storage.corpus.partition import Sharding
from ....storage.errors import BlockError
from ....storage.field import Field
from ....storage.store.layout import TEXT as TEXT_DIMENSION
from ....storage.store.layout import stored_fields
from ....storage.store.leases.lease import LeaseTicket
from ....storage.store.lifecycle import OpenStore
from ....storage.store.shards import Marker, done_shards
from ....storage.store.stages.lazy import Source, lazy_results, valid_rows
from ....storage.store.stages.passes import at_stage, begin_stage, unlisted_metadata
from ....storage.store.stages.record import StageRecord
from ....storage.store.stages.reductions import (
    has_all_objects,
    read_reduction,
    read_reduction_marker,
    write_reduction,
)
from ...monitoring.events import EventStream, StageBegun
from ...worker.values.stored import StoredReductions, StoredValues
from ..dispatch import Dispatch
from ..spec import RunSpec
from .first_inputs import of_store
from .growth import CHUNK_ROWS
from .map_pass import MapPass
from .reducing import Reducer
from .shard_news import ShardNews

if TYPE_CHECKING:
    import xarray as xr


class LaterStages:
    """The later stages of a run, one after the other.

    Parameters
    ----------
    graph : Graph
        The graph as it was when the run was submitted.
    """

    def __init__(
        self,
        spec: RunSpec,
        graph: Graph,
        *,
        dispatch: Dispatch,
        events: EventStream,
        news: ShardNews,
        ticket: Callable[[], LeaseTicket],
    ) -> None:
        self._spec, self._graph = spec, graph
        self._dispatch, self._events, self._news = dispatch, events, news
        self._ticket = ticket
        self._digests: dict[str, str] = {}  # of the results of reductions, by name

    def run(self, store: OpenStore) -> OpenStore:
        """Carry out every later stage; return the store with all of them.

        Parameters
        ----------
        store : OpenStore
            A store whose first pass is done.

        Raises
        ------
        PaniniError
            A stage was not finished.
        """
        stages = self._spec.stages.later
        for number, stage in enumerate(stages, 2):
            record = self._spec.stages.record_of(
                stage, store.stages, self._digests, self._shard_rows(store, stage)
            )
            here = at_stage(store, record)
            store = replace(store, stages=here.stages)
            self._events.publish(
                StageBegun(
                    name=stage.name,
                    number=number,
                    stages=1 + len(stages),
                    is_reduction=record.is_reduction,
                )
            )
            if record.is_reduction:
                self._reduce(here, record)
            else:
                self._pass_over(here, record)
        return store

    def _shard_rows(self, store: OpenStore, stage: Stage) -> int:
        """Return the rows per shard of a new pass: those of the store, or fewer."""
        blocks = [block for block in stage.blocks if isinstance(block, MapBlock)]
        row_bytes = sum(field.row_bytes for block in blocks for field in block.fields)
        seconds = sum(block.text_seconds for block in blocks)
        own = Sharding(self._spec.sharding.rows, text_seconds=seconds)
        return min(store.manifest.shard_rows, own.choose(store.manifest.rows, row_bytes))

    # --- passes -----------------------------------------------------------------------------------

    def _pass_over(self, store: OpenStore, record: StageRecord) -> None:
        graph = self._graph.only(record.blocks)
        stored = self._stored(store, record, graph)
        reductions = self._reductions(record)
        one = MapPass(
            spec=self._spec,
            graph=graph,
            dispatch=self._dispatch,
            events=self._events,
            news=self._news,
            stored=stored,
            reductions=reductions,
        )
        if store.layout.shards and not store.done:
            one.try_on(of_store(stored, store.index, self._spec.corpus.opener, graph))
        begin_stage(store, record, self._ticket())
        one.run(store, one.tasks(store), self._ticket())

    def _reductions(self, record: StageRecord) -> StoredReductions | None:
        if not record.results:
            return None
        return StoredReductions(self._spec.target, record.results)

    def _stored(self, store: OpenStore, record: StageRecord, graph: Graph) -> StoredValues:
        """Return the values that the blocks of a pass take from the store."""
        index = store.index
        columns = frozenset(
            [*(column.array for column in index.keep), *(["id"] if index.id else [])]
        )
        taken = [name for name in graph.inputs if name not in (TEXT, LENGTH, *record.results)]
        return StoredValues(
            target=self._spec.target,
            names=tuple(taken),
            columns=columns,
            valid=store.stages.masks(record),
            has_ids=index.id is not None,
            unlisted=unlisted_metadata(self._spec.target, store.stages, record.after),
        )

    # --- reductions -------------------------------------------------------------------------------

    def _reduce(self, store: OpenStore, record: StageRecord) -> None:
        target, name = self._spec.target, record.name
        fingerprint = store.stages.fingerprint(record)
        marker = read_reduction_marker(target, name, fingerprint)
        if marker is None or not has_all_objects(target, name, marker):
            block = next(one for one in self._graph.reductions if one.name == name)
            if not store.layout.rows:
                raise BlockError(f"reduction {name!r} has no texts to reduce")
            self._dispatch.prepare(self._spec.backend)
            ready = self._dispatch.readiness().limit
            reducer = Reducer(
                self._spec.client,
                priority=self._spec.priority,
                worker_memory=ready,
                hold=self._dispatch.stopping.hold,
                stopped=lambda: self._dispatch.stopping.reason,
            )
            others = {one: read_reduction(target, one).value for one in block.inputs}
            with self._dispatch.watched():
                result = reducer.result(
                    block,
                    self._lazy(store, record),
                    lambda chunks: self._sample(store, record, chunks),
                    others,
                )
            begin_stage(store, record, self._ticket())
            marker = write_reduction(target, name, result, fingerprint)
        else:
            begin_stage(store, record, self._ticket())
        self._digests[name] = marker.digest

    def _source(self, store: OpenStore, record: StageRecord) -> Source:
        return Source(
            target=self._spec.target,
            unlisted=unlisted_metadata(self._spec.target, store.stages, record.after),
            masks=store.stages.masks(record),
        )

    def _fields(self, store: OpenStore, record: StageRecord) -> list[Field]:
        """Return the arrays that a reduction receives: those of the blocks before it."""
        index = store.index
        before = list(self._spec.stages.fields_before(record.name))
        own = stored_fields(index.id, index.keep, [])
        return [
            *(one for one in own if one.name != "valid"),
            *(array for one in before for array in one.arrays),
        ]

    def _lazy(self, store: OpenStore, record: StageRecord) -> xr.Dataset:
        source = self._source(store, record)
        layout = store.layout
        quarantined = {shard: one.quarantined for shard, one in self._first(store).items()}
        failed = [self._failed_in(store, store.stages[name]) for name in record.after]
        counts = valid_rows(source, layout, quarantined, failed)
        return lazy_results(source, layout, self._fields(store, record), ["id"], counts)

    def _first(self, store: OpenStore) -> Mapping[int, Marker]:
        """Return the markers of the first pass."""
        return done_shards(self._spec.target, store.layout)

    def _failed_in(self, store: OpenStore, record: StageRecord) -> dict[int, int]:
        """Return how many rows a pass lacks, by shard of the first pass."""
        layout = store.stages.layout(record)
        lacking: dict[int, int] = {}
        for shard, marker in done_shards(self._spec.target, layout).items():
            start, _ = layout.bounds(shard)
            at = start // store.layout.shard_rows
            lacking[at] = lacking.get(at, 0) + marker.quarantined
        return lacking

    def _sample(self, store: OpenStore, record: StageRecord, chunks: int) -> xr.Dataset:
        """Return the first rows of a reduction's input, in small chunks."""
        lazy = self._lazy(store, record)
        rows = min(chunks * CHUNK_ROWS, lazy.sizes[TEXT_DIMENSION])
        from dask import base

        first = lazy.isel({TEXT_DIMENSION: slice(0, rows)})
        (loaded,) = base.compute(first, scheduler="synchronous")
        dataset: Any = loaded
        return dataset.chunk({TEXT_DIMENSION: CHUNK_ROWS})  # type: ignore[no-any-return]
