"""`stages_of`: cuts a graph into stages.

A stage is a pass of map-blocks over the shards, or one reduction. Planning is pure: nothing is
computed or read. `storage.store.stages` knows which stages a store already has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .block import MapBlock
from .reductions.reduce_block import ReduceBlock


@dataclass(frozen=True)
class Stage:
    """Map-blocks that are computed in one pass over the shards, or one reduction."""

    blocks: tuple[MapBlock | ReduceBlock, ...]

    @property
    def name(self) -> str:
        """The name of the reduction, or of the first field: unique in a graph."""
        first = self.blocks[0]
        return first.name if isinstance(first, ReduceBlock) else first.fields[0].name

    @property
    def reduction(self) -> ReduceBlock | None:
        """The reduction; None for a pass of map-blocks."""
        first = self.blocks[0]
        return first if isinstance(first, ReduceBlock) else None


def stages_of(
    blocks: Iterable[MapBlock | ReduceBlock],
    known: Sequence[Sequence[str]] = (),
    fit: Callable[[Sequence[str]], bool] | None = None,
) -> list[Stage]:
    """Return the stages of a graph, in the order in which they are computed.

    A map-block is computed in the first pass for which all its inputs are available. A reduction
    comes after every earlier block of the graph.

    Parameters
    ----------
    blocks : iterable of MapBlock or ReduceBlock
        In the order of the graph.
    known : sequence of sequence of str
        The names of the blocks of each stage that a store has. These stages stay as they are, and
        others follow.
    fit : callable, optional
        Whether what the blocks of these names make by their ``setup`` fits into a worker's memory
        together; by default, it always does. The others are computed in different passes.

    Examples
    --------
    >>> from .reductions.reduce_block import reduce_block
    >>> from .map_block import map_block
    >>> from ..storage.field import Field
    >>> n = map_block(lambda text: ..., fields=[Field("n", "int32")], name="n")
    >>> mean = reduce_block(lambda results: ..., name="mean")
    >>> d = map_block(lambda n, mean: ..., fields=[Field("d", "float32")], name="d")
    >>> m = map_block(lambda text: ..., fields=[Field("m", "int32")], name="m")
    >>> [[block.name for block in stage.blocks] for stage in stages_of([n, mean, d, m])]
    [['n', 'm'], ['mean'], ['d']]
    >>> [[block.name for block in stage.blocks] for stage in stages_of([n, m], [["n"]])]
    [['n'], ['m']]
    >>> a = map_block(lambda text, x: ..., fields=n.fields, name="a", setup={"x": dict})
    >>> b = map_block(lambda text, x: ..., fields=d.fields, name="b", setup={"x": dict})
    >>> alone = lambda names: len(names) == 1
    >>> [[block.name for block in stage.blocks] for stage in stages_of([a, m, b], fit=alone)]
    [['a', 'm'], ['b']]
    """
    number_of = {name: number for number, names in enumerate(known) for name in names}
    stages: list[list[MapBlock | ReduceBlock]] = [[] for _ in known]
    made: dict[str, int] = {}  # number of the stage that makes a field or a reduction
    for block in blocks:
        if isinstance(block, ReduceBlock):
            number = number_of.get(block.name, len(stages))
            made[block.name] = number
        else:
            number = number_of.get(block.name, _pass_for(block, stages, made, len(known), fit))
            made.update((field.name, number) for field in block.fields)
        while len(stages) <= number:
            stages.append([])
        stages[number].append(block)
    return [Stage(tuple(stage)) for stage in stages if stage]


def _pass_for(
    block: MapBlock,
    stages: Sequence[Sequence[MapBlock | ReduceBlock]],
    made: dict[str, int],
    known: int,
    fit: Callable[[Sequence[str]], bool] | None,
) -> int:
    """Return the number of the first pass that a map-block can be part of, perhaps a new one."""
    earliest = known
    for name in needs(block):
        if name in made:
            number = made[name]
            is_pass = bool(stages[number]) and isinstance(stages[number][0], MapBlock)
            earliest = max(earliest, number if is_pass and number >= known else number + 1)
    for number in range(earliest, len(stages)):
        if stages[number] and isinstance(stages[number][0], MapBlock):
            beside = [one.name for one in stages[number] if isinstance(one, MapBlock) and one.setup]
            if not block.setup or fit is None or fit([*beside, block.name]):
                return number
    return len(stages)


def needs(block: MapBlock | ReduceBlock) -> tuple[str, ...]:
    """Return the names of what a block takes, its condition included."""
    if isinstance(block, MapBlock) and block.when:
        return tuple(dict.fromkeys([*block.inputs, block.when]))
    return block.inputs
