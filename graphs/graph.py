"""`Graph`: blocks, each after those that compute its inputs; and `default_graph`.

A graph is a declaration; `engine` runs it. One block is declared in `block`, the built-in ones are
in `blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from ..storage.errors import GraphError
from ..storage.field import Field
from .block import TEXT, MapBlock
from .blocks.ambiguity import ambiguity
from .blocks.dhatu import dhatu
from .blocks.digest import digest
from .blocks.prime_base import prime_base
from .html import table
from .inventories import DHATUS, PRIMES
from .user_functions.portable import pickled

_ALWAYS_THERE = ("id", "valid")
"""Arrays that every store has beside the computed ones."""


@dataclass(frozen=True)
class Graph:
    """Blocks in order, also as ``block + block``. Add a block with ``graph + block``.

    Raises
    ------
    GraphError
        A block needs a field that no earlier block computes; or two blocks compute the same field,
        or fields along the same dimension with different lengths or labels.

    Examples
    --------
    >>> graph = default_graph()
    >>> [block.name for block in graph]
    ['digest', 'dhatu', 'prime_base', 'ambiguity']
    >>> len(graph), graph.row_bytes
    (4, 124)
    """

    blocks: tuple[MapBlock, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _as_blocks(self.blocks))
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
                    raise GraphError(_unknown_input(block, name, known))
            for field in block.fields:
                if field.name in known:
                    raise GraphError(
                        f"block {block.name!r} computes {field.name!r}, which already exists"
                    )
                if field.name in _ALWAYS_THERE:
                    raise GraphError(
                        f"block {block.name!r} computes {field.name!r}, but the results always "
                        "have an array of that name; give the field another name"
                    )
                known.add(field.name)
        _require_one_meaning(self.blocks)

    def __add__(self, other: Any) -> Graph:
        """Return the graph with a block, or another graph's blocks, appended."""
        if isinstance(other, MapBlock):
            return Graph((*self.blocks, other))
        if isinstance(other, Graph):
            return Graph((*self.blocks, *other.blocks))
        if callable(other):
            name = getattr(other, "__name__", "the function")
            raise GraphError(f"{name} is not a block; decorate it with @pf.map_block(fields=[...])")
        return NotImplemented

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[MapBlock]:
        return iter(self.blocks)

    def __repr__(self) -> str:
        return f"<Graph {' → '.join(block.name for block in self.blocks) or 'without blocks'}>"

    def _repr_html_(self) -> str:
        return table(self.blocks)

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

    def pickled(self) -> bytes:
        """Return the graph as it is sent to workers.

        Raises
        ------
        GraphError
            A function, or a value that it refers to, cannot be sent; the message names it.
        """
        own = {block.name: block.function for block in self.blocks if block.function is not None}
        return pickled(self, own)


MapBlock._graph = Graph


def _as_blocks(given: Any) -> tuple[MapBlock, ...]:
    blocks = tuple(given) if isinstance(given, Iterable) else (given,)
    odd = [one for one in blocks if not isinstance(one, MapBlock)]
    if odd:
        raise GraphError(
            f"a graph consists of blocks, not of {odd[0]!r}; make a function a block with "
            "@map_block(fields=[...])"
        )
    return cast("tuple[MapBlock, ...]", blocks)


def _unknown_input(block: MapBlock, name: str, known: Iterable[str]) -> str:
    message = (
        f"block {block.name!r} needs {name!r}; available before it: {', '.join(sorted(known))}"
    )
    close = get_close_matches(name, known, n=1)
    if close:
        return f"{message}. Did you mean {close[0]!r}?"
    return (
        f"{message}. A parameter is named 'text' or after a field of an earlier block; columns of "
        "the corpus cannot be inputs yet, also if they are kept"
    )


def _require_one_meaning(blocks: Sequence[MapBlock]) -> None:
    """Raise `GraphError` if a dimension has two lengths or labels, or the name of a field."""
    first: dict[str, tuple[MapBlock, Field, int]] = {}
    labelled: dict[str, tuple[MapBlock, Field]] = {}
    for block in blocks:
        for field in block.fields:
            for dim, length in zip(field.dims or (), field.shape, strict=True):
                other, where, known = first.setdefault(dim, (block, field, length))
                if length != known:
                    raise GraphError(
                        f"dimension {dim!r} has length {known} in field {where.name!r} of block "
                        f"{other.name!r} and length {length} in field {field.name!r} of block "
                        f"{block.name!r}; give one of them another name in dims="
                    )
            for dim, labels in field.labels.items():
                other, where = labelled.setdefault(dim, (block, field))
                if tuple(labels) != tuple(where.labels[dim]):
                    raise GraphError(
                        f"dimension {dim!r} has other labels in field {where.name!r} of block "
                        f"{other.name!r} than in field {field.name!r} of block {block.name!r}; "
                        "give one of them another name in dims="
                    )
    computed = {field.name: block for block in blocks for field in block.fields}
    for dim, (block, field, _) in first.items():
        if dim in computed or dim in _ALWAYS_THERE:
            whose = f"a field of block {computed[dim].name!r}" if dim in computed else "an array"
            raise GraphError(
                f"a dimension of field {field.name!r} of block {block.name!r} has the name of "
                f"{whose}: {dim!r}; give it another name in dims="
            )


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
