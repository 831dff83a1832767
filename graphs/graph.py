"""`Graph`: blocks, each after those that compute its inputs; and `default_graph`.

A graph is a declaration; `engine` runs it, stage by stage (`stages`). A map-block is declared in
`block`, a reduction in `reductions`; the built-in map-blocks are in `blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from ..storage.errors import GraphError
from ..storage.field import Field
from .block import ID, LENGTH, TEXT, MapBlock
from .blocks.ambiguity import ambiguity
from .blocks.dhatu import dhatu
from .blocks.digest import digest
from .blocks.fused import NAME as FUSED_NAME
from .blocks.fused import fused_parts
from .blocks.prime_base import prime_base
from .drawing.explanation import Explanation
from .drawing.html import kind_of, table
from .drawing.sketch import sketch_of
from .inventories import DHATUS, PRIMES
from .reductions.reduce_block import ReduceBlock
from .stages import Stage, needs, stages_of

_ALWAYS_THERE = ("id", "valid")
"""Arrays that every store has beside the computed ones."""

AnyBlock = MapBlock | ReduceBlock


@dataclass(frozen=True)
class Graph:
    """Blocks in order, also as ``block + block``. Add a block with ``graph + block``.

    An input that no earlier block makes is a column of the corpus, which `submit` looks for.

    Raises
    ------
    GraphError
        A block needs what a later block computes; or two blocks compute the same field, or fields
        along the same dimension with different lengths or labels.

    Examples
    --------
    >>> graph = default_graph()
    >>> [block.name for block in graph]
    ['digest', 'dhatu', 'prime_base', 'ambiguity']
    >>> len(graph), graph.row_bytes
    (4, 124)
    """

    blocks: tuple[AnyBlock, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _as_blocks(self.blocks))
        made_by = {name: block for block in reversed(self.blocks) for name, _ in _made(block)}
        known: dict[str, Field | ReduceBlock] = {}
        names: set[str] = set()
        for block in self.blocks:
            if block.name in names:
                raise GraphError(
                    f"two blocks are named {block.name!r}; give one of them another name="
                )
            names.add(block.name)
            _require_earlier(block, known, made_by)
            for name, made in _made(block):
                if name in known or name == TEXT:
                    raise GraphError(
                        f"block {block.name!r} computes {name!r}, which already exists"
                    )
                if name in _ALWAYS_THERE:
                    raise GraphError(
                        f"block {block.name!r} computes {name!r}, but the results always "
                        "have an array of that name; give the field another name"
                    )
                known[name] = made
        _require_one_meaning(self.maps)

    def __add__(self, other: Any) -> Graph:
        """Return the graph with a block, or another graph's blocks, appended."""
        if isinstance(other, AnyBlock):
            return Graph((*self.blocks, other))
        if isinstance(other, Graph):
            return Graph((*self.blocks, *other.blocks))
        if callable(other):
            name = getattr(other, "__name__", "the function")
            raise GraphError(f"{name} is not a block; decorate it with @pf.map_block(fields=[...])")
        return NotImplemented

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[AnyBlock]:
        return iter(self.blocks)

    def __repr__(self) -> str:
        return f"<Graph {' → '.join(block.name for block in self.blocks) or 'without blocks'}>"

    def _repr_html_(self) -> str:
        fields = f"<details><summary>fields</summary>{table(self.blocks)}</details>"
        return f"<div>{self.explain().svg}{fields}</div>" if self.blocks else table(())

    def explain(self, *, seconds: Mapping[str, float] | None = None) -> Explanation:
        """Draw the graph: its stages, blocks and fields, what is fused, and known costs.

        Parameters
        ----------
        seconds : mapping of str to float, optional
            Measured seconds per text, by the name of a block; ``default_graph`` stands for its
            blocks together. Otherwise the cost is what a block declares (`map_block`).

        Returns
        -------
        Explanation
            Plain text when printed, and a picture in a notebook; also as ``.svg``, and as a file
            with ``.save("graph.svg")``.

        Raises
        ------
        UsageError
            `seconds` names something that is not a block.

        Examples
        --------
        >>> print(Graph((digest(),)).explain())
        graph of 1 block in 1 stage: 1 field, 32 bytes per text
        <BLANKLINE>
        corpus  text
        <BLANKLINE>
        stage 1: pass over the shards
          digest  text  → digest  uint8[32]
        """
        return Explanation(
            sketch_of(
                self.stages(),
                columns=self.inputs,
                row_bytes=self.row_bytes,
                fused=[block.name for block in fused_parts(self.blocks)],
                fused_as=FUSED_NAME,
                seconds=seconds,
            )
        )

    @property
    def maps(self) -> tuple[MapBlock, ...]:
        """The map-blocks, without the reductions."""
        return tuple(block for block in self.blocks if isinstance(block, MapBlock))

    @property
    def reductions(self) -> tuple[ReduceBlock, ...]:
        """The reductions, without the map-blocks."""
        return tuple(block for block in self.blocks if isinstance(block, ReduceBlock))

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, in the order of the blocks."""
        return tuple(field for block in self.maps for field in block.fields)

    @property
    def arrays(self) -> tuple[Field, ...]:
        """The arrays of all fields: those of a nullable field are its values and its mask."""
        return tuple(array for field in self.fields for array in field.arrays)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the blocks take and no block of the graph makes, such as ``text``."""
        made = {name for block in self.blocks for name, _ in _made(block)}
        return tuple(
            dict.fromkeys(
                name for block in self.blocks for name in needs(block) if name not in made
            )
        )

    def only(self, names: Container[str]) -> Graph:
        """Return the graph of some blocks, by name. Results of the others become its inputs."""
        return Graph(tuple(block for block in self.blocks if block.name in names))

    def stages(
        self,
        known: Sequence[Sequence[str]] = (),
        fit: Callable[[Sequence[str]], bool] | None = None,
    ) -> list[Stage]:
        """Return the stages of the graph, in order; see `stages_of`."""
        return stages_of(self.blocks, known, fit)

    def require_columns(self, columns: Sequence[str]) -> None:
        """Raise `GraphError` unless every input comes from a block or from the corpus.

        Parameters
        ----------
        columns : sequence of str
            Names of the arrays of kept columns.
        """
        corpus = {TEXT, ID, LENGTH, *columns, *(f"{name}_valid" for name in columns)}
        known = set(corpus)
        for block in self.blocks:
            for name in needs(block):
                if name not in known:
                    raise GraphError(_unknown_input(block, name, known))
            known |= {name for name, _ in _made(block)}

    @property
    def row_bytes(self) -> int:
        """Stored bytes per text, before compression."""
        return sum(field.row_bytes for field in self.fields)

    @property
    def text_seconds(self) -> float:
        """Seconds per text of the blocks that declare ``text_seconds``."""
        return sum(block.text_seconds for block in self.maps)

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
        from .user_functions.portable import pickled  # a machine that only hashes lacks cloudpickle

        own = {block.name: block.function for block in self.blocks if block.function is not None}
        made = {f"{one.name}: {name}": f for one in self.maps for name, f in one.setup.items()}
        return pickled(self, own | made)


