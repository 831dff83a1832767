"""`Observed`: which of the values that a user's function refers to it changes while it runs.

A block's globals are copied to every worker, so a count that a block keeps in one of them is lost.
Only small and plain values are compared. Describing values for a fingerprint is in `functions`.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from .functions import outside_values, user_function_in

_PLAIN = (bool, int, float, complex, str, bytes)
_CONTAINERS = (dict, list, set, bytearray, deque)
_ITEMS = 1000
"""Most items of a container that are compared; of a larger one, only their number is."""
_ARRAY_BYTES = 1 << 24


class Observed:
    """The state of what a function, and the user's functions that it calls, refer to."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._before = dict(_states(function, set()))

    def changed(self) -> list[str]:
        """Return the names of values that differ from what they were at first.

        >>> counts = {}
        >>> def count(word):
        ...     counts[word] = counts.get(word, 0) + 1
        >>> count.__module__ = "__main__"  # as in a notebook
        >>> observed = Observed(count)
        >>> count("a")
        >>> observed.changed()
        ['counts']
        """
        after = dict(_states(self._function, set()))
        return [name for name, state in self._before.items() if after.get(name, state) != state]


def _states(function: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    own = user_function_in(function)
    if own is None or id(own) in seen:
        return
    seen.add(id(own))
    for name, value in outside_values(own).items():
        state = _state(value)
        if state is not None:
            yield name, state
        yield from _states(value, seen)


def _state(value: Any) -> Any:
    """Return what tells a value from a changed one; None for a value that is not compared."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject and value.nbytes <= _ARRAY_BYTES:
        return zlib.crc32(value.tobytes())
    if isinstance(value, _CONTAINERS):
        items = [*value, *value.values()] if isinstance(value, dict) else value
        small = len(value) <= _ITEMS and all(isinstance(item, _PLAIN) for item in items)
        return len(value), repr(value) if small else ""
    return None
