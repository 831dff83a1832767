"""`Driver`: the work of a climb's background thread.

It keeps workers busy without a barrier: as soon as the oldest round is scored, it is retired, and
another one is proposed. What is written, and when, is decided here; how, in `history`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import BlockError, PaniniError, ResultsDamaged, RunCancelled
from ...storage.store.leases.lease import Lease, LeaseTicket
from ...storage.targets.target import Target
from ..cluster.location import remote_location
from ..costs.meter import Meter
from ..monitoring.climb_progress import ClimbProgress
from ..monitoring.events import Climbed, EventStream
from ..run.failures.watchdog import Watchdog
from ..worker.sent_graph import SentGraph
from .climb_dispatch import Dispatch
from .climb_spec import ClimbSpec
from .history.history import History, Resumed
from .proposers.proposer import NO_CANDIDATE
from .search import Search

COMMIT_SECONDS, SLOW_COMMIT_SECONDS = 5.0, 30.0
"""Seconds between writes of the history; where creating objects is slow, the larger one."""

FIRST_COMMIT_SECONDS = 0.5
"""Seconds until the first write of a session."""

HELD_BYTES = 8 << 20
"""Bytes of rows in memory from which the history is written."""

PUBLISH_SECONDS = 0.25
"""Seconds between reports of the progress."""


@dataclass(frozen=True)
class _Unseen:
    """What a worker must see for a climb: nothing, as only the client writes."""

    target: Target
    ticket: LeaseTicket

    def problem(self) -> None:
        """Nothing is missed."""

    def hold(self) -> tuple[()]:
        """Nothing is held."""
        return ()


class Driver:
    """Executes a `ClimbSpec`, and publishes `events`; holds the lease until it ends.

    Attributes
    ----------
    judgement : tuple of (str, str)
        What the objective says about the best state, once the budget is spent.
    """

    def __init__(self, spec: ClimbSpec, lease: Lease, events: EventStream) -> None:
        self._spec, self._lease, self._events = spec, lease, events
        self.topic = f"paninifs-climb-{uuid.uuid4().hex}"
        unseen = _Unseen(spec.target, lease.ticket)
        self._sent = SentGraph(spec.client, spec.evaluator, spec.pickled, unseen)
        self.search = Search(spec.proposer, spec.settings)
        self._history = History(spec.target, spec.evaluator.space, spec.facts, every=spec.every)
        self._dispatch = Dispatch(
            spec.client,
            self._sent,
            timeout=spec.evaluator.timeout,
            ahead=spec.proposer.ahead * spec.settings.neighbours,
            batch=spec.batch,
            topic=self.topic,
        )
        self._meter = Meter(remote_location(spec.client), is_default=False)
        slow = spec.target.slow_to_create
        self._most_seconds = SLOW_COMMIT_SECONDS if slow else COMMIT_SECONDS
        self._began = self._committed = time.perf_counter()
        self._published = self._commit_seconds = 0.0
        self._over = False
        self.judgement: tuple[tuple[str, str], ...] = ()
        self.progress = ClimbProgress(
            most_evaluations=spec.budget.evaluations,
            most_seconds=spec.budget.seconds,
            most_usd=spec.budget.dollars,
        )
        self._resumed = self._history.begin(lease.ticket, fresh=spec.fresh)
        if self._resumed is not None:
            self._continue(self._resumed)

    def cancel(self) -> None:
        """Stop the climb as soon as a batch ends or turns out to be cancelled."""
        self._dispatch.stopping.stop(
            RunCancelled(
                f"cancelled; {self._spec.target.url} keeps the {self.progress.evaluations:,} "
                "evaluations that are retired; climb again to go on"
            )
        )

    def stop(self, reason: PaniniError) -> None:
        """End the climb for a reason."""
        self._dispatch.stopping.stop(reason)

    def abandon(self) -> None:
        """Release the lease of a climb that does not stop."""
        self._lease.release()

    def work(self) -> None:
        """Climb until the budget is spent."""
        try:
            with Watchdog(self._spec.client, self._events.publish, self.stop):
                self._work()
        finally:
            with suppress(Exception):  # the cluster may be gone
                self._sent.withdraw()
            self._history.close()
            self._lease.release()

    def _work(self) -> None:
        self._began = time.perf_counter()
        if self._resumed is not None and self._spec.proposer.state() is None:
            self._replay(int(self._resumed.state["retired"]))
        self._resumed = None
        self._publish(force=True)
        rounds = self._spec.budget.rounds(self._spec.settings.neighbours)
        try:
            self._dispatch.add(self.search.pending)
            while not self._is_over() and self._propose(rounds):
                self._dispatch.wait()
                self._retire()
                self._commit_now_and_then()
            self._judge()
        except BaseException:
            with suppress(Exception):  # the reason for which the climb ends matters more
                self._end()
            raise
        self._end()

    def _end(self) -> None:
        """Write the last of the history, and report it."""
        self.progress = replace(self.progress, elapsed=self._seconds, usd=self._usd)
        self._publish(force=True)
        self._dispatch.cancel()
        self._commit(wait=True)

    def _judge(self) -> None:
        """Have the objective say what the best state is worth, once the budget is spent."""
        judge, best = self._spec.evaluator.objective.judge, self.search.best
        self._over = True
        if judge is not None and best.number != NO_CANDIDATE:
            self.judgement = tuple((str(one), str(words)) for one, words in judge(best.state))

    def _propose(self, rounds: int) -> bool:
        """Propose what may be proposed; return False if the climb is at its end."""
        while (one := self.search.propose(rounds)) is not None:
            self._dispatch.add([one])
        return bool(self.search.pending)

    def _retire(self) -> None:
        scored = self._dispatch.scored
        while self.search.pending and scored[self.search.pending[0].number].is_complete:
            of_round = scored.pop(self.search.pending[0].number)
            of, accepted = self.search.retire(of_round.scores)
            self._history.add(of, of_round, accepted, self._seconds)
            best = self.search.best
            self.progress = replace(
                self.progress,
                evaluations=self.search.evaluations,
                failed=self.progress.failed + len(of_round.failures),
                accepted=self.progress.accepted + len(accepted),
                best=None if best.number == NO_CANDIDATE else best.score,
                best_candidate=best.number,
                elapsed=self._seconds,
                usd=self._usd,
            )
            if best.number == NO_CANDIDATE:
                name = self._spec.evaluator.objective.name
                raise BlockError(
                    f"objective {name!r}: no candidate of round {of.number} has a score; the "
                    f"first: {of_round.failures[0]}"
                )
        self._publish()

    @property
    def _seconds(self) -> float:
        """Seconds of the climb, with those of earlier sessions."""
        return self.progress.elapsed_before + time.perf_counter() - self._began

    @property
    def _usd(self) -> float | None:
        spent = self._meter.cost(self._seconds)
        return spent.usd if spent else None

    def _is_over(self) -> bool:
        """Return whether the time or the money is spent; a first round is scored in any case."""
        return self.search.retired > 0 and self._spec.budget.is_spent(self._seconds, self._usd)

    def _publish(self, *, force: bool = False) -> None:
        now = time.perf_counter()
        if force or now - self._published >= PUBLISH_SECONDS:
            self._published = now
            self._events.publish(Climbed(self.progress))

    # --- the history ------------------------------------------------------------------------------

    def _continue(self, resumed: Resumed) -> None:
        """Continue from what was written."""
        if self._spec.proposer.state() is not None:
            self.search.restore(resumed.state)
        self._dispatch.evaluated = resumed.evaluated
        evaluations = int(resumed.state["retired"]) * self._spec.settings.neighbours
        best = self.search.best
        self.progress = replace(
            self.progress,
            evaluations=evaluations,
            evaluations_before=evaluations,
            failed=self._history.failed.rows,
            accepted=self._history.accepted.rows,
            best=None if best.number == NO_CANDIDATE else best.score,
            best_candidate=best.number,
            elapsed=resumed.seconds,
            elapsed_before=resumed.seconds,
        )

    def _replay(self, rounds: int) -> None:
        """Give the proposer the scores of all rounds again, from the history."""
        count = self._spec.settings.neighbours
        stored = self._history.rounds(rounds, count)
        # In the same order as then: a round is proposed as soon as it may be.
        for number in range(rounds):
            while self.search.propose(rounds) is not None:
                pass
            scores, states = next(stored)
            if self.search.pending[0].states.tobytes() != states.tobytes():
                raise ResultsDamaged(
                    f"{self._spec.target.url}: candidate {number * count:,} is not the one that "
                    "is proposed now; another version of the proposer's library? Climb with "
                    "fresh=True to start over"
                )
            self.search.retire(scores)

    def _commit_now_and_then(self) -> None:
        now = time.perf_counter()
        # A session that does not last gets somewhere too.
        every = min(self._most_seconds, max(FIRST_COMMIT_SECONDS, (now - self._began) / 5))
        every = max(every, 10 * self._commit_seconds)
        late = now - self._committed >= every
        if late or self._history.held_bytes >= HELD_BYTES:
            self._commit(wait=False)
            self._commit_seconds = time.perf_counter() - now

    def _commit(self, *, wait: bool) -> None:
        self._committed = time.perf_counter()
        state: Mapping[str, npt.NDArray[Any]] = self.search.state() or {
            "retired": np.array(self.search.retired)
        }
        best = self.search.best
        columns = (
            self._spec.evaluator.space.columns(best.state[None])
            if best.number != NO_CANDIDATE
            else {}
        )
        summary = {
            "evaluations": self.search.evaluations,
            "seconds": round(self._seconds, 3),
            "usd": self._usd,
            "budget": asdict(self._spec.budget),
            "over": self._over,
            "judgement": self.judgement,
            "best": {
                "score": best.score if best.number != NO_CANDIDATE else None,
                "candidate": best.number,
                "state": {name: values[0].tolist() for name, values in columns.items()},
            },
        }
        kept = {"seconds": np.array(self._seconds), "evaluated": np.array(self._dispatch.evaluated)}
        self._history.commit({**state, **kept}, summary, self._lease.ticket, wait=wait)
