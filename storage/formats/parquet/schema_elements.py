"""The schema in a Parquet footer: a tree, flattened in depth-first order.

Its names come from outside, and are made unique and UTF-8 here. How columns are found in the Arrow
schema that pyarrow makes of it is in `schema`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...rows import Malformed
from .thrift import Binary, Wanted, number, unsigned

ELEMENT: Wanted = {1: None, 3: None, 4: None, 5: None}  # type, repetition, name, num_children
"""Fields of a SchemaElement that are read."""

_REQUIRED, _REPEATED = 0, 2


class Leaf(NamedTuple):
    """A column that holds values."""

    type: int  # of Parquet's physical types
    definition: int  # highest definition level
    repetition: int  # highest repetition level


@dataclass
class _Parent:
    """A group of the schema whose children are being read."""

    path: str
    left: int  # children to come
    definition: int = 0
    repetition: int = 0
    names: dict[str, int] = field(default_factory=dict)  # how often each was asked for


def read_schema(
    data: bytes, elements: Sequence[Mapping[int, Any]]
) -> tuple[list[Leaf], list[tuple[Binary, str]], frozenset[str]]:
    """Return the leaves of a schema, the names to be replaced, and those that are there twice."""
    parents = [_Parent("", 1)]
    leaves: list[Leaf] = []
    renamed: list[tuple[Binary, str]] = []
    doubled: set[str] = set()
    for element in elements:
        while parents and not parents[-1].left:
            parents.pop()
        if not parents:
            raise Malformed("its schema has more columns than it says")
        parent = parents[-1]
        parent.left -= 1
        at = element.get(4)
        raw = data[at.start : at.stop] if isinstance(at, Binary) else b""
        plain = raw.decode(errors="replace")
        name = _unused(plain, parent.names)
        if name != plain:
            doubled.add(parent.path + plain)
        if isinstance(at, Binary) and name.encode() != raw:
            renamed.append((at, name))
        repeated = number(element, 3) or _REQUIRED
        definition = parent.definition + (repeated != _REQUIRED)
        repetition = parent.repetition + (repeated == _REPEATED)
        children, type_ = number(element, 5) or 0, number(element, 1)
        if not children and type_ is not None:
            leaves.append(Leaf(type_, definition, repetition))
        elif len(parents) == 1:  # the root is on no level
            parents.append(_Parent("", children))
        else:
            parents.append(_Parent(f"{parent.path}{name}.", children, definition, repetition))
    if any(parent.left for parent in parents):
        raise Malformed("its schema has fewer columns than it says")
    return leaves, renamed, frozenset(doubled)


def _unused(name: str, taken: dict[str, int]) -> str:
    """Return a name that no neighbour has, and take it."""
    unused = name
    while unused in taken:
        unused = f"{name}_{taken[name]}"
        taken[name] += 1
    taken[unused] = 1
    return unused


def with_names(data: bytes, renamed: Sequence[tuple[Binary, str]]) -> bytes:
    """Return a footer with some of its names replaced."""
    pieces, done = [], 0
    for at, name in renamed:
        new = name.encode()
        pieces += [data[done : at.at], unsigned(len(new)), new]
        done = at.stop
    return b"".join([*pieces, data[done:]])
