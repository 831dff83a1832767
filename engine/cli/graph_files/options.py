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


def chosen_graph(graph: str | None, add: Sequence[str] | None) -> Graph:
    """Return the graph that the options name; by default the default graph.

    Raises
    ------
    UsageError
        A file cannot be loaded, or the blocks do not fit together.
    """
    from ....graphs.graph import default_graph

    base = () if graph is not None else default_graph().blocks
    return _with_named(base, [*([graph] if graph is not None else []), *(add or ())])


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
