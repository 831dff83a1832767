"""`Inventories`: the dhātus and primes of a store's built-in blocks, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inventories:
    """The inventories of the built-in blocks; empty if the graph has no such block."""

    dhatus: tuple[str, ...] = ()  # of `dhatu`
    bases: tuple[int, ...] = ()  # of `prime_base`
    ambiguity: tuple[int, ...] = ()  # of `ambiguity`, which may have its own primes

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> Inventories:
        """Return the inventories of a graph as described by `Graph.describe`.

        A user's block, which has code, may have the name and parameters of a built-in one; it is
        ignored.

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
