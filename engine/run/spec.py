"""`RunSpec`: the complete specification of a run, checked before anything begins.

Only `plan_run` checks the caller's arguments and chooses the rows per shard, which needs no
cluster; `RunSpec.of` adds the cluster. `submit`, `rehearse` and the trial runs of a rehearsal all
use it. Executing the run is in `driver`.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ...graphs.block import MapBlock
from ...graphs.fingerprint.labels import keep_known_labels
from ...graphs.graph import Graph
from ...graphs.kernels import NUMERIC_VERSION
from ...graphs.kernels import require as require_backend
from ...graphs.reductions.reduce_block import ReduceBlock
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.partition import FEW_SHARDS, SHARDS_AIMED_AT, Sharding
from ...storage.corpus.tables.frame_source import FrameSource
from ...storage.corpus.tables.split_source import SplitSource
from ...storage.errors import GraphError, UsageError
from ...storage.rows import Column
from ...storage.store.duplicates import require_digest
from ...storage.store.encoding import new_chunk_bytes
from ...storage.store.extension import (
    Existing,
    in_known_order,
    in_known_terms,
    refuse_mismatch,
)
from ...storage.store.layout import stored_fields
from ...storage.store.manifest import Manifest, facts_of, read_manifest, with_files
from ...storage.store.mirror import refuse_other_mirror
from ...storage.store.shards import StoreLayout
from ...storage.store.stages.record import Stages
from ...storage.targets.open import open_target
from ...storage.targets.target import Target
from ..cluster.connect import backend_of
from ..cluster.usable_client import usable_client
from ..staged.identity import split_facts
from ..worker.failing_rows import FailureLimit
from ..worker.micro_batches.micro_batch import MicroBatch
from .frames.choice import frame_of_run
from .stages.plan import StagePlan

if TYPE_CHECKING:
    from distributed import Client

MAX_PRIORITY = 1_000_000
"""Largest priority, positive or negative: dask's scheduler receives it as 64 bits."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The part of a run's specification that needs no cluster."""

    graph: Graph
    stages: StagePlan
    corpus: Corpus  # its files in the order and under the names that the store knows
    frame: FrameSource | None  # whose partitions are the files, or will be once they are counted
    target: Target
    mirror: Target | None
    begun: Target  # the one of the two that has a manifest
    manifest: Manifest | None  # of the store (or else mirror) that the run resumes or extends
    facts: Mapping[str, Any]  # what identifies the results; see `facts_of`
    sharding: Sharding
    raise_on_error: bool
    max_failed_rows: int | None
    existing: Existing
    priority: int
    beside: str | os.PathLike[str]  # where the results are; what is staged is written beside them
    keep_staged: bool

    def over(self, corpus: Corpus) -> Self:
        """Return the plan of a run over a corpus, unless the store has results of another.

        Of a corpus that is yet to be staged, no more is compared than is known of it.

        Raises
        ------
        ResultsMismatch
            The store, or the mirror, was begun with another corpus, graph or version.
        """
        manifest = self.manifest
        if manifest is not None and corpus.source is None:
            corpus = in_known_order(corpus, manifest)
        facts = facts_of(corpus, self.stages.first_described, NUMERIC_VERSION)
        if manifest is not None and corpus.source is not None:
            facts = with_files(facts, manifest.facts["corpus"]["files"])
        elif manifest is not None:
            corpus, facts = in_known_terms(self.begun, manifest, corpus, facts)
        refuse_mismatch(self.target, facts, self.sharding.rows, self.existing)
        if self.mirror is not None and corpus.source is None:
            refuse_other_mirror(
                self.mirror,
                self.target,
                corpus=corpus,
                facts=facts,
                shard_rows=self.sharding.rows,
                existing=self.existing,
            )
        return replace(self, corpus=corpus, facts=facts)

    @property
    def targets(self) -> list[Target]:
        """The targets that the run writes to: the results first, then the mirror."""
        return [self.target] if self.mirror is None else [self.target, self.mirror]

    @property
    def failure_limit(self) -> FailureLimit:
        """How many texts of a shard are quarantined because a block failed for them."""
        if self.raise_on_error:
            return FailureLimit(at_least=0, share=0)
        if self.max_failed_rows is not None:
            return FailureLimit(at_least=self.max_failed_rows, share=0)
        return FailureLimit()

    def layout(self, index: CorpusIndex) -> StoreLayout:
        """Return the layout that the store will have for a corpus of this index."""
        fields = stored_fields(index.id, index.keep, self.stages.first.fields)
        row_bytes = sum(field.row_bytes for field in fields)
        if self.manifest is not None:
            shard_rows, chunk_bytes = self.manifest.shard_rows, self.manifest.chunk_bytes
        else:
            shard_rows = self.sharding.choose(index.rows, row_bytes)
            chunk_bytes = new_chunk_bytes(fields)
        return StoreLayout(fields, index.rows, shard_rows, "", chunk_bytes=chunk_bytes)


@dataclass(frozen=True, kw_only=True)
class RunSpec(RunPlan):
    """The specification of a run; made by `RunSpec.of`."""

    client: Client
    backend: str
    micro_batch: MicroBatch | None
    pickled: bytes  # the graph for workers: later changes of what it refers to do not count

    @classmethod
    def of(
        cls,
        graph: Graph | MapBlock | ReduceBlock,
        corpus: Corpus,
        results: str | os.PathLike[str] | Target,
        *,
        client: Client | None = None,
        backend: str | None = None,
        micro_batch: MicroBatch | None = None,
        **options: Any,
    ) -> RunSpec:
        """Check the caller's arguments, and choose defaults for the others. Nothing is written.

        Parameters and errors are those of `submit`.
        """
        if not isinstance(micro_batch, MicroBatch | None):
            raise UsageError(
                f"micro_batch must be a MicroBatch, such as MicroBatch(rows=1000), not "
                f"{micro_batch!r}"
            )
        plan = plan_run(graph, corpus, results, backend=backend, **options)
        client = usable_client(client)
        return cls(
            **vars(plan),
            client=client,
            backend=backend or backend_of(client),
            micro_batch=micro_batch,
            pickled=plan.graph.pickled(),
        )


def plan_run(
    graph: Graph | MapBlock | ReduceBlock,
    corpus: Corpus,
    results: str | os.PathLike[str] | Target,
    *,
    backend: str | None = None,
    shard_rows: int | None = None,
    on_error: str = "quarantine",
    max_failed_rows: int | None = None,
    fresh: bool = False,
    extend: bool = False,
    mirror: str | os.PathLike[str] | Target | None = None,
    priority: int = 0,
    storage_options: Mapping[str, Any] | None = None,
    keep_staged: bool = True,
    stage: bool | None = None,
) -> RunPlan:
    """Check the caller's arguments, and choose defaults for the others. Nothing is written.

    Parameters and errors are those of `submit`.
    """
    graph = Graph((graph,)) if isinstance(graph, MapBlock | ReduceBlock) else graph
    _require_usable(graph, corpus, shard_rows, on_error, backend)
    _require_priority(priority)
    _require_limit(max_failed_rows, on_error)
    if fresh and extend:
        raise UsageError("fresh discards what extend would keep; choose one of the two")
    if isinstance(corpus.source, SplitSource):
        split_facts(corpus.source.splitter)  # here, so that a function is refused at once
    if extend and corpus.source is not None:
        raise UsageError(
            f"{corpus.source!r} cannot extend a store, whose rows must stay where they are: submit "
            "files, of which some are new"
        )
    existing: Existing = "discard" if fresh else "extend" if extend else "resume"
    target = _opened(results, storage_options)
    mirror = None if mirror is None else _opened(mirror, storage_options)
    if mirror is not None and mirror.url == target.url:
        raise UsageError(f"mirror and results must be different targets; both are {target.url}")
    targets = [target] if mirror is None else [target, mirror]
    found = [(one, read_manifest(one)) for one in targets if not fresh]
    begun, manifest = next((pair for pair in found if pair[1]), (target, None))
    described = _described(graph)
    known = None
    if manifest is not None:
        known = Stages.read(begun, manifest)
        labelled = [manifest.facts["graph"], *(record.blocks for record in known)]
        described = keep_known_labels(described, ChainMap(*labelled))
    stages = StagePlan.of(graph, described, known)
    frame, corpus = frame_of_run(corpus, begun, manifest, stage)
    plan = RunPlan(
        graph=graph,
        stages=stages,
        corpus=corpus,
        frame=frame,
        target=target,
        mirror=mirror,
        begun=begun,
        manifest=manifest,
        facts={},
        sharding=Sharding(
            shard_rows,
            FEW_SHARDS if any(one.slow_to_create for one in targets) else SHARDS_AIMED_AT,
            stages.first.text_seconds,
        ),
        raise_on_error=on_error == "raise",
        max_failed_rows=max_failed_rows,
        existing=existing,
        priority=priority,
        beside=results if isinstance(results, str | os.PathLike) else target.url,
        keep_staged=keep_staged,
    )
    plan = plan.over(corpus)
    if known is not None:
        stages.require_same(begun.url, known)
    return plan


def _described(graph: Graph) -> dict[str, Any]:
    try:
        return graph.describe()
    except GraphError:
        graph.pickled()  # its error comes first: a version= does not help what cannot be sent
        raise


def _opened(
    where: str | os.PathLike[str] | Target, storage_options: Mapping[str, Any] | None
) -> Target:
    return open_target(where, storage_options) if isinstance(where, str | os.PathLike) else where


def _require_usable(
    graph: Graph, corpus: Any, shard_rows: int | None, on_error: str, backend: str | None
) -> None:
    """Raise `UsageError` for arguments that no run can use."""
    if not isinstance(graph, Graph) or not graph.blocks:
        raise UsageError(
            "submit needs a graph with blocks, such as default_graph() + your_block, or "
            "Graph([first_block, second_block])"
        )
    if not isinstance(corpus, Corpus):
        raise UsageError(
            "submit needs a corpus from open_corpus(...), such as open_corpus(texts=[...]) for "
            f"texts in memory, or a frame, not a {type(corpus).__name__}"
        )
    if on_error not in ("quarantine", "raise"):
        raise UsageError(f"on_error must be 'quarantine' or 'raise', not {on_error!r}")
    whole = shard_rows is None or isinstance(shard_rows, int)
    if not whole or (shard_rows is not None and (shard_rows < 1 or shard_rows & (shard_rows - 1))):
        raise UsageError(
            f"shard_rows must be a power of two, such as 512 or 4096, not {shard_rows!r}"
        )
    require_digest(corpus.cleaning, corpus.keep, graph.fields)
    # Here for the names alone: the kinds of the columns are found when the rows are counted.
    known = Column(corpus.id, "string") if corpus.id else None
    kept = [Column(name, "string") for name in corpus.keep]
    stored_fields(known, kept, graph.fields)
    graph.require_columns([column.array for column in kept])
    if backend is not None:
        require_backend(backend)


def _require_priority(priority: int) -> None:
    if not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise UsageError(
            f"priority must be a whole number from -{MAX_PRIORITY:,} to {MAX_PRIORITY:,}, "
            f"not {priority!r}"
        )


def _require_limit(max_failed_rows: int | None, on_error: str) -> None:
    if max_failed_rows is None:
        return
    if not isinstance(max_failed_rows, int) or max_failed_rows < 0:
        raise UsageError(
            f"max_failed_rows must be a whole number of at least 0, not {max_failed_rows!r}"
        )
    if on_error == "raise":
        raise UsageError("on_error='raise' ends at the first bad row: omit max_failed_rows")