MapBlock._graph = ReduceBlock._graph = Graph


def _made(block: AnyBlock) -> list[tuple[str, Field | ReduceBlock]]:
    """Return what a block makes, each with its name."""
    if isinstance(block, ReduceBlock):
        return [(block.name, block)]
    return [(array.name, array) for field in block.fields for array in field.arrays]


def _require_earlier(
    block: AnyBlock, known: Mapping[str, Field | ReduceBlock], made_by: Mapping[str, AnyBlock]
) -> None:
    """Raise `GraphError` if a block takes a later result, or one that it cannot take."""
    for name in needs(block):
        if name not in known and name in made_by and name != TEXT:
            which = "itself" if made_by[name] is block else f"block {made_by[name].name!r} after it"
            raise GraphError(
                f"block {block.name!r} needs {name!r}, which {which} computes; change the order"
            )
        if isinstance(block, ReduceBlock) and not isinstance(known.get(name), ReduceBlock):
            raise GraphError(
                f"reduction {block.name!r} takes {name!r}, which is not an earlier reduction; "
                f"fields are arrays of its first parameter: results.{name}"
            )
    when = block.when if isinstance(block, MapBlock) else ""
    condition = known.get(when)
    if condition is not None and not (
        isinstance(condition, Field) and condition.dtype == "bool" and not condition.shape
    ):
        kind = f"is {kind_of(condition)}" if isinstance(condition, Field) else "is a reduction"
        raise GraphError(
            f"block {block.name!r}: when={when!r} must name a bool field with one value per "
            f"text, and {when!r} {kind}"
        )


def _as_blocks(given: Any) -> tuple[AnyBlock, ...]:
    blocks = tuple(given) if isinstance(given, Iterable) else (given,)
    odd = [one for one in blocks if not isinstance(one, AnyBlock)]
    if odd:
        raise GraphError(
            f"a graph consists of blocks, not of {odd[0]!r}; make a function a block with "
            "@map_block(fields=[...])"
        )
    return cast("tuple[AnyBlock, ...]", blocks)


def _unknown_input(block: AnyBlock, name: str, known: Iterable[str]) -> str:
    shown = sorted(one for one in known if not one.endswith("_valid"))
    message = f"block {block.name!r} needs {name!r}; available before it: {', '.join(shown)}"
    close = get_close_matches(name, known, n=1)
    hint = f". Did you mean {close[0]!r}?" if close else "."
    return (
        f"{message}{hint} If it is a column of the corpus, keep it: "
        f"open_corpus(..., keep=[{name!r}]); if it is a constant, give the parameter a default"
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
