"""Listing: writes the pages of a source into the working database, as far as there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from ....storage.errors import RunFailed
from ....storage.messages.names import storable
from ...monitoring.collect_progress import CollectProgress
from ..extraction.extracted import Extracted
from ..ledger.database_schema import DONE, FETCHED, LISTED
from ..ledger.item_host import host_of
from ..ledger.item_json import item_json
from ..ledger.item_table import ItemTable
from ..ledger.listed_page import NewItem
from ..listed_item import Item, Page
from ..outcome import REASONS, NotKept
from ..source import Source
from ..web.web import Web
from .item_flow import Flow, explained
from .row_columns import PLAIN, Detect, Received, stored_text
from .source_check import RepeatGuard, check_item, checked_page, pages_of

MOST_PENDING = 250_000
"""Number of undecided items at which listing waits."""

MOST_HELD = 4 << 30
"""Bytes stored for undecided items at which listing and fetching wait for decisions."""


@dataclass(frozen=True, kw_only=True)
class Lister:
    """Lists a source."""

    source: Source
    web: Web
    table: ItemTable
    flow: Flow
    progress: CollectProgress
    detect: Detect
    most_items: int | None
    """Maximum number of items to list since the collection began; None for all."""
    most_pending: int = MOST_PENDING
    most_held: int = MOST_HELD

    async def run(self) -> None:
        """List pages until the source ends, the session is stopped, or a limit is reached."""
        try:
            await self._list()
        except NotKept as refusal:
            self._end(f"the source {self.source.name} cannot be listed further: {refusal}", refusal)
        except Exception as error:  # noqa: BLE001 (a source may be a user's own)
            self.flow.end_listing("failed", str(error), explained(error))
        except asyncio.CancelledError as error:
            if self.flow.stopping:
                raise
            self._end(f"the source {self.source.name} was cancelled by itself", error)
        finally:
            self.flow.listing_over = True
            self.flow.wake()

    def _end(self, why: str, cause: BaseException) -> None:
        failure = RunFailed(f"{why}; collect again to go on")
        failure.__cause__ = cause
        self.flow.end_listing("failed", why, failure)

    async def _list(self) -> None:
        position = await self.table.position()
        if not await self._has_room():
            return
        repeats = RepeatGuard(self.source)
        async with aclosing(cast(Any, pages_of(self.source, self.web, position.cursor))) as pages:
            async for page in pages:
                checked = checked_page(self.source, page)
                listed = self.flow.listed
                adding = asyncio.create_task(self._add(checked, position.first))
                try:
                    whole = await asyncio.shield(adding)
                except asyncio.CancelledError:
                    await adding  # so that what is stored is also counted
                    raise
                if not whole or not await self._has_room():
                    return
                repeats.note(checked, self.flow.listed - listed)
        self.flow.exhausted = True
        self.progress.all_listed()

    async def _add(self, page: Page, first: int) -> bool:
        """Store a page; return whether all of its items may be collected.

        `first` is the number of the first item that was listed since the source's beginning.
        """
        items = await asyncio.to_thread(self._new_items, page.items)
        listed = self.flow.listed - first
        most = None if self.most_items is None else max(0, self.most_items - listed)
        added = await self.table.add_page(items, storable(page.cursor), most)
        self.flow.listed += added.items
        self.flow.held += added.held
        self.progress.listed(added.items, page.total)
        for signal in (self.flow.to_fetch, self.flow.to_extract, self.flow.to_decide):
            signal.set()
        if added.cut:
            self.flow.end_listing("limited", f"{self.most_items:,} items are listed")
        return not added.cut

    async def _has_room(self) -> bool:
        """Wait for room for another page; return whether to go on."""
        flow = self.flow
        while not flow.stopping and (
            flow.pending >= self.most_pending or flow.held >= self.most_held
        ):
            await flow.room.wait()
        return not flow.stopping

    def _new_items(self, items: Iterable[Item]) -> list[NewItem]:
        return [self._new_item(item) for item in items]

    def _new_item(self, item: Item) -> NewItem:
        try:
            return self._checked(item)
        except NotKept as refusal:
            return _refused(item, refusal.reason, refusal.detail)
        except (TypeError, ValueError, AttributeError) as error:  # fields of another type
            return _refused(item, "bad-record", f"{type(error).__name__}: {error}")

    def _checked(self, item: Item) -> NewItem:
        check_item(item)
        rest = item_json(item)
        key, url = storable(item.key), storable(item.url)
        if item.refusal is not None:
            reason, detail = item.refusal
            if reason not in REASONS:
                raise NotKept("bad-record", f"unknown reason {reason!r}")
            return _refused(item, reason, detail)
        if item.text is not None:
            received = Received.here()
            own = Extracted(text=item.text, media_type=item.media_type or PLAIN)
            made = stored_text(item, own, received, self.source.licence, self.detect)
            return NewItem(
                state=DONE,
                key=key,
                url=url,
                item=rest,
                answer=received.to_json(),
                body=made.text,
                columns=made.columns,
                digest=made.digest,
            )
        if item.content is not None:
            answer = Received.here(item.media_type).to_json()
            content = bytes(item.content)
            return NewItem(state=FETCHED, key=key, url=url, item=rest, answer=answer, body=content)
        if not (item.path or url):
            raise NotKept("bad-record", "no text, content, path or URL")
        return NewItem(state=LISTED, key=key, host=host_of(item.path, url), url=url, item=rest)


def _refused(item: Item, reason: str, detail: str) -> NewItem:
    url = storable(item.url) if isinstance(item.url, str) else ""
    return NewItem(
        state=DONE,
        key=storable(item.key),
        url=url,
        reason=reason,
        detail=storable(str(detail)),
    )
