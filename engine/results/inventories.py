"""`Inventories`: what a store's built-in blocks were made with, as its manifest has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inventories:
    """What built-in blocks were made with. Empty: the graph has no such block."""

    dhatus: tuple[str, ...] = ()  # of `dhatu`
    bases: tuple[int, ...] = ()  # of `prime_base`
    ambiguity: tuple[int, ...] = ()  # of `ambiguity`: a graph may give it primes of its own

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> Inventories:
        """Return those of a graph, each from its own block; see `Graph.describe`.

        A user's block, which has code, may be called as a built-in one is, and its parameters too.

        >>> own = {"code": "...", "params": {"primes": [13]}}
        >>> Inventories.of({"prime_base": {"params": {"primes": [2, 3]}}, "ambiguity": own})
        Inventories(dhatus=(), bases=(2, 3), ambiguity=())
        """
        built_in = {name: one["params"] for name, one in graph.items() if "code" not in one}

        def inventory(block: str, parameter: str) -> tuple[Any, ...]:
            return tuple(built_in[block][parameter]) if block in built_in else ()

        return cls(
            inventory("dhatu", "dhatus"),
            inventory("prime_base", "primes"),
            inventory("ambiguity", "primes"),
        )
