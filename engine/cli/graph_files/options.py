"""The options ``--graph`` and ``--add``, and the graph that they choose.

Heavy imports are within functions: the help of a command needs none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ....graphs.graph import AnyBlock, Graph

OwnGraph = Annotated[
    str | None,
    typer.Option(
        metavar="FILE:NAME",
        help="Compute a graph of your own, such as my_blocks.py:graph or my_module:graph, instead "
        "of the default one.",
    ),
]
Added = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE:NAME", help="Add a block or a graph of your own to the graph; repeatable."
    ),
]


Embedded = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="Add the vectors of a sentence-embedding model: a name on the Hugging Face hub, a "
        "folder or a URL; repeatable. The field is named after the model.",
    ),
]


def chosen_graph(
    graph: str | None, add: Sequence[str] | None, embed: Sequence[str] | None = None
) -> Graph:
    """Return the graph that the options name; by default the default graph.

    Raises
    ------
    UsageError
        A file or a model cannot be loaded, or the blocks do not fit together.
    """
    from ....graphs.graph import default_graph

    base = () if graph is not None else default_graph().blocks
    found = _with_named(base, [*([graph] if graph is not None else []), *(add or ())])
    for model in embed or ():
        from ....graphs.embeddings.block_name import block_name
        from ....graphs.embeddings.embedding import embedding

        found += embedding(model, name=block_name(model))
    return found


def own_graph(names: Sequence[str]) -> Graph:
    """Return the graph of the blocks that each name, FILE:NAME, stands for.

    Raises
    ------
    UsageError
        A file cannot be loaded, or the blocks do not fit together.
    """
    return _with_named((), names)


def _with_named(base: Sequence[AnyBlock], names: Sequence[str]) -> Graph:
    from ....graphs.graph import Graph
    from .address import address_of
    from .loading import load, send_neighbours
    from .offered import blocks_named

    blocks = list(base)
    neighbours: list[ModuleType] = []
    for one in names:
        address = address_of(one)
        loaded = load(address)
        blocks += blocks_named(loaded.module, address.name, address.shown)
        neighbours += loaded.neighbours
    chosen = Graph(tuple(blocks))
    send_neighbours(chosen, neighbours)
    return chosen
