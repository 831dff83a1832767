"""`Dispatch`: sends batches of candidates to workers, a bounded number at a time.

Batches are sized by the time that they take: dask spends some ten milliseconds on each. A batch
whose worker dies, or does not answer, is tried again candidate by candidate while nothing else
runs, so that only the candidate at fault fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ...storage.errors import PaniniError, RunFailed
from ...storage.filesystems.redaction import presentable, scrubbed
from ..cluster.remote_call import answer, submit_call
from ..run.background.completion import Gathered
from ..run.background.stopping import Stopping
from ..run.failures.killed import describe_death
from ..worker.sent_graph import CannotLoad, SentGraph
from .evaluation import evaluate
from .proposers.proposer import Round
from .scores import BatchScores, Scored

if TYPE_CHECKING:
    from distributed import Client, Future

BATCH_SECONDS = 0.2
"""Seconds that a batch is to take, if enough candidates are in flight."""

FIRST_BATCH = 16
"""Maximum number of candidates per batch until it is known how long one takes."""

SHORT_SECONDS = 0.02
"""Seconds of a batch up to which dask's own work is most of it, so that batches are large."""

LONG_BATCHES, SHORT_BATCHES = 4, 2
"""Batches in flight per thread: of usual ones, and of short ones."""

ASK_SECONDS = 1.0
"""Seconds between questions to the scheduler for its workers."""

RETRIES = 3
"""Number of times that dask retries a batch after an error of its own."""


@dataclass(frozen=True)
class _Part:
    """Rows ``start`` to ``stop - 1`` of a round."""

    of: Round
    start: int
    stop: int

    @property
    def states(self) -> Any:
        return self.of.states[self.start : self.stop]


@dataclass(frozen=True)
class _Batch:
    """Parts of rounds that are scored by one task."""

    parts: Sequence[_Part]

    @property
    def count(self) -> int:
        return sum(part.stop - part.start for part in self.parts)

    @property
    def states(self) -> Any:
        return np.concatenate([part.states for part in self.parts])


