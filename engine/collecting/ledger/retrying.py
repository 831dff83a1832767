"""The failed items of a ledger: listing them, and retrying those with transient reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from ..outcome import FAILED, RETRIED
from .database_schema import LISTED
from .item_host import host_of
from .item_json import item_of
from .item_table import ItemTable
from .ledger import Ledger
from .listed_page import NewItem
from .source_state import SourceState

_TO_RETRY = ("source", "seq", "key", "reason", "url", "item")
_SHOWN = ("source", "seq", "key", "kind", "reason", "detail", "url")


async def retry_failures(ledger: Ledger, table: ItemTable, state: SourceState) -> int:
    """List again the items of a source that failed for one of the reasons `RETRIED`.

    Items that were listed again since are skipped. Returns the number of items added.
    """
    added = 0
    for number in range(ledger.count):
        items = await asyncio.to_thread(_transient, ledger, number, state.index)
        if items:
            added += (await table.retry(items)).items
    return added


def _transient(ledger: Ledger, number: int, source: int) -> dict[int, NewItem]:
    found = {}
    for entry in ledger.entries(number, _TO_RETRY):
        if entry["source"] != source or entry["reason"] not in RETRIED or not entry["item"]:
            continue
        item = item_of(entry["key"], entry["url"], entry["item"])
        found[entry["seq"]] = NewItem(
            state=LISTED,
            key=item.key,
            host=host_of(item.path, item.url),
            url=item.url,
            item=entry["item"],
            former=entry["reason"],
        )
    return found


def failures(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield the items that failed and were not decided otherwise since, in order."""
    failed: dict[tuple[int, str], dict[str, Any]] = {}
    for number in range(ledger.count):
        for entry in ledger.entries(number, _SHOWN):
            known = (entry["source"], entry["key"])
            failed.pop(known, None)
            if entry["reason"] in FAILED:
                failed[known] = entry
    yield from failed.values()
