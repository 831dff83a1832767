"""`CollectProgress`: counts what a collector reports, and makes the figures that displays show.

Its methods may be called from any thread, for every event: each call takes a few microseconds,
and memory does not grow with items, nor with hosts beyond `MOST_HOSTS`. How each figure is shown is
declared in `collecting.collect_figures`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .collecting.collect_figures import CollectFigures
from .collecting.host_activity import HostActivity, HostCounts

RECENT_SECONDS = 30.0
"""Seconds over which rates are averaged."""

_MARK_SECONDS = 1.0
"""Seconds between the samples from which rates are computed."""

MOST_HOSTS = 1000
"""Maximum number of hosts with figures: first those asked most often and those that wait."""

Outcome = Literal["kept", "skipped", "failed"]
Ending = Literal["finished", "limited", "stopped", "failed"]


@dataclass(frozen=True)
class _Mark:
    """Counts at one moment, from which rates are computed."""

    seconds: float
    decided: int
    received: int
    hosts: Mapping[str, HostActivity]


class CollectProgress:
    """How far a collection has come.

    Parameters
    ----------
    most_items, most_bytes, most_seconds : optional
        Limits, over all sessions: items listed, bytes received, seconds.
    clock : callable
        Returns seconds; for tests.

    Examples
    --------
    >>> progress = CollectProgress()
    >>> progress.listed(3, total=10)
    >>> progress.decided("kept")
    >>> progress.decided("failed", "not-found")
    >>> progress.snapshot().counted
    '2 of 10 items: 1 kept, 1 failed'
    """

    def __init__(
        self,
        *,
        most_items: int | None = None,
        most_bytes: int | None = None,
        most_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (most_items, most_bytes, most_seconds)
        self._clock, self._began = clock, clock()
        self._lock = threading.Lock()
        self._counts: Counter[Outcome] = Counter()
        self._reasons: Counter[str] = Counter()
        self._listed = self._before = self._rows = self._bytes = self._received = 0
        self._spent = (0, 0.0)  # bytes received and seconds of earlier sessions
        self._said: int | None = None  # number of items, according to the source
        self._all_listed = False
        self._by_host: dict[str, int] = {}  # bytes, for hosts that are not in `hosts`
        self._hosts: dict[str, HostActivity] = {}
        self._host_count = 0
        self._ended: tuple[Ending, str, float] | None = None
        self._marks = deque([_Mark(0.0, 0, 0, {})])

    # --- what the collector reports ---------------------------------------------------------------

    def resumed(
        self,
        *,
        listed: int,
        kept: int,
        not_kept: Mapping[tuple[Outcome, str], int],
        rows: int = 0,
        nbytes: int = 0,
        received: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Set the figures of earlier sessions, discarding all counts of items until now.

        Parameters
        ----------
        listed, kept : int
            Items.
        not_kept : mapping
            Items by kind and reason: ``{("failed", "not-found"): 3}``.
        rows, nbytes : int
            Rows and bytes of the parts that they committed.
        received, seconds
            Bytes that they received, and how long they took: these count towards the limits.
        """
        with self._lock:
            self._spent = (received, seconds)
            self._listed, self._rows, self._bytes = listed, rows, nbytes
            self._counts, self._reasons = Counter(), Counter()
            self._counts["kept"] = kept
            for (kind, reason), count in not_kept.items():
                self._counts[kind] += count
                self._reasons[reason] += count
            self._before = self._counts.total()
            self._marks = deque([self._mark()])

    def listed(self, items: int, total: int | None = None) -> None:
        """Count items that the source listed; `total` is the number that it says it has."""
        with self._lock:
            self._listed += items
            if total is not None:
                self._said = total

    def all_listed(self) -> None:
        """Take the number of items listed as the total, unless the source says what it is."""
        with self._lock:
            self._all_listed = True

    def received(self, host: str, nbytes: int) -> None:
        """Count bytes of a body from a host."""
        with self._lock:
            self._received += nbytes
            if host in self._by_host or len(self._by_host) < MOST_HOSTS:
                self._by_host[host] = self._by_host.get(host, 0) + nbytes
            self._mark_now_and_then()

    def decided(self, kind: Outcome, reason: str = "") -> None:
        """Count an item that was kept, skipped or has failed."""
        with self._lock:
            self._counts[kind] += 1
            if reason:
                self._reasons[reason] += 1
            self._mark_now_and_then()

    def reconsidered(self, kind: Outcome, reason: str = "") -> None:
        """Uncount an item that is retried; `decided` will count it again."""
        with self._lock:
            self._before -= 1  # this session decides it
            self._counts[kind] -= 1
            if reason:
                self._reasons[reason] -= 1

    def committed(self, rows: int, nbytes: int) -> None:
        """Count rows and bytes of a part that was committed."""
        with self._lock:
            self._rows += rows
            self._bytes += nbytes

    def hosts(self, snapshot: Mapping[str, HostActivity | HostCounts]) -> None:
        """Set the figures of every host, by name, replacing earlier ones."""
        kept = list(snapshot.items())
        if len(kept) > MOST_HOSTS:
            kept = heapq.nlargest(
                MOST_HOSTS, kept, key=lambda one: (bool(one[1].waiting), one[1].requests)
            )
        hosts = {
            name: one if isinstance(one, HostActivity) else HostActivity.of(name, one)
            for name, one in kept
        }
        with self._lock:
            self._hosts, self._host_count = hosts, len(snapshot)
            self._mark_now_and_then()

    def finished(self, how: Ending = "finished", reason: str = "") -> None:
        """Report how the session ended, and why, unless it is finished."""
        with self._lock:
            self._ended = (how, reason, self._clock() - self._began)

    @property
    def _total(self) -> int | None:
        return self._listed if self._said is None and self._all_listed else self._said

    # --- what displays show -----------------------------------------------------------------------

    def snapshot(self) -> CollectFigures:
        """Return the current figures."""
        with self._lock:
            self._mark_now_and_then()
            state, reason, elapsed = self._ended or ("collecting", "", self._seconds())
            first = self._marks[0]
            decided = self._counts.total()
            passed = elapsed - first.seconds
            items, nbytes = (
                (max(0, growth) / passed if passed > 0 else 0.0)
                for growth in (decided - first.decided, self._received - first.received)
            )
            hosts = self._hosts_now(first, passed)
            shares = self._shares(decided, elapsed)
            return CollectFigures(
                state=state,
                reason=reason,
                total=self._total,
                listed=self._listed,
                kept=self._counts["kept"],
                skipped=self._counts["skipped"],
                failed=self._counts["failed"],
                decided_before=self._before,
                reasons={name: count for name, count in self._reasons.items() if count},
                rows_committed=self._rows,
                bytes_committed=self._bytes,
                received_bytes=self._received,
                items_per_second=items,
                bytes_per_second=nbytes,
                waiting="" if self._ended else _waiting(hosts),
                host_count=max(self._host_count, len(self._by_host)),
                hosts=hosts,
                share=min(1.0, max(shares)) if shares else None,
                seconds_left=None if self._ended else self._left(items, nbytes, elapsed),
                elapsed=elapsed,
            )

    def _seconds(self) -> float:
        return self._clock() - self._began

    def _hosts_now(self, first: _Mark, passed: float) -> tuple[HostActivity, ...]:
        if not self._hosts:
            return tuple(
                HostActivity(host=host, received_bytes=count)
                for host, count in self._by_host.items()
            )
        unknown = HostActivity(host="")
        return tuple(
            replace(
                one,
                requests_per_second=max(0, one.requests - before.requests) / passed,
                bytes_per_second=max(0, one.received_bytes - before.received_bytes) / passed,
            )
            if passed > 0
            else one
            for one in self._hosts.values()
            for before in (first.hosts.get(one.host, unknown),)
        )

    def _shares(self, decided: int, elapsed: float) -> list[float]:
        """Return the done shares of the items and of each limit; they may exceed 1."""
        items, nbytes, seconds = self._limits
        return [
            done / most
            for done, most in (
                (decided, self._total),
                (decided, items),
                (self._received + self._spent[0], nbytes),
                (elapsed + self._spent[1], seconds),
            )
            if most
        ]

    def _left(self, items: float, nbytes: float, elapsed: float) -> float | None:
        """Return the seconds until the last item or a limit is reached; None if unknown.

        In a long wait, when recent rates are zero, the rates of the whole session are used.
        """
        most_items, most_bytes, most_seconds = self._limits
        decided = self._counts.total()
        items = items or (decided - self._before) / max(elapsed, 1e-9)
        nbytes = nbytes or self._received / max(elapsed, 1e-9)
        left = [
            (most - done) / rate
            for done, most, rate in (
                (decided, self._total, items),
                (decided, most_items, items),
                (self._received + self._spent[0], most_bytes, nbytes),
                (elapsed + self._spent[1], most_seconds, 1.0),
            )
            if most is not None and rate > 0
        ]
        return max(0.0, min(left)) if left else None

    def _mark(self) -> _Mark:
        return _Mark(self._seconds(), self._counts.total(), self._received, self._hosts)

    def _mark_now_and_then(self) -> None:
        if self._ended is not None:
            return
        now = self._seconds()
        if now - self._marks[-1].seconds >= _MARK_SECONDS:
            self._marks.append(self._mark())
        while len(self._marks) > 1 and now - self._marks[1].seconds >= RECENT_SECONDS:
            self._marks.popleft()


def _waiting(hosts: tuple[HostActivity, ...]) -> str:
    """Return the host with the longest wait, and the number of other waiting hosts, in words.

    Hosts that are about to answer count only if there are no others.
    """
    waits = [one for one in hosts if one.waiting not in ("", "answer")]
    waits = waits or [one for one in hosts if one.waiting]
    if not waits:
        return ""
    longest = max(waits, key=lambda one: (one.wait_seconds or 0.0, one.requests))
    more = len(waits) - 1
    return longest.words + (f" and {more:,} other host{'' if more == 1 else 's'}" if more else "")