class Dispatch:
    """The batches of a climb.

    Attributes
    ----------
    stopping : Stopping
        Why the climb was stopped.
    evaluated : int
        Number of candidates whose results have come.
    scored : dict of int to Scored
        Scores by round; the caller removes rounds that are retired.

    Parameters
    ----------
    sent : SentGraph
        The `Evaluator`.
    timeout : float
        Its own, for messages.
    ahead : int
        Number of candidates that are proposed at most before one is retired.
    batch : int, optional
        A fixed number of candidates per batch.
    topic : str
        Beginning of the tasks' keys.
    """

    def __init__(
        self,
        client: Client,
        sent: SentGraph,
        timeout: float,
        *,
        ahead: int,
        batch: int | None,
        topic: str,
    ) -> None:
        self._client, self._sent_evaluator, self._timeout = client, sent, timeout
        self._ahead, self._batch, self._topic = ahead, batch, topic
        self._waiting: deque[_Part] = deque()
        self._sent: dict[Any, _Batch] = {}
        self._suspects: deque[_Batch] = deque()
        self._numbers = count()
        self._seconds: float | None = None  # per candidate
        self._calls: float | None = None  # seconds per batch
        self._compared = batch is not None
        self._asked, self._known_threads = float("-inf"), 1
        self._alone = False  # whether candidates are tried one by one
        self.stopping = Stopping(client, lambda: ())
        self.evaluated = 0
        self.scored: dict[int, Scored] = {}
        self._completed = Gathered(client)

    def add(self, rounds: Iterable[Round]) -> None:
        """Score further rounds."""
        for one in rounds:
            self.scored[one.number] = Scored(len(one.states))
            self._waiting.append(_Part(one, 0, len(one.states)))
        self._send_waiting()

    def wait(self) -> None:
        """Wait until a batch is scored.

        Raises
        ------
        PaniniError
            The climb was stopped, or cannot go on.
        """
        if not self._sent and self._suspects:
            self._try_alone(self._suspects.popleft())
        else:
            self._receive(*next(iter(self._completed)))
        self._send_waiting()

    def cancel(self) -> None:
        """Cancel what is in flight."""
        self._client.cancel(list(self.stopping.in_flight))

    # --- sending ----------------------------------------------------------------------------------

    def _send_waiting(self) -> None:
        if self._suspects:  # they are tried while nothing else runs
            return
        size, most = self._size(), self._most_in_flight()
        while self._waiting and len(self._sent) < most:
            self._send(_Batch(list(self._taken(size))))

    def _taken(self, size: int) -> Iterator[_Part]:
        """Take candidates that wait, in order, up to a number."""
        while self._waiting and size:
            part = self._waiting.popleft()
            stop = min(part.stop, part.start + size)
            yield _Part(part.of, part.start, stop)
            size -= stop - part.start
            if stop < part.stop:
                self._waiting.appendleft(_Part(part.of, stop, part.stop))
            if self._batch is not None:  # batches are the same in every climb
                return

    def _size(self) -> int:
        """Return the number of candidates of the next batches."""
        if self._batch is not None:
            return self._batch
        fitting = max(1, self._ahead // self._most_in_flight())
        if self._seconds is None:
            return min(fitting, FIRST_BATCH)
        return max(1, min(fitting, round(BATCH_SECONDS / max(self._seconds, 1e-9))))

    def _most_in_flight(self) -> int:
        short = self._calls is not None and self._calls < SHORT_SECONDS
        return self._threads * (SHORT_BATCHES if short else LONG_BATCHES)

    @property
    def _threads(self) -> int:
        """Threads of all workers, asked for now and then: workers come and go."""
        now = time.monotonic()
        if now - self._asked >= ASK_SECONDS:
            self._asked, known = now, self._client.nthreads()
            self._known_threads = max(1, sum(known.values()))
        return self._known_threads

    def _send(self, batch: _Batch) -> None:
        compares = not self._compared and batch.count > 1
        self._compared |= compares
        future = submit_call(
            self._client,
            evaluate,
            self._sent_evaluator.send(),
            batch.states,
            compares,
            key=("climb", self._topic, next(self._numbers)),
            retries=RETRIES,
        )
        self.stopping.in_flight.add(future)
        self._sent[future.key] = batch
        self._completed.add(future)
        self.stopping.require_going()

    # --- receiving --------------------------------------------------------------------------------

    def _receive(self, future: Future[Any], reply: Any) -> None:
        from distributed import KilledWorker

        batch = self._sent.pop(future.key)
        try:
            scores = self._answer(future, reply)
        except KilledWorker as error:
            self._suspect(batch, describe_death(self._client, error))
            return
        except CannotLoad as error:
            if error.module is None or not self._sent_evaluator.include(error.module):
                raise
            self._send(batch)
            return
        if scores.unanswered:
            self._seconds = self._timeout / batch.count  # at least
            self._suspect(batch, f"no score within {self._timeout:,.0f} s")
            return
        self._fill(batch, scores)

    def _answer(self, future: Future[Any], reply: Any) -> BatchScores:
        from distributed import KilledWorker

        self.stopping.in_flight.discard(future)
        self.stopping.require_going()
        failed, status = future.status == "error", future.status
        future.release()
        if isinstance(reply, dict):
            found: BatchScores | PaniniError = answer(reply)
            if isinstance(found, PaniniError):
                raise found
            return found
        error = reply[1] if failed else reply
        if status != "error":
            gone = error if isinstance(error, BaseException) else RunFailed(f"a task was {status}")
            why = self.stopping.why_gone("during a climb", gone)
            raise why from why.__cause__
        if isinstance(error, PaniniError | KilledWorker):
            raise error
        raise RunFailed(
            f"a batch failed {RETRIES + 1} times, last with {type(error).__name__}: "
            f"{scrubbed(str(error))}; climb again to resume"
        ) from presentable(error)

    def _fill(self, batch: _Batch, scores: BatchScores) -> None:
        each = scores.seconds / max(1, batch.count)
        if not self._alone:
            self._seconds = _mean(self._seconds, each)
            self._calls = _mean(self._calls, scores.seconds)
        at = 0
        for part in batch.parts:
            rows = part.stop - part.start
            of_part = BatchScores(
                scores=scores.scores[at : at + rows],
                failures={
                    row - at: why for row, why in scores.failures.items() if at <= row < at + rows
                },
                seconds=each * rows,
                worker=scores.worker,
            )
            self.scored[part.of.number].fill(part.start, of_part, self.evaluated)
            self.evaluated += rows
            at += rows

    # --- candidates that end their worker ---------------------------------------------------------

    def _suspect(self, batch: _Batch, why: str) -> None:
        if batch.count == 1 and self._alone:
            failed = BatchScores(scores=np.full(1, np.nan), failures={0: why})
            self._fill(batch, failed)
        else:
            self._suspects.append(batch)

    def _try_alone(self, batch: _Batch) -> None:
        """Score a batch candidate by candidate, while nothing else runs."""
        self._alone = True
        try:
            for part in batch.parts:
                for row in range(part.start, part.stop):
                    self._send(_Batch([_Part(part.of, row, row + 1)]))
                    while self._sent:
                        self._receive(*next(iter(self._completed)))
        finally:
            self._alone = False


def _mean(known: float | None, new: float) -> float:
    """Return a mean in which the latest batches count most."""
    return new if known is None else 0.8 * known + 0.2 * new
