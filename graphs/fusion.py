"""Fusing: the blocks of the default graph become one, which a backend does in one pass.

A fused block makes the same fields with the same bits; it is how a graph is run, never what it is,
so fingerprints and stores know nothing of it.
"""

from __future__ import annotations

from .block import TEXT, MapBlock
from .graph import Graph

NAME = "default_graph"
"""The backend's function for all of them."""


def fuse(graph: Graph) -> Graph:
    """Return a graph that makes the same fields, with the default blocks fused where all are there.

    Blocks of the user's own, and a default graph that lacks a block, stay as they are.

    Examples
    --------
    >>> from .graph import default_graph
    >>> [block.name for block in fuse(default_graph()).blocks]
    ['default_graph']
    """
    built_in = {block.name: block for block in graph.blocks if block.function is None}
    wanted = ("digest", "dhatu", "prime_base", "ambiguity")
    parts = [built_in[name] for name in wanted if name in built_in]
    if len(parts) < len(wanted) or parts[2].params != parts[3].params:
        return graph
    fused = MapBlock(
        NAME,
        (TEXT,),
        tuple(field for part in parts for field in part.fields),
        {**parts[1].params, **parts[2].params},
    )
    others = [block for block in graph.blocks if block not in parts]
    return Graph((fused, *others))


def is_default(graph: Graph) -> bool:
    """Whether a graph is the default one and nothing else, over whatever inventories.

    >>> from .graph import default_graph
    >>> is_default(default_graph(primes=[2, 3]))
    True
    """
    return [block.name for block in fuse(graph).blocks] == [NAME]
