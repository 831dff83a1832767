"""`CountingWeb`: wraps a `Web`, and counts the bytes that it receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ..outcome import NotKept
from ..web.answer import Answer, Validators
from ..web.web import Web


class CountingWeb(Web):
    """Forwards requests, and reports the host and the bytes on the wire of each answer."""

    def __init__(self, inner: Web, received: Callable[[str, int], None]) -> None:
        self._inner, self._received = inner, received

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        validators: Validators | None = None,
        most_bytes: int | None = None,
        robots: bool = True,
    ) -> Answer:
        """As the inner one."""
        try:
            answer = await self._inner.get(
                url, params=params, validators=validators, most_bytes=most_bytes, robots=robots
            )
        except NotKept:
            self._count(url, 0)  # some of a body may have come, which the inner one counts
            raise
        self._count(answer.url, answer.received_bytes)
        return answer

    async def save(self, url: str, path: Path, *, most_bytes: int | None = None) -> Answer:
        """As the inner one."""
        answer = await self._inner.save(url, path, most_bytes=most_bytes)
        self._count(answer.url, answer.received_bytes)
        return answer

    def _count(self, url: str, received_bytes: int) -> None:
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            host = ""
        self._received(host, max(0, received_bytes))
