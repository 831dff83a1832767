"""`put_each`: `Target.put_all` where objects cannot be written together, as in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

_WRITES = 4
"""Number of objects written at once: each is mostly waiting for an answer."""


def put_each(put: Callable[[str, bytes], None], steps: Iterable[Mapping[str, bytes]]) -> None:
    """Write objects by key, several at once; a step begins when the one before it is written.

    >>> written = {}
    >>> put_each(written.__setitem__, [{"a": b"1"}, {"b": b"2"}])
    >>> list(written)
    ['a', 'b']
    """
    with ThreadPoolExecutor(_WRITES, "paninifs-put") as pool:
        for step in steps:
            for _ in pool.map(put, step.keys(), step.values()):
                pass
