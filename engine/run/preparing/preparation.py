"""`Preparation`: prepares a run on every worker, and waits for the first that is ready."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from ....storage.errors import PaniniError, RunFailed, UnfitWorker
from ...cluster.remote_call import answer, submit_call
from ...worker.readiness import Readiness, readiness
from ...worker.sent_graph import CannotLoad, SentGraph
from ..background.completion import Completed
from ..failures.killed import describe_death

if TYPE_CHECKING:
    from distributed import Client, Future


class Preparation:
    """Prepares a graph and a backend on a cluster's workers, in the background.

    Parameters
    ----------
    sent : SentGraph
        The run's graph.
    priority : int
        Priority of the run's tasks.
    """

    def __init__(self, client: Client, sent: SentGraph, priority: int) -> None:
        self._client, self._sent, self._priority = client, sent, priority
        self._backend = ""
        self.futures: list[Future[dict[str, Any]]] = []

    def begin(self, backend: str) -> None:
        """Start preparing on every worker, unless already started."""
        if not self.futures:
            self._backend = backend
            self._ask()

    def _ask(self) -> None:
        key = self._sent.send()
        # Also once for any worker: if a named one is gone when its task arrives, dask does not give
        # the task to a worker that comes later, whatever `allow_other_workers` says.
        for worker in [*self._client.nthreads(), None]:
            future = submit_call(
                self._client,
                readiness,
                key,
                self._backend,
                key=f"readiness-{uuid.uuid4().hex}",
                # The task is short, and a run should not wait for it behind all of other runs.
                priority=self._priority + 1,
                workers=worker and [worker],
                allow_other_workers=worker is not None,
            )
            self.futures.append(future)

    def first_ready(self) -> Readiness:
        """Wait for the first worker that is ready; return what it reports.

        Workers that lack a module of the user's own get its code with the graph.

        Raises
        ------
        PaniniError
            No worker can take part.
        distributed.CancelledError
            The run was stopped, or the cluster is gone.
        """
        while True:
            found = self._first_answer()
            if isinstance(found, Readiness):
                return found
            if isinstance(found, UnfitWorker):
                self._sent.check_owner()
            module = found.module if isinstance(found, CannotLoad) else None
            try:
                included = module is not None and self._sent.include(module)
            except PaniniError as error:  # its code cannot be pickled
                raise found from error
            if not included:
                raise found
            self.release()
            self._ask()

    def _first_answer(self) -> Readiness | PaniniError:
        """Return what the first ready worker reports, or else a problem."""
        from distributed import KilledWorker

        problems: list[PaniniError] = []
        try:
            for future in Completed(self._client, self.futures):
                try:
                    ready: Readiness = answer(future.result())
                except UnfitWorker as error:
                    problems.append(error)
                    continue
                if ready.problem is None:
                    return ready
                problems.append(ready.problem)
        except KilledWorker as error:
            raise RunFailed(
                f"{describe_death(self._client, error)} while preparing the run; nothing was "
                "computed"
            ) from error
        lacking = (one for one in problems if isinstance(one, CannotLoad) and one.module)
        return next(lacking, problems[0])  # the code of a module can be sent

    def release(self) -> None:
        """Release the workers' answers."""
        for future in self.futures:
            future.release()
        self.futures = []
