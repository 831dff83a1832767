"""`blocks_named`: the blocks that a name of a module stands for; and what the module offers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ....graphs.graph import AnyBlock, Graph
from ....storage.errors import UsageError
from ....storage.messages.names import did_you_mean, quoted
from .failing import failure_of

Blocks = tuple[AnyBlock, ...]

_MEANT = (
    "a graph, a block, a list of blocks, or a function without arguments that returns one of these"
)
_MOST_OFFERED = 20


def blocks_named(module: ModuleType, name: str, shown: str) -> Blocks:
    """Return the blocks that a name stands for.

    Parameters
    ----------
    shown : str
        What the user calls the module.

    Raises
    ------
    UsageError
        The name is missing or refers to something else, or the function that it names fails.
    """
    if not name:
        raise UsageError(f"{shown}: give the name of a graph or a block too. {_offers(module)}")
    if not hasattr(module, name):
        near = did_you_mean(name, [one for one in vars(module) if one[:1] != "_"])
        raise UsageError(f"{shown} has no {quoted(name)}{near or '.'} {_offers(module)}")
    value, what = getattr(module, name), f"{name!r} of {shown}"
    if not _is_blocks(value) and callable(value):
        value, what = _called(value, name, what), f"what {name}() of {shown} returns"
    found = _blocks(value)
    if found is None:
        raise UsageError(f"{what} is {_kind(value)}; it must be {_MEANT}")
    if not found:
        raise UsageError(f"{what} has no blocks")
    return found


def _called(function: Any, name: str, what: str) -> Any:
    if not _needs_nothing(function):
        raise UsageError(
            f"{what} is {_kind(function)} with arguments; it must be {_MEANT}. To make a block of "
            f"it, decorate it with @pf.map_block(fields=[...])"
        )
    try:
        return function()
    except Exception as error:  # noqa: BLE001 (a user's function may raise anything)
        raise failure_of(f"{name}() fails", error) from None


def _needs_nothing(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _blocks(value: Any) -> Blocks | None:
    """Return the blocks of a value; None if it is something else."""
    if isinstance(value, AnyBlock):
        return (value,)
    if isinstance(value, Graph):
        return value.blocks
    if not isinstance(value, list | tuple):
        return None
    parts = [_blocks(one) for one in value]
    if any(part is None for part in parts):
        return None
    return tuple(block for part in parts for block in part or ())


def _is_blocks(value: Any) -> bool:
    return _blocks(value) is not None


def _offers(module: ModuleType) -> str:
    offered = list(_offered(module))
    if not offered:
        return "It has no graph and no block: make a block with @pf.map_block(fields=[...])"
    more = len(offered) - _MOST_OFFERED
    rest = f", ... and {more:,} more" if more > 0 else ""
    return f"It has: {', '.join(offered[:_MOST_OFFERED])}{rest}"


def _offered(module: ModuleType) -> Iterator[str]:
    """Yield the graphs and blocks of a module, in its order."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if _blocks(value):
            yield f"{name} ({_kind(value)})"
        elif (
            inspect.isfunction(value)
            and value.__module__ == module.__name__
            and _needs_nothing(value)
        ):
            yield f"{name} (a function)"


def _kind(value: Any) -> str:
    if isinstance(value, Graph):
        return f"a graph of {len(value)} block{'' if len(value) == 1 else 's'}"
    if isinstance(value, AnyBlock):
        return "a block"
    if inspect.isfunction(value):
        return "a function"
    if isinstance(value, list | tuple):
        odd = next((one for one in value if not _is_blocks(one)), None)
        return "a list of blocks" if odd is None else f"a list with what is {_kind(odd)}"
    return f"of type {type(value).__name__}"
