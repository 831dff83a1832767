"""`Stopping`: why a run was stopped, and the end of what it has on the cluster.

What is to run is sent by `dispatch` and `stages`; what stops a run is in `failures`, or the user.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ....storage.errors import PaniniError, RunFailed
from .active import CLOSED, is_closed

if TYPE_CHECKING:
    from distributed import Client, Future


class Stopping:
    """Why a run was stopped, if it was.

    Attributes
    ----------
    reason : PaniniError or None
        Why the run was stopped.
    in_flight : set of Future
        Tasks that are cancelled if the run is stopped.

    Parameters
    ----------
    others : callable
        Returns further futures that are cancelled.
    """

    def __init__(self, client: Client, others: Callable[[], Iterable[Future[Any]]]) -> None:
        self._client, self._others = client, others
        self.reason: PaniniError | None = None
        self.in_flight: set[Future[Any]] = set()
        self._held: Sequence[Future[Any]] = ()  # of a reduction
        self._cancelling: threading.Thread | None = None

    def require_going(self) -> None:
        """Raise the reason if the run was stopped."""
        if self.reason is not None:
            raise self.reason

    def hold(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel these futures too if the run is stopped, instead of those given before."""
        self._held = futures
        self.require_going()

    def stop(self, reason: PaniniError) -> None:
        """Cancel what is in flight; `reason` is raised where the run waits for it."""
        if self.reason is not None:
            return
        self.reason = reason
        # In another thread: a listener that cancels holds the lock of the event stream, for which
        # the client's loop may be waiting; or the listener is called on that loop itself.
        futures = [*self._others(), *self.in_flight, *self._held]
        self._cancelling = threading.Thread(target=self._cancel, args=[futures], daemon=True)
        self._cancelling.start()

    def _cancel(self, futures: list[Future[Any]]) -> None:
        with suppress(Exception):  # the cluster may be closing, and the futures with it
            self._client.cancel(futures)

    def join(self, timeout: float) -> None:
        """Wait for a cancellation in progress."""
        if self._cancelling is not None:
            self._cancelling.join(timeout)

    def why_gone(self, when: str, error: BaseException) -> PaniniError:
        """Return why a task was lost; dask's error is its cause unless this process is why."""
        if self.reason is not None:
            return self.reason
        if is_closed(self._client):
            return RunFailed(CLOSED)
        gone = RunFailed(
            f"the cluster went away {when}; start a cluster if need be, and submit again to resume"
        )
        gone.__cause__ = error
        return gone
