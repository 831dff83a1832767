"""`RobotsRules`: fetches each origin's robots.txt once per day, and obeys it (RFC 9309)."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import json
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....storage.errors import BackendUnavailable
from ..outcome import NotKept
from .reading.refusals import Refused

if TYPE_CHECKING:
    from yarl import URL

AGENT = "paninifs"
"""The product token by which rules are selected."""

MOST_BYTES = 500 << 10
"""Maximum bytes of a robots.txt that are read; the rest is ignored, as RFC 9309 allows."""

LONGEST_DELAY = 60.0
"""Longest `Crawl-delay` that is obeyed, in seconds; longer ones would stop a collection."""

_DAY = 86400.0
_AGAIN_SECONDS = 600.0  # until a failed fetch of a robots.txt is repeated
_MOST_ORIGINS = 1000
_ABSENT = {"not-found", "forbidden", "bad-status", "no-text"}
_ITS_HOSTS = {"bad-url", "private-address", "unknown-host", "unreachable", "timeout", "tls"}

Fetch = Callable[["URL"], Awaitable[bytes]]
SlowDown = Callable[[str, float, str], None]


class RobotsRules:
    """The rules in the robots.txt of each origin.

    Parameters
    ----------
    folder
        Where they are kept for a day, for the processes of a user.
    fetch
        Returns the body at a URL, after redirects; raises `NotKept`.
    slow_down
        Called with a host, seconds and the reason, if the host asks for a lower rate.
    """

    def __init__(self, folder: Path, fetch: Fetch, slow_down: SlowDown) -> None:
        self._folder = folder
        self._fetch = fetch
        self._slow_down = slow_down
        self._origins: OrderedDict[str, asyncio.Task[_Rules]] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)
        _forget_old(folder)

    async def close(self) -> None:
        """Cancel the fetches in progress."""
        for task in self._origins.values():
            task.cancel()
        await asyncio.gather(*self._origins.values(), return_exceptions=True)

    async def require(self, url: URL) -> None:
        """Return if a URL may be fetched.

        Raises
        ------
        NotKept
            "robots" if it is disallowed, "no-robots" if the robots.txt could not be fetched.
            If its host cannot be reached at all, the reason for that.
        """
        rules = await self._of(url)
        if rules.failure is not None:
            raise NotKept(*rules.failure)
        if rules.delay:
            why = f"Crawl-delay: {rules.delay:g} in its robots.txt"
            if rules.delay > LONGEST_DELAY:
                why += f", of which {LONGEST_DELAY:g} s are obeyed"
            self._slow_down(url.raw_host or "", min(rules.delay, LONGEST_DELAY), why)
        if not rules.allows(url):
            raise NotKept("robots")

    async def _of(self, url: URL) -> _Rules:
        origin = str(url.origin())
        task = self._origins.get(origin)
        if task is None or (task.done() and _is_over(task)):
            task = self._origins[origin] = asyncio.create_task(self._load(url.origin()))
            while len(self._origins) > _MOST_ORIGINS:
                self._origins.popitem(last=False)
        self._origins.move_to_end(origin)
        return await asyncio.shield(task)  # other requests may wait for it too

    async def _load(self, origin: URL) -> _Rules:
        path = self._folder / hashlib.blake2b(str(origin).encode(), digest_size=16).hexdigest()
        kept = _read(path, str(origin))
        if kept is not None:
            return _Rules(kept[1], over=time.monotonic() + _DAY - kept[0])
        try:
            text = _decoded(await self._fetch(origin / "robots.txt"))
        except NotKept as refusal:
            absent = refusal.reason in _ABSENT and _is_refusal(refusal)
            if not absent:
                return _Rules("", over=time.monotonic() + _AGAIN_SECONDS, failure=_why(refusal))
            text = ""
        _write(path, str(origin), text)
        return _Rules(text, over=time.monotonic() + _DAY)


def _decoded(body: bytes) -> str:
    """Return a robots.txt without a mark of its encoding, which would hide its first line.

    RFC 9309 wants UTF-8. Of UTF-16, rules in ASCII are left once their zero bytes are removed.
    """
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        body = body.removeprefix(mark)
    return body.replace(b"\0", b"").decode("utf-8", "replace")


class _Rules:
    def __init__(self, text: str, over: float, failure: tuple[str, str] | None = None) -> None:
        self.over = over
        self.failure = failure
        self._parsed = _parsed(text) if text.strip() else None
        delay = self._parsed.crawl_delay(AGENT) if self._parsed else None
        self.delay = float(delay) if delay is not None and 0 < delay < float("inf") else 0.0

    def allows(self, url: URL) -> bool:
        return self._parsed is None or bool(self._parsed.can_fetch(str(url), AGENT))


def _parsed(text: str) -> Any:
    try:
        from protego import Protego
    except ImportError as error:
        raise BackendUnavailable(
            "obeying robots.txt needs protego: pip install 'paninifs[collect]'"
        ) from error
    return Protego.parse(text)


def _is_refusal(refusal: NotKept) -> bool:
    """Return whether the server has no robots.txt: it answered 4xx, or with an empty body."""
    return not isinstance(refusal, Refused) or 400 <= refusal.status <= 499 or refusal.status == 204


def _why(refusal: NotKept) -> tuple[str, str]:
    reason = refusal.reason if refusal.reason in _ITS_HOSTS else "no-robots"
    words = refusal.detail or str(refusal)
    return reason, f"its robots.txt could not be fetched: {words}"


def _is_over(task: asyncio.Task[_Rules]) -> bool:
    if task.cancelled() or task.exception() is not None:
        return True
    return time.monotonic() > task.result().over


def _read(path: Path, origin: str) -> tuple[float, str] | None:
    """Return age in seconds and text of a cached robots.txt; None if it is not usable."""
    try:
        kept = json.loads(zlib.decompress(path.read_bytes(), bufsize=MOST_BYTES))
        age = time.time() - float(kept["fetched"])
        if kept["origin"] == origin and 0 <= age < _DAY:
            return age, str(kept["text"])
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None
    return None


def _write(path: Path, origin: str, text: str) -> None:
    content = json.dumps({"origin": origin, "fetched": time.time(), "text": text}).encode()
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):  # the disk is full: it will be fetched again
        temporary.write_bytes(zlib.compress(content))
        temporary.replace(path)


def _forget_old(folder: Path) -> None:
    """Delete cached files that are older than a day."""
    for path in folder.iterdir():
        with suppress(OSError):
            if not 0 <= time.time() - path.stat().st_mtime < _DAY:
                path.unlink()
