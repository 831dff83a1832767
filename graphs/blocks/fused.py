"""Which built-in blocks a backend computes in one pass over the bytes of the texts.

`graphs.fusion` makes one block of them; `Graph.explain` shows them in a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..block import MapBlock

NAME = "default_graph"
"""Name of the fused block, and of the backend's function that computes it."""

_FUSED = ("digest", "dhatu", "prime_base", "ambiguity")


def fused_parts(blocks: Iterable[Any]) -> tuple[MapBlock, ...]:
    """Return the blocks that are computed as one; none if one of them is missing.

    >>> from .digest import digest
    >>> fused_parts([digest()])
    ()
    """
    built_in = {
        block.name: block
        for block in blocks
        if isinstance(block, MapBlock) and block.function is None
    }
    if not built_in.keys() >= set(_FUSED):
        return ()
    parts = tuple(built_in[name] for name in _FUSED)
    _, _, prime_base, ambiguity = parts
    return parts if prime_base.params == ambiguity.params else ()
