"""`Graph`: blocks, each after those that compute its inputs; and `default_graph`.

A graph is a declaration; `engine` runs it. One block is declared in `block`, the built-in ones are
in `blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..storage.errors import GraphError
from ..storage.field import Field
from .block import TEXT, MapBlock
from .blocks.ambiguity import ambiguity
from .blocks.dhatu import dhatu
from .blocks.digest import digest
from .blocks.prime_base import prime_base
from .inventories import DHATUS, PRIMES


@dataclass(frozen=True)
class Graph:
    """Blocks in order. Add a block with ``graph + block``.

    Raises
    ------
    GraphError
        A block needs a field that no earlier block computes, or two blocks compute the same field.

    Examples
    --------
    >>> graph = default_graph()
    >>> [block.name for block in graph.blocks]
    ['digest', 'dhatu', 'prime_base', 'ambiguity']
    >>> graph.row_bytes
    124
    """

    blocks: tuple[MapBlock, ...] = ()

    def __post_init__(self) -> None:
        known = {TEXT}
        names: set[str] = set()
        for block in self.blocks:
            if block.name in names:
                raise GraphError(
                    f"two blocks are named {block.name!r}; give one of them another name="
                )
            names.add(block.name)
            for name in block.inputs:
                if name not in known:
                    raise GraphError(
                        f"block {block.name!r} needs {name!r}; available before it: "
                        f"{', '.join(sorted(known))}"
                    )
            for field in block.fields:
                if field.name in known:
                    raise GraphError(
                        f"block {block.name!r} computes {field.name!r}, which already exists"
                    )
                known.add(field.name)

    def __add__(self, other: MapBlock | Graph) -> Graph:
        """Return the graph with a block, or another graph's blocks, appended."""
        if isinstance(other, MapBlock):
            return Graph((*self.blocks, other))
        if isinstance(other, Graph):
            return Graph((*self.blocks, *other.blocks))
        return NotImplemented

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, in the order of the blocks."""
        return tuple(field for block in self.blocks for field in block.fields)

    @property
    def row_bytes(self) -> int:
        """Stored bytes per text, before compression."""
        return sum(field.row_bytes for field in self.fields)

    @property
    def text_seconds(self) -> float:
        """Seconds per text of the blocks that declare ``text_seconds``."""
        return sum(block.text_seconds for block in self.blocks)

    @property
    def label(self) -> str:
        """Name of the graph's tasks on the dashboard."""
        return "+".join(block.name for block in self.blocks)

    def describe(self) -> dict[str, Any]:
        """Return the graph's identity as JSON; see `MapBlock.describe`."""
        return {block.name: block.describe() for block in self.blocks}


def default_graph(*, dhatus: Sequence[str] = DHATUS, primes: Sequence[int] = PRIMES) -> Graph:
    """Return the graph digest → dhātu → prime base → ambiguity, over the given inventories.

    Raises
    ------
    GraphError
        An inventory is empty or has duplicates, or its variance could overflow float32.
    """
    weights = dhatu(dhatus)
    signatures = prime_base(len(dhatus), primes)
    return Graph((digest(), weights, signatures, ambiguity(primes)))
