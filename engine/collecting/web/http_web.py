"""`HttpWeb`: the `Web` that asks real servers.

It follows redirects, makes conditional requests, and turns statuses into reasons. Single requests
are sent by `exchange`, retries are in `retries`, and resumable downloads in `downloads`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ....storage.errors import UsageError
from ..outcome import TRANSIENT, NotKept
from .addresses import CheckedResolver, checked_url
from .answer import Answer, Validators
from .downloads import Download, Progress
from .exchange import Exchanges, discard
from .limits.hosts import HostFigures
from .reading.bodies import BodyLimits, media_type_of, read_body, validators_of
from .reading.decompression import accepted_encodings
from .reading.refusals import refusal
from .reading.shown_text import shown
from .request_policy import RequestPolicy
from .retries import Retries
from .robots_rules import MOST_BYTES, RobotsRules
from .web import Web

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from yarl import URL

_REDIRECTS = {301, 302, 303, 307, 308}
_WHOLE = {200, 203}
"""Statuses with a whole body; 203 is one that a proxy has changed."""

_LEAST_PROGRESS = 1 << 20
"""Bytes that an attempt must have received for a broken download to be resumed at once."""


@dataclass(frozen=True)
class _Elsewhere:
    """A redirect."""

    location: str


Ask = Callable[["URL"], Awaitable[Answer | _Elsewhere]]


class HttpWeb(Web):
    """Requests pages over HTTP, within the limits of each host, and checks all answers.

    Nothing that identifies a user but the contact is sent: no cookies, no credentials, no referrer.
    For that reason a redirect from https to http is followed too. To be used within one event loop,
    as ``async with HttpWeb(policy) as web``.

    Parameters
    ----------
    policy
        How servers are asked, and how much is accepted from them.
    resolver
        For tests: looks up names.
    """

    def __init__(self, policy: RequestPolicy, resolver: CheckedResolver | None = None) -> None:
        self._policy = policy
        self._exchanges = Exchanges(policy, resolver)
        self._retries = Retries(policy, self._exchanges.pause)
        self._robots = RobotsRules(
            policy.cache / "robots", self._robots_text, self._exchanges.slow_down
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._robots.close()
        await self._exchanges.close()

    @property
    def hosts(self) -> dict[str, HostFigures]:
        """Figures by host; hosts that were asked long ago are left out."""
        return self._exchanges.figures()

    @property
    def received(self) -> int:
        """Bytes of bodies on the wire, also of answers that were refused."""
        return self._exchanges.total

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        validators: Validators | None = None,
        most_bytes: int | None = None,
        robots: bool = True,
    ) -> Answer:
        """Return the body at an address: see `Web.get`.

        Raises
        ------
        NotKept
            It cannot be fetched.
        UsageError
            A public host was to be asked without a contact.
        """
        headers = {"Accept-Encoding": accepted_encodings()}
        asked = validators or Validators()
        if asked.etag:
            headers["If-None-Match"] = asked.etag
        if asked.last_modified:
            headers["If-Modified-Since"] = asked.last_modified
        limits = self._limits(most_bytes)

        async def ask(at: URL) -> Answer | _Elsewhere:
            async with self._exchanges.ask(at, headers) as response:
                return await self._read(at, response, limits, asked)

        return await self._follow(checked_url(url, self._policy, params), ask, robots=robots)

    async def save(
        self,
        url: str,
        path: Path,
        *,
        most_bytes: int | None = None,
        robots: bool = False,
        progress: Progress | None = None,
    ) -> Answer:
        """Download a file: see `Web.save`.

        Parameters
        ----------
        url, path, most_bytes
            As there.
        robots
            Whether to obey robots.txt. False by default: files of this kind are published for
            download, often by hosts that keep crawlers from them.
        progress
            Called with the number of bytes received and, if it is known, the size of the file.

        Raises
        ------
        NotKept
            It cannot be fetched. The bytes received are kept for the next attempt.
        """
        most = self._policy.most_file_bytes if most_bytes is None else most_bytes
        start = checked_url(url, self._policy)
        download = Download(path, url, replace(self._limits(most), seconds=None), progress)

        async def ask(at: URL) -> Answer | _Elsewhere:
            def received(count: int) -> None:
                self._exchanges.received(at.raw_host or "", count)

            while True:
                async with self._exchanges.ask(at, download.headers()) as response:
                    if elsewhere := await _redirect(response):
                        return elsewhere
                    if await download.receive(response, received):
                        return _answer(at, response, b"", download.received)

        return await self._download(download, start, ask, robots=robots)

    async def _download(self, download: Download, url: URL, ask: Ask, *, robots: bool) -> Answer:
        if download.is_complete:
            return download.finished()
        while True:
            size = download.size
            try:
                answer = await self._follow(url, ask, robots=robots)
            except NotKept as reason:
                if reason.reason not in TRANSIENT or download.size < size + _LEAST_PROGRESS:
                    raise
            else:
                download.finish()
                return answer

    def _limits(self, most_bytes: int | None) -> BodyLimits:
        policy = self._policy
        return BodyLimits(
            most_bytes=policy.most_bytes if most_bytes is None else most_bytes,
            most_ratio=policy.most_ratio,
            seconds=policy.body_seconds,
            slowest=policy.slowest,
            slow_seconds=policy.slow_seconds,
        )

    async def _robots_text(self, at: URL) -> bytes:
        limits = replace(self._limits(MOST_BYTES), cut=True)

        async def ask(at: URL) -> Answer | _Elsewhere:
            async with self._exchanges.ask(at, {"Accept-Encoding": "identity"}) as response:
                return await self._read(at, response, limits, Validators())

        return (await self._follow(at, ask, robots=False)).body

    async def _follow(self, url: URL, ask: Ask, *, robots: bool) -> Answer:
        """Request a URL, and follow redirects until there is an answer."""
        seen = {str(url)}
        while True:
            host = url.raw_host or ""
            self._require_contact(host)
            if robots:
                await self._robots.require(url)
            try:
                found = await self._retries.retried(host, partial(ask, url))
            except NotKept as error:
                self._exchanges.failed(host, error)
                raise
            if isinstance(found, Answer):
                return found
            url = self._target(url, found.location)
            if str(url) in seen:
                raise NotKept("bad-redirect", f"in a circle, to {shown(str(url))}")
            if len(seen) > self._policy.most_redirects:
                raise NotKept("bad-redirect", f"more than {self._policy.most_redirects} times")
            seen.add(str(url))

    def _target(self, url: URL, location: str) -> URL:
        from yarl import URL

        try:
            target = str(url.join(URL(location.strip())))
        except (ValueError, TypeError, UnicodeError) as error:
            raise NotKept("bad-redirect", f"to {shown(location)}") from error
        try:
            return checked_url(target, self._policy)
        except NotKept as error:
            if error.reason == "bad-url":
                raise NotKept("bad-redirect", error.detail) from error
            raise

    def _require_contact(self, host: str) -> None:
        if not self._policy.contact and not self._policy.is_allowed(host):
            raise UsageError(
                f"a contact is needed to ask {shown(host)}: give --contact (contact=) an e-mail "
                "address or a URL, which is sent with every request"
            )

    async def _read(
        self, at: URL, response: ClientResponse, limits: BodyLimits, asked: Validators
    ) -> Answer | _Elsewhere:
        count = 0

        def received(more: int) -> None:
            nonlocal count
            count += more
            self._exchanges.received(at.raw_host or "", more)

        if elsewhere := await _redirect(response):
            return elsewhere
        if response.status == 304 and (asked.etag or asked.last_modified):
            return _answer(at, response, b"", 0, asked)
        if response.status not in _WHOLE:
            await discard(response)
            raise refusal(response.status, response.headers)
        body = await read_body(response, limits, received)
        if not body:
            raise NotKept("no-text", "an empty body")
        return _answer(at, response, body, count)


async def _redirect(response: ClientResponse) -> _Elsewhere | None:
    if response.status not in _REDIRECTS:
        return None
    await discard(response)
    location = response.headers.get("Location")
    if not location:
        raise NotKept("bad-redirect", f"status {response.status} without a Location")
    return _Elsewhere(location)


def _answer(
    at: URL, response: ClientResponse, body: bytes, received: int, asked: Validators | None = None
) -> Answer:
    media_type, charset = media_type_of(response)
    found = validators_of(response)
    return Answer(
        url=str(at),
        status=304 if asked is not None else 200,
        body=body,
        media_type=media_type,
        charset=charset,
        # A 304 need not repeat its validators.
        validators=found if found != Validators() or asked is None else asked,
        retrieved=datetime.now(UTC),
        received_bytes=received,
    )
