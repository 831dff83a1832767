"""`Exchanges`: sends one request, at its host's turn, and returns its answer.

Redirects are in `http_web`, retries in `retries`. aiohttp connects and parses; its own
redirects, cookies, proxies, decompression, and retries after a closed connection are turned off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ....storage.errors import BackendUnavailable
from ..outcome import NotKept
from .addresses import CheckedResolver
from .limits.connection_slots import ConnectionSlots
from .limits.hosts import Host, HostFigures, Hosts
from .limits.shared_state import SharedState
from .limits.turns import Turns
from .reading.refusals import translated

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientResponse, ClientSession
    from yarl import URL

    from .request_policy import RequestPolicy

_EARLY_SECONDS = 0.5
"""Seconds before its turn at which a request connects; earlier, connections would idle."""

_KEPT_SECONDS = 4.0
"""Seconds for which an unused connection is kept. Common servers close theirs after five."""

_SMALL_BODY = 1 << 16
"""Bytes up to which an unneeded body is read, so that its connection can be kept."""


@dataclass(eq=False)
class _Sending:
    """A request on its way, as `_polite_request_class` finds it."""

    host: Host
    turns: Turns
    first_byte_seconds: float
    deadline: asyncio.Timeout = field(init=False)
    sent: bool = False

    def late(self) -> str:
        """Return what took too long, in words."""
        if not self.sent:
            return "it could not be connected to in time"
        return f"no answer for {self.first_byte_seconds:g} s"

    @asynccontextmanager
    async def turn(self, connection: Any) -> AsyncIterator[None]:
        """Wait for the host's turn with an open connection; the request is sent in the block."""
        if self.sent:
            raise NotKept("unreachable", "it closed the connection instead of answering")
        self.deadline.reschedule(None)
        async with self.turns.turn(self.host, lambda: _is_open(connection)):
            self.sent = True
            self.host.requests += 1
            self.host.asking += 1
            yield
        loop = asyncio.get_running_loop()
        self.deadline.reschedule(loop.time() + self.first_byte_seconds)
        if not self.host.persistent:
            connection.protocol.force_close()


_SENDING: ContextVar[_Sending] = ContextVar("_SENDING")


def _is_open(connection: Any) -> bool:
    return connection.protocol is not None and connection.protocol.is_connected()


class Exchanges:
    """Sends requests, within the limits of each host.

    Parameters
    ----------
    policy
        The limits.
    resolver
        For tests: looks up names.
    """

    def __init__(self, policy: RequestPolicy, resolver: CheckedResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or CheckedResolver(policy)
        self._state = SharedState(policy.cache / "limits")
        self._slots = ConnectionSlots(policy.cache / "limits")
        self._turns = Turns(self._state, policy.patience)
        self._hosts = Hosts(policy.limit_of)
        self._connections = asyncio.Semaphore(policy.connections)
        self._session: ClientSession | None = None
        self.total = 0
        """Bytes of bodies, of all hosts."""

    def figures(self) -> dict[str, HostFigures]:
        """Return the figures of every host."""
        return self._hosts.figures(self._state.now())

    async def close(self) -> None:
        """Close the connections and the files."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()
        self._state.close()
        self._slots.close()

    async def pause(self, name: str, seconds: float) -> None:
        """Send a host no requests for a time."""
        with self._hosts.using(name) as host:
            await self._turns.pause(host, seconds)

    def slow_down(self, name: str, seconds: float, why: str) -> None:
        """Ask a host at most once in so many seconds, from now on."""
        self._hosts.of(name).slow_down(seconds, why)

    def failed(self, name: str, error: NotKept) -> None:
        """Remember what went wrong with a host."""
        self._hosts.of(name).last_error = str(error)

    def received(self, name: str, count: int) -> None:
        """Count bytes of a body."""
        self._hosts.of(name).received += count
        self.total += count

    @asynccontextmanager
    async def ask(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        """Send a GET request and yield the answer, whose body is still to be read.

        Parameters
        ----------
        url
            A checked URL.
        headers
            Headers beside those of every request.

        Raises
        ------
        NotKept
            The server did not answer, or the body ended early (raised from within the block).
        """
        with self._hosts.using(url.raw_host or "") as host:
            async with host.connections:
                if host.rate.interval > _EARLY_SECONDS or host.paused_until > self._state.now():
                    await self._turns.near(host, _EARLY_SECONDS)
                async with self._slots.one(host), self._connections:
                    with translated():
                        async with self._answer(host, url, headers) as response:
                            yield response

    @asynccontextmanager
    async def _answer(
        self, host: Host, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[ClientResponse]:
        session = self._session or self._begin()
        sending = _Sending(host, self._turns, self._policy.first_byte_seconds)
        try:
            async with asyncio.timeout(2 * self._policy.connect_seconds) as sending.deadline:
                token = _SENDING.set(sending)
                try:
                    response = await session.get(url, headers=headers, allow_redirects=False)
                finally:
                    _SENDING.reset(token)
                sending.deadline.reschedule(None)
                try:
                    yield response
                finally:
                    response.close()  # returned to the pool already if all of it was read
        except TimeoutError as error:
            if sending.deadline.expired():
                raise NotKept("timeout", sending.late()) from error
            raise
        finally:
            host.asking -= sending.sent

    def _begin(self) -> ClientSession:
        try:
            import aiohttp
        except ImportError as error:
            raise BackendUnavailable(
                "collecting from the web needs aiohttp: pip install 'paninifs[collect]'"
            ) from error
        policy = self._policy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # `_connections` limits them, excluding the wait for a turn
                resolver=cast("aiohttp.abc.AbstractResolver", self._resolver),
                use_dns_cache=False,  # the resolver's own is bounded
                keepalive_timeout=_KEPT_SECONDS,
            ),
            request_class=_polite_request_class(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": policy.user_agent, "Accept": "*/*"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=policy.connect_seconds, sock_read=policy.chunk_seconds
            ),
            auto_decompress=False,
            trust_env=policy.trust_env,
            max_line_size=8190,
            max_field_size=8190,
            read_bufsize=1 << 18,
        )
        return self._session


async def discard(response: ClientResponse) -> None:
    """Read a small unneeded body, so that its connection can be reused."""
    length = response.content_length
    if length is not None and length <= _SMALL_BODY:
        with translated():
            await response.content.read()


def _polite_request_class() -> type[ClientRequest]:
    """Return aiohttp's class of requests, with a wait right before a request is written.

    Between the wait and the write there is nothing that can take time: looking up the name,
    connecting and the TLS handshake are over.
    """
    from aiohttp import ClientRequest

    class PoliteRequest(ClientRequest):
        async def send(self, conn: Any) -> Any:
            async with _SENDING.get().turn(conn):
                return await super().send(conn)

    return PoliteRequest
