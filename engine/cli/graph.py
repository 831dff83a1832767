"""The command ``paninifs graph``: explain a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...storage.messages.names import listed
from ..rendering.terminal import plain
from .console import errors, out
from .graph_files.options import Added, chosen_graph

if TYPE_CHECKING:
    from ...graphs.graph import Graph

_TEXT_BYTES = 100


def graph(
    named: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE:NAME",
            help="A graph or a block of your own, such as my_blocks.py:graph or my_module:graph; "
            "by default the default graph.",
            show_default=False,
        ),
    ] = None,
    add: Added = None,
    svg: Annotated[
        str | None, typer.Option(metavar="OUT.svg", help="Also write a picture to this file.")
    ] = None,
) -> None:
    """Explain a graph: its stages, blocks and fields, what is fused, and known costs.

    Example: paninifs graph my_blocks.py:graph --svg graph.svg
    """
    with errors():
        chosen = chosen_graph(named, add)
        measured = _measured(chosen)
        explained = chosen.explain(seconds=measured)
        if svg is not None:
            explained.save(svg)
    out.print(plain(str(explained)))
    if named and (wanted := _columns(chosen)):
        names = plain(listed(wanted))
        out.print(f"\nno block here makes {names}; in a graph with one that does, it is its field")
    if measured:
        out.print(f"\nmeasured by paninifs bench: one core, texts of {_TEXT_BYTES} bytes")


def _columns(graph: Graph) -> list[str]:
    """Return the kept columns that a graph takes, which may be meant as fields of other blocks."""
    return [name for name in graph.inputs if name not in ("text", "id", "length")]


def _measured(graph: Graph) -> dict[str, float]:
    """Return the cost of the fused default graph, if this machine has been measured."""
    from ...graphs.blocks.fused import NAME, fused_parts
    from ...graphs.graph import default_graph
    from ..costs.this_machine import calibration_of
    from ..hardware.cpu import processor

    if fused_parts(graph.blocks) != default_graph().blocks:
        return {}  # nothing, or another inventory, which was not measured
    own = processor()
    found = calibration_of(own)
    return {} if found is None else {NAME: found.hashing[own.hashing].seconds(1, _TEXT_BYTES)}
