"""`StagePlan`: the stages of a run's graph, compared with those that its store has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....graphs.block import MapBlock
from ....graphs.graph import Graph
from ....graphs.stages import Stage, needs
from ....storage.errors import ResultsMismatch
from ....storage.field import Field
from ....storage.messages.names import listed
from ....storage.store.encoding import new_chunk_bytes
from ....storage.store.manifest import differences
from ....storage.store.stages.record import StageRecord, Stages


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """The stages of a graph, in order."""

    graph: Graph
    first: Graph  # the blocks of the first pass, perhaps none
    later: tuple[Stage, ...]
    described: Mapping[str, Any]  # every block, by name

    @classmethod
    def of(
        cls,
        graph: Graph,
        described: Mapping[str, Any],
        known: Stages | None,
        fit: Callable[[Sequence[str]], bool] | None = None,
    ) -> StagePlan:
        """Plan the stages of a graph after those that a store has.

        Parameters
        ----------
        described : mapping
            See `Graph.describe`.
        known : Stages or None
            Stages of the store; None if it does not exist yet.
        fit : callable, optional
            See `stages_of`.
        """
        stages = graph.stages(known.blocks if known else (), fit)
        is_pass = bool(stages) and stages[0].reduction is None
        first = stages[0].blocks if is_pass else ()
        return cls(
            graph=graph,
            first=Graph(first),
            later=tuple(stages[1:] if is_pass else stages),
            described=described,
        )

    @property
    def later_fields(self) -> tuple[Field, ...]:
        """The fields of the later passes."""
        return tuple(
            field
            for stage in self.later
            for block in stage.blocks
            if isinstance(block, MapBlock)
            for field in block.fields
        )

    @property
    def first_described(self) -> dict[str, Any]:
        """The blocks of the first pass, as its facts have them."""
        return {block.name: self.described[block.name] for block in self.first}

    def require_same(self, url: str, known: Stages) -> None:
        """Raise `ResultsMismatch` unless the graph has every later stage of a store, unchanged."""
        for record in known:
            ours = {name: self.described.get(name) for name in record.blocks}
            missing = [name for name, block in ours.items() if block is None]
            if missing:
                raise ResultsMismatch(
                    f"{url} also has {listed(missing)}, which this graph lacks: add it to the "
                    f"graph, or `paninifs drop {url} {missing[0]}`"
                )
            differing = list(differences(record.blocks, ours))
            if differing:
                raise ResultsMismatch(
                    f"{url} has another {', '.join(record.blocks)}: {'; '.join(differing[:3])}. "
                    "Give the block another name= to add it beside (--add), or "
                    f"`paninifs drop {url} {record.name}`, or start over with --fresh (fresh=True)"
                )

    def record_of(
        self, stage: Stage, stages: Stages, digests: Mapping[str, str], shard_rows: int
    ) -> StageRecord:
        """Return what a later stage is computed from.

        Parameters
        ----------
        stages : Stages
            Stages of the store before it.
        digests : mapping
            Digests of the results of earlier reductions, by name.
        shard_rows : int
            Rows per shard of a new pass.
        """
        known = stages.get(stage.name)
        passes = {one.name: one for one in stages if not one.is_reduction and one is not known}
        if known is not None:
            number = known.number
            passes = {name: one for name, one in passes.items() if one.number < number}
        else:
            number = 1 + max((one.number for one in stages), default=0)
        taken = {name for block in stage.blocks for name in needs(block)}
        after = (
            tuple(passes)
            if stage.reduction is not None
            else tuple(
                name
                for name, one in passes.items()
                if taken & {array.name for field in one.fields for array in field.arrays}
            )
        )
        fields = () if stage.reduction else Graph(stage.blocks).fields
        return StageRecord(
            name=stage.name,
            number=number,
            blocks={block.name: self.described[block.name] for block in stage.blocks},
            fields=fields,
            after=after,
            results={name: digests[name] for name in sorted(taken & digests.keys())},
            shard_rows=0 if stage.reduction else known.shard_rows if known else shard_rows,
            chunk_bytes=known.chunk_bytes if known else new_chunk_bytes(fields),
        )

    def fields_before(self, name: str) -> Iterator[Field]:
        """Yield the fields of the blocks before a block in the graph."""
        for block in self.graph:
            if block.name == name:
                return
            if isinstance(block, MapBlock):
                yield from block.fields
