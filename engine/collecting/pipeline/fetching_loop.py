"""Fetching: many items concurrently, from all hosts; items of one host in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ....storage.messages.names import storable
from ..ledger.item_host import FILES
from ..ledger.item_json import item_of
from ..ledger.item_table import ItemTable
from ..ledger.listed_page import Waiting
from ..outcome import NotKept
from ..web.answer import Validators
from ..web.web import Web
from .item_files import ItemFiles
from .item_flow import Flow, explained
from .listing_loop import MOST_HELD
from .row_columns import Received

AT_ONCE = 512
"""Maximum number of items that are being fetched, or wait for their host's turn."""

MOST_HOSTS = 1024
"""Maximum number of hosts with items in memory; others follow when a host has none left."""

AHEAD = 64
"""Number of items from the first undecided one that are fetched even at `MOST_HELD`."""

GRACE_SECONDS = 20.0
"""Seconds for which answers are awaited after the session is stopped."""

_FILES_AT_ONCE = 4


@dataclass
class _Host:
    """A host with items to fetch.

    Attributes
    ----------
    ready
        Items in memory, in order.
    last
        Number of the last of them.
    through
        The database has no further items of it with numbers below this.
    fetching
        Number of items that are being fetched.
    """

    ready: deque[Waiting] = field(default_factory=deque)
    last: int = -1
    through: int = 0
    fetching: int = 0


@dataclass(kw_only=True)
class Fetcher:
    """Fetches the items of a table."""

    web: Web
    table: ItemTable
    flow: Flow
    connections: Callable[[str], int]
    """Maximum number of items that are fetched from a host at a time."""
    most_bytes: int | None
    """Size of the largest document, in bytes; None for the web client's limit."""
    most_held: int = MOST_HELD
    grace: float = GRACE_SECONDS
    at_once: int = AT_ONCE
    _files: ItemFiles = field(default_factory=ItemFiles)
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _changed: dict[str, None] = field(default_factory=dict)
    """Hosts from which another item may be fetched now, the longest-waiting first."""
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _early: set[int] = field(default_factory=set)
    """Numbers of items that were fetched before their host's items were in memory."""
    _scanned: int = 0
    _listed: int = 0

    async def run(self) -> None:
        """Fetch until listing is over and nothing is left, or the session is stopped."""
        flow = self.flow
        try:
            while not flow.stopping:
                listing_over = flow.listing_over
                if flow.held >= self.most_held:
                    await self._only_the_first()
                    await flow.to_fetch.wait()
                    continue
                self._begin()
                await self._refill()
                self._begin()
                through = self._scanned >= flow.listed
                if listing_over and through and not self._hosts and not self._tasks:
                    break
                if through or len(self._hosts) >= MOST_HOSTS or len(self._tasks) >= self.at_once:
                    await flow.to_fetch.wait()
            await self._finish()
        finally:
            for task in self._tasks.values():
                task.cancel()
            self._files.close()
            flow.fetching_over = True
            flow.wake()

    async def _refill(self) -> None:
        """Read items of every host that runs out of them; forget hosts that have none left."""
        listed = self.flow.listed
        if listed > self._listed:
            self._changed.update(dict.fromkeys(self._hosts))
            self._listed = listed
        wanted = dict(self._wanted(listed))
        free = MOST_HOSTS - len(self._hosts)
        if not wanted and (free <= 0 or self._scanned >= listed):
            return
        feed = await self.table.feed(wanted, self._scanned, list(self._hosts), free)
        through = max(listed, feed.scanned)
        self._scanned = feed.scanned
        missing = {name: most for name, (_, most) in wanted.items()}
        for item in feed.items:
            host = self._hosts.setdefault(item.host, _Host())
            host.last = item.number
            host.ready.append(item)
            self._changed[item.host] = None
            missing[item.host] = missing.get(item.host, 0) - 1
        for name, count in missing.items():
            if count > 0:
                self._hosts[name].through = through
                self._changed[name] = None

    def _wanted(self, listed: int) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield hosts with few items in memory: the number after which to read, and how many."""
        for name in list(self._changed):
            host = self._hosts[name]
            most = 2 * self._limit(name)
            if host.through < max(listed, self._scanned):
                if len(host.ready) <= most // 2:
                    yield name, (host.last, most - len(host.ready))
            elif not host.ready and not host.fetching:
                del self._hosts[name]
                del self._changed[name]

    async def _only_the_first(self) -> None:
        """Fetch only the items that decisions wait for, as the disk holds enough."""
        limit = self.flow.decided + AHEAD
        self._early = {number for number in self._early if number >= self.flow.decided}
        for item in await self.table.first_waiting(AHEAD):
            if item.number < limit and item.number not in self._tasks:
                self._early.add(item.number)
                self._start(item)

    def _limit(self, host: str) -> int:
        share = self.at_once // max(1, len(self._hosts))  # so that none waits for another's turns
        most = _FILES_AT_ONCE if host == FILES else self.connections(host)
        return max(1, min(most, share))

    def _begin(self) -> None:
        """Begin to fetch what is ready, within the limits."""
        for name in list(self._changed):
            host, most = self._hosts[name], self._limit(name)
            while host.ready and host.fetching < most:
                if len(self._tasks) >= self.at_once:
                    return
                item = host.ready.popleft()
                if item.number not in self._early and item.number >= self.flow.decided:
                    self._start(item)
            if host.ready:
                del self._changed[name]

    def _start(self, item: Waiting) -> None:
        host = self._hosts.get(item.host)
        if host is not None:
            host.fetching += 1
        task = asyncio.create_task(self._fetch(item))
        self._tasks[item.number] = task
        task.add_done_callback(lambda done: self._ended(item, host, done))

    def _ended(self, item: Waiting, host: _Host | None, task: asyncio.Task[None]) -> None:
        del self._tasks[item.number]
        if host is not None:
            host.fetching -= 1
            self._changed[item.host] = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.flow.stop("failed", str(error), explained(error))
        self.flow.to_fetch.set()

    async def _fetch(self, item: Waiting) -> None:
        try:
            body, received, validators = await self._content(item)
        except NotKept as refusal:
            await self.table.store_refusal(item.number, refusal.reason, storable(refusal.detail))
            self.flow.to_decide.set()
            return
        await self.table.store_content(
            item.number,
            body,
            received.to_json(),
            storable(validators.etag),
            storable(validators.last_modified),
        )
        self.flow.held += len(body)
        self.flow.to_extract.set()

    async def _content(self, item: Waiting) -> tuple[bytes, Received, Validators]:
        if item.host == FILES:
            one = item_of("", item.url, item.item)
            content = await asyncio.to_thread(self._files.read, one.path, self.most_bytes)
            return content, Received.here(one.media_type), Validators()
        asked = Validators(etag=item.etag, last_modified=item.last_modified)
        conditional = bool(item.etag or item.last_modified)
        answer = await self.web.get(
            item.url,
            validators=asked if conditional else None,
            most_bytes=self.most_bytes,
        )
        if answer.unchanged:
            raise NotKept("unchanged") if conditional else NotKept("bad-status", "304")
        if not answer.body:
            raise NotKept("no-text", "the body is empty")
        return answer.body, Received.of_answer(answer), answer.validators

    async def _finish(self) -> None:
        """Wait for the requests in flight; only for `grace` seconds if the session was stopped."""
        if not self._tasks:
            return
        left = self.flow.stopped_at + self.grace - time.monotonic()
        tasks = list(self._tasks.values())
        await asyncio.wait(tasks, timeout=max(0.0, left))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
