"""`Preparation`: prepares every worker for a run while the client counts the corpus.

The task that a worker runs for it is in `worker.readiness`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from ...storage.errors import PaniniError, RunFailed, UnfitWorker
from ..cluster.remote_call import answer, submit_call
from ..worker.readiness import Readiness, readiness
from ..worker.sent_graph import CannotLoad, SentGraph
from .killed import describe_death

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
        for worker in list(self._client.nthreads()) or [None]:
            future = submit_call(
                self._client,
                readiness,
                key,
                self._backend,
                key=f"readiness-{uuid.uuid4().hex}",
                # The task is short, and a run should not wait for it behind all of other runs.
                priority=self._priority + 1,
                # A preference: if the worker is gone, the task would wait for it forever.
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
            if module is None or not self._sent.include(module):
                raise found
            self.release()
            try:
                self._ask()
            except PaniniError as error:
                raise found from error

    def _first_answer(self) -> Readiness | PaniniError:
        """Return what the first ready worker reports, or else a problem."""
        from distributed import KilledWorker, as_completed

        problems: list[PaniniError] = []
        try:
            for future in as_completed(self.futures, loop=self._client.loop):
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
