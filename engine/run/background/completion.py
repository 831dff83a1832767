"""`Completed`: futures as they complete, until the client is closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .active import is_closed

if TYPE_CHECKING:
    from distributed import Client, Future

_SECONDS = 0.1
"""Time between looks at whether the client was closed."""


class Completed:
    """Iterates over futures in the order in which they complete.

    `distributed.as_completed` waits forever if its client is closed: it learns of futures in the
    client's event loop, which ends then.

    Raises
    ------
    distributed.CancelledError
        The client was closed.
    """

    _options: Mapping[str, bool] = {}

    def __init__(self, client: Client, futures: Iterable[Future[Any]] = ()) -> None:
        from distributed import as_completed

        self._client = client
        self._found = as_completed(list(futures), loop=client.loop, **self._options)

    def add(self, future: Future[Any]) -> None:
        """Wait for another future too."""
        self._found.add(future)

    def __iter__(self) -> Iterator[Any]:
        from distributed import CancelledError

        while not self._found.is_empty():
            if self._found.has_ready():
                yield self._found.next()
                continue
            if is_closed(self._client):
                raise CancelledError("the client was closed")
            with self._found.thread_condition:
                self._found.thread_condition.wait(_SECONDS)


class Gathered(Completed):
    """Iterates over pairs of futures and their results, in the order in which they complete.

    Results are fetched from the workers as they are computed, several at a time, and not when the
    caller asks for them. That of a task that failed is ``(type, error, traceback)``, and that of a
    cancelled one an error.
    """

    _options: Mapping[str, bool] = {"with_results": True, "raise_errors": False}
