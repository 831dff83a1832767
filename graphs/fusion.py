"""Fusion of the default graph's blocks into one, which a backend computes in one pass.

The fused block computes the same fields, bit for bit. Fusion changes how a graph runs, not what it
is, so fused blocks do not appear in fingerprints or stores.
"""

from __future__ import annotations

from .block import TEXT, MapBlock
from .blocks.fused import NAME, fused_parts
from .graph import Graph


def fuse(graph: Graph) -> Graph:
    """Return a graph that computes the same fields, with the default graph's blocks fused.

    A graph that lacks one of these blocks is returned unchanged; users' blocks are not fused.

    Examples
    --------
    >>> from .graph import default_graph
    >>> [block.name for block in fuse(default_graph()).blocks]
    ['default_graph']
    """
    parts = fused_parts(graph.blocks)
    if not parts:
        return graph
    _, dhatu, prime_base, _ = parts
    fused = MapBlock(
        name=NAME,
        inputs=(TEXT,),
        fields=tuple(field for part in parts for field in part.fields),
        params={**dhatu.params, **prime_base.params},
    )
    others = [block for block in graph.blocks if block not in parts]
    return Graph((fused, *others))


def is_default(graph: Graph) -> bool:
    """Return whether a graph is exactly the default graph, with any inventories.

    >>> from .graph import default_graph
    >>> is_default(default_graph(primes=[2, 3]))
    True
    """
    return [block.name for block in fuse(graph).blocks] == [NAME]
