"""`Host`: the state of a host in this process; `Hosts`: those of recently asked hosts."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .rate import Rate


@dataclass(frozen=True, kw_only=True)
class HostFigures:
    """Figures of the requests to a host, for displays."""

    requests: int
    """Number of requests sent, including retries, redirects and robots.txt."""
    received: int
    """Bytes of bodies on the wire."""
    waiting: int
    """Number of requests that wait for the host's turn, a connection or the end of a pause."""
    asking: int
    """Number of requests that were sent and whose answer is not complete."""
    per_second: float
    """Maximum requests per second."""
    paused: float
    """Seconds from now for which the host asked to be left alone; 0 if it did not."""
    last_error: str
    """The last error, in words; empty if there was none."""
    note: str
    """Why the limit differs from what was set; empty if it does not."""


@dataclass(eq=False, kw_only=True)
class Host:
    """A host, and the requests that wait for it."""

    name: str
    limit: str
    """The name under which its requests are counted: hosts of one service share one."""
    rate: Rate
    most_connections: int
    persistent: bool
    """Whether a connection is kept open for the next request."""
    note: str = ""
    turn: asyncio.Lock
    """Held by the next request. Shared by hosts that share a limit."""
    connections: asyncio.Semaphore
    """Shared likewise."""
    requests: int = 0
    received: int = 0
    users: int = 0
    waiters: int = 0
    asking: int = 0
    paused_until: float = -math.inf
    last_error: str = ""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a request as waiting."""
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1

    def slow_down(self, seconds: float, why: str) -> None:
        """Set a minimum interval between requests, if it is longer than the present one."""
        if seconds > self.rate.interval:
            self.rate = Rate(1, seconds)
            self.note = why

    def figures(self, now: float) -> HostFigures:
        """Return the figures of this moment."""
        return HostFigures(
            requests=self.requests,
            received=self.received,
            waiting=max(0, self.users - self.asking),
            asking=self.asking,
            per_second=1 / self.rate.interval,
            paused=max(0.0, self.paused_until - now),
            last_error=self.last_error,
            note=self.note,
        )


@dataclass(frozen=True, kw_only=True)
class HostLimit:
    """The limit of a host, from a policy."""

    limit: str
    rate: Rate
    connections: int
    persistent: bool


@dataclass(eq=False)
class _Shared:
    """State of hosts that share a limit."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


class Hosts:
    """The hosts that were asked lately: those that are in use, and others up to a number.

    Parameters
    ----------
    limit_of
        Returns the limit of a host, given its name.
    most
        Maximum number of unused hosts that are remembered.
    """

    def __init__(self, limit_of: Callable[[str], HostLimit], most: int = 4096) -> None:
        self._limit_of = limit_of
        self._most = most
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._shared: dict[str, _Shared] = {}

    @contextmanager
    def using(self, name: str) -> Iterator[Host]:
        """Yield a host, which is remembered at least as long as it is in use."""
        host = self.of(name)
        host.users += 1
        try:
            yield host
        finally:
            host.users -= 1

    def of(self, name: str) -> Host:
        """Return a host by its name."""
        host = self._hosts.get(name)
        if host is not None:
            self._hosts.move_to_end(name)
            return host
        if len(self._hosts) >= self._most:
            self._forget()
        said = self._limit_of(name)
        if said.limit not in self._shared:
            self._shared[said.limit] = _Shared(connections=asyncio.Semaphore(said.connections))
        shared = self._shared[said.limit]
        host = self._hosts[name] = Host(
            name=name,
            limit=said.limit,
            rate=said.rate,
            most_connections=said.connections,
            persistent=said.persistent,
            turn=shared.turn,
            connections=shared.connections,
        )
        return host

    def figures(self, now: float) -> dict[str, HostFigures]:
        """Return the figures by host, the one that was asked last at the end."""
        return {name: host.figures(now) for name, host in self._hosts.items()}

    def _forget(self) -> None:
        """Forget the least recently asked tenth of the hosts, except those in use."""
        idle = [name for name, host in self._hosts.items() if not host.users]
        for name in idle[: max(1, self._most // 10)]:
            del self._hosts[name]
        kept = {host.limit for host in self._hosts.values()}
        self._shared = {limit: it for limit, it in self._shared.items() if limit in kept}
