"""Fusion of the default graph's blocks into one, which a backend computes in one pass.

The fused block computes the same fields, bit for bit. Fusion changes how a graph runs, not what it
is, so fused blocks do not appear in fingerprints or stores.
"""

from __future__ import annotations

from .block import TEXT, MapBlock
from .graph import Graph

NAME = "default_graph"
"""Name of the fused block, and of the backend's function that computes it."""

_FUSED = ("digest", "dhatu", "prime_base", "ambiguity")


def fuse(graph: Graph) -> Graph:
    """Return a graph that computes the same fields, with the default graph's blocks fused.

    A graph that lacks one of these blocks is returned unchanged; users' blocks are not fused.

    Examples
    --------
    >>> from .graph import default_graph
    >>> [block.name for block in fuse(default_graph()).blocks]
    ['default_graph']
    """
    built_in = {block.name: block for block in graph.blocks if block.function is None}
    if not built_in.keys() >= set(_FUSED):
        return graph
    parts = [built_in[name] for name in _FUSED]
    _, dhatu, prime_base, ambiguity = parts
    if prime_base.params != ambiguity.params:
        return graph
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
