"""Extracting: fetched documents become texts and columns, in listing order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ....storage.errors import RunFailed
from ....storage.messages.names import storable
from ..extraction.extracted import Extracted
from ..ledger.item_json import item_of
from ..ledger.item_table import ItemTable
from ..listed_item import Item
from ..outcome import NotKept
from .item_flow import Flow, explained
from .row_columns import Detect, Received, StoredText, stored_text


class Pool(Protocol):
    """Extracts texts from documents."""

    async def extract(
        self, content: bytes, *, media_type: str, charset: str, name: str
    ) -> Extracted:
        """Return the text and metadata of a document.

        Raises
        ------
        NotKept
            It has no text, or is damaged.
        """


@dataclass(kw_only=True)
class Extractor:
    """Extracts the texts of a table's items."""

    pool: Pool
    table: ItemTable
    flow: Flow
    detect: Detect
    licence: str
    """Licence of items that give none."""
    own_text: Callable[[str], str]
    """See `Source.own_text`."""
    at_once: int
    """Maximum number of documents that are extracted at a time."""
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Extract until fetching is over and nothing is left.

        If the user or a limit of time ends the session, extractions in progress are still finished.
        """
        flow = self.flow
        try:
            while not flow.hurried:
                fetching_over = flow.listing_over and flow.fetching_over
                free = self.at_once - len(self._tasks)
                numbers = await self.table.fetched(free, set(self._tasks)) if free else []
                for number in numbers:
                    self._start(number)
                if fetching_over and not self._tasks:
                    break
                if len(numbers) < free or not free:
                    await flow.to_extract.wait()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        finally:
            for task in self._tasks.values():
                task.cancel()
            flow.extracting_over = True
            flow.wake()

    def _start(self, number: int) -> None:
        task = asyncio.create_task(self._extract(number))
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._ended(number, done))

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.flow.stop("failed", str(error), explained(error))
        self.flow.to_extract.set()

    async def _extract(self, number: int) -> None:
        fetched = await self.table.content(number)
        item = item_of(fetched.key, fetched.url, fetched.item)
        received = Received.of_json(fetched.answer)
        try:
            found = await self.pool.extract(
                fetched.body,
                media_type=item.media_type or received.media_type,
                charset=received.charset,
                name=received.url or item.path or item.url or item.key,
            )
            # In a thread: it takes as long as the language model, and the source, need.
            made = await asyncio.to_thread(self._made, item, found, received)
        except NotKept as refusal:
            await self.table.store_refusal(number, refusal.reason, storable(refusal.detail))
            self.flow.held -= len(fetched.body)
        else:
            await self.table.store_text(number, made.text, made.digest, made.columns)
            self.flow.held += len(made.text) - len(fetched.body)
        self.flow.to_decide.set()

    def _made(self, item: Item, found: Extracted, received: Received) -> StoredText:
        own = self.own_text(found.text)
        if not isinstance(own, str):
            raise RunFailed(f"own_text() of the source returned {type(own).__name__}, not a text")
        return stored_text(item, replace(found, text=own), received, self.licence, self.detect)
