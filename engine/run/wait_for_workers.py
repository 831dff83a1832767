"""`Preparation`: prepares a backend on every worker while the client counts the corpus.

The task that a worker runs for it is in `worker.readiness`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...storage.errors import PaniniError, RunFailed
from ..worker.readiness import Readiness, readiness
from .killed import describe_death

if TYPE_CHECKING:
    from distributed import Client, Future


class Preparation:
    """Prepares a backend on a cluster's workers, in the background.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    """

    def __init__(self, client: Client, priority: int) -> None:
        self._client, self._priority = client, priority
        self.futures: list[Future[Readiness]] = []

    def begin(self, backend: str) -> None:
        """Start preparing a backend on every worker, unless already started."""
        if self.futures:
            return
        # One task per worker; dask spreads them. A task restricted to a worker would wait forever
        # if that worker is gone.
        for _ in range(max(1, len(self._client.nthreads()))):
            # The task is short, and a run should not wait for it behind all tasks of other runs.
            first = self._priority + 1
            future = self._client.submit(readiness, backend, pure=False, priority=first)
            self.futures.append(future)

    def first_ready(self) -> Readiness:
        """Wait for the first worker that is ready; return what it reports.

        Raises
        ------
        PaniniError
            No worker can use the backend.
        distributed.CancelledError
            The run was stopped, or the cluster is gone.
        """
        from distributed import KilledWorker, as_completed

        problem: PaniniError | None = None
        try:
            for future in as_completed(self.futures, loop=self._client.loop):
                answer: Readiness = future.result()
                if answer.problem is None:
                    return answer
                problem = problem or answer.problem
        except KilledWorker as error:
            raise RunFailed(
                f"{describe_death(self._client, error)} while preparing the backend; nothing was "
                "computed"
            ) from error
        assert problem is not None  # at least one worker was asked
        raise problem

    def release(self) -> None:
        """Release the workers' answers."""
        for future in self.futures:
            future.release()
